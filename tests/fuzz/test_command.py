"""The command: what it prints, where it writes, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import specc.fuzz.check
from specc.cli.boundary import guarded
from specc.cli.group import cli
from specc.compiler import compile_program

CASE = Path(__file__).parent / "cases" / "adam_without_any_decay.yaml"
TWO = ("--backends", "numpy,torch", "--jobs", "1")


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's losses come out too large."""

    def compiled(program: Any, name: str, **options: Any) -> str:
        text = compile_program(program, name, **options)
        return text.replace("return loss.detach()", "return 1.01 * loss.detach()")

    monkeypatch.setattr(specc.fuzz.check, "compile_program", compiled)


def test_a_case_runs_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(cli, ["fuzz", "--case", str(CASE), *TWO]) == 0
    out = capsys.readouterr().out
    assert out.startswith("1 cases on numpy, torch") and "0 failed" in out
    assert "gradient" in out


def test_json_has_the_figures(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert guarded(cli, ["fuzz", "--count", "2", "--seed", "9", "--json", *out, *TWO]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["cases"], found["failed"], found["failures"]) == (2, 0, [])
    assert 0 <= found["share_of_bound"]["gradient"]["largest"] <= 1
    assert not (tmp_path / "out").exists()


def test_a_failure_is_told_and_written(
    faulty: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = ["fuzz", "--count", "1", "--start", "3", "--no-shrink", "--out", str(tmp_path)]
    assert guarded(cli, [*command, *TWO]) == 1
    out = capsys.readouterr().out
    assert "case 0/3: loss: loss differs by" in out and "(numpy, torch)" in out
    assert f"again: specc fuzz --case {tmp_path / '0-3'}" in out
    assert (tmp_path / "0-3" / "spec.yaml").is_file()


def test_a_backend_that_is_none_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(cli, ["fuzz", "--case", str(CASE), "--backends", "nunpy"]) == 1
    assert "there is no backend 'nunpy'" in capsys.readouterr().err


def test_an_interrupted_campaign_says_what_it_has_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    examined = specc.fuzz.campaign.check
    cases: list[Any] = []

    def interrupted(case: Any, *arguments: Any) -> Any:
        cases.append(case)
        if len(cases) > 2:
            raise KeyboardInterrupt
        return examined(case, *arguments)

    monkeypatch.setattr(specc.fuzz.campaign, "check", interrupted)
    command = ["fuzz", "--count", "9", "--seed", "9", "--out", str(tmp_path), *TWO]
    assert guarded(cli, command) == 130
    assert capsys.readouterr().out.startswith("2 cases on numpy, torch")

"""No bytes make check, build, convert or fmt raise, hang, or take more than two seconds of
processor time or 500 MB."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.hostile.attacks import ATTACKS, HEAD, content
from tests.hostile.enclosure import Enclosure

COMMANDS = (("check",), ("convert",), ("fmt", "--check"))
FINE = frozenset(
    """
    as_many_layers_as_go block_with_a_long_list byte_order_marks carriage_returns comments
    doubled_sizes fraction_of_the_language lstm_of_many_steps many_boundaries many_columns
    many_inputs many_wide_joins number_signs repeat_of_nothing shared_layers unused_on_one_line
    unused_parameters unused_values
    """.split()
)
"""Attacks that are specs, if odd ones."""


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(tmp_path: Path, enclosure: Enclosure, name: str) -> None:
    ending, text = content(name)
    path = tmp_path / f"net.{ending}"
    path.write_bytes(text)
    for command in COMMANDS:
        outcome = enclosure.run(*command, path, cwd=tmp_path)
        outcome.check()
        if command == ("check",):
            # A mistake is shown with its place, and within what a person reads.
            assert outcome.code == (0 if name in FINE else 1), outcome.err[-2000:]
            assert name in FINE or "error[E" in outcome.err
            assert len(outcome.err) < 100_000
    if name in FINE:
        enclosure.run("build", path, "-o", tmp_path / "out", cwd=tmp_path).check(0)
    assert path.read_bytes() == text
    assert {each.name for each in tmp_path.iterdir()} <= {path.name, "out"}, "the code of a tag ran"


def test_no_control_characters_reach_the_terminal(tmp_path: Path, enclosure: Enclosure) -> None:
    for name in ("escapes_for_the_terminal", "right_to_left", "zeros", "isolates_in_name"):
        ending, text = content(name)
        (tmp_path / f"net.{ending}").write_bytes(text)
        shown = enclosure.run("check", tmp_path / f"net.{ending}").err
        assert not {"\x1b", "\x07", "\0", "\u202e", "\u2066"} & set(shown)


@pytest.mark.parametrize("command", [("check",), ("build", "-o", "out"), ("convert",), ("fmt",)])
def test_what_is_no_file(tmp_path: Path, enclosure: Enclosure, command: tuple[str, ...]) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    (tmp_path / "circle.yaml").symlink_to("circle.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "gone.yaml").symlink_to("nowhere.yaml")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.yaml"))
        for name in ("pipe", "zero", "circle", "folder", "gone", "socket"):
            outcome = enclosure.run(*command, f"{name}.yaml", cwd=tmp_path)
            # Of a folder fmt takes the specs in it, of which there are none.
            outcome.check(*((0, 1, 2) if name == "folder" else (1, 2)))
            assert outcome.err or name == "folder"


def test_a_huge_file_is_not_read(tmp_path: Path, enclosure: Enclosure) -> None:
    path = tmp_path / "net.yaml"
    with path.open("wb") as file:
        file.truncate(2**40)
    outcome = enclosure.run("check", path)
    outcome.check(1)
    assert "E0002" in outcome.err and outcome.megabytes < 100


# Includes


def include(folder: Path, *names: str) -> Path:
    path = folder / "net.yaml"
    listed = ", ".join(f'"{name}"' for name in names)
    path.write_text(f"{HEAD}includes: [{listed}]\nlayers: [relu]\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "name",
    ["../out.yaml", "/etc/passwd", "link.yaml", "inner/../../out.yaml", "linked/out.yaml",
     "pipe.yaml", "circle.yaml", "a\\0b.yaml", "~/out.yaml", "inner", "zero.yaml", "net.yaml",
     "x" * 500],
)  # fmt: skip
def test_include(tmp_path: Path, enclosure: Enclosure, name: str) -> None:
    secret = "secret_of_another_folder"
    (tmp_path / "out.yaml").write_text(f"{secret}: 1\n", encoding="utf-8")
    folder = tmp_path / "spec"
    (folder / "inner").mkdir(parents=True)
    (folder / "link.yaml").symlink_to(tmp_path / "out.yaml")
    (folder / "linked").symlink_to(tmp_path)
    (folder / "circle.yaml").symlink_to("circle.yaml")
    (folder / "zero.yaml").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.yaml")
    for command in COMMANDS[:2]:
        outcome = enclosure.run(*command, include(folder, name), cwd=folder)
        outcome.check()
        assert secret not in outcome.err + outcome.out
        assert command != ("check",) or outcome.code == 1


def test_includes_of_includes(tmp_path: Path, enclosure: Enclosure) -> None:
    """Every file includes all that follow: there are as many ways to the last as there are sets."""
    count = 90
    for i in range(count):
        names = ", ".join(f"part{k}.yaml" for k in range(i + 1, count))
        blocks = ", ".join(f"b{i}_{k}: {{layers: [relu]}}" for k in range(100))
        text = f"includes: [{names}]\nblocks: {{{blocks}}}\n"
        (tmp_path / f"part{i}.yaml").write_text(text, encoding="utf-8")
    outcome = enclosure.run("check", include(tmp_path, "part0.yaml"))
    outcome.check(1)
    assert "E0006" in outcome.err


def test_large_includes(tmp_path: Path, enclosure: Enclosure) -> None:
    for i in range(50):
        (tmp_path / f"part{i}.yaml").write_text("#" * 900_000, encoding="utf-8")
    enclosure.run("check", include(tmp_path, *(f"part{i}.yaml" for i in range(50)))).check(1)


# Limits that the environment changes


def test_limits_can_be_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from specc.compiler import load_program
    from specc.diagnostics import SpecError

    path = tmp_path / "net.yaml"
    path.write_text(f"{HEAD}layers: [{{dense: 1000}}, {{dense: 10}}]\n", encoding="utf-8")
    load_program(path)
    for variable, value, code in (
        ("SPECC_MAX_PARAMETERS", "15009", "E0606"),
        ("SPECC_MAX_LAYERS", "1", "E0430"),
        ("SPECC_MAX_PARAMETERS", "many", "E0607"),
        ("SPECC_MAX_LAYERS", "nan", "E0607"),
    ):
        monkeypatch.setenv(variable, value)
        with pytest.raises(SpecError, match=code):
            load_program(path)
        monkeypatch.delenv(variable)
    monkeypatch.setenv("SPECC_MAX_PARAMETERS", "15010")
    monkeypatch.setenv("SPECC_MAX_LAYERS", "1e6")
    load_program(path)

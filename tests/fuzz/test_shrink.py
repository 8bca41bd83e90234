"""Faults put into generated files are found, and the spec shrinks to the operation concerned."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

import specc.fuzz.check
from specc.compiler import compile_program
from specc.fuzz.campaign import rerun, run
from specc.fuzz.case import Case
from specc.fuzz.check import Failure, check
from specc.fuzz.crew import Crash, Crew, Variant
from specc.fuzz.shrink import shrink
from specc.fuzz.spec import Spec, accepted
from specc.ops.registry import visible

BACKENDS = ("numpy", "torch")
FAULTS = {
    "softplus": ("torch.logaddexp(", "1.001 * torch.logaddexp("),
    "tanh": ("torch.tanh(", "1.001 * torch.tanh("),
}


def sabotage(monkeypatch: pytest.MonkeyPatch, old: str, new: str, backend: str = "torch") -> None:
    """Lets the compiler write ``new`` where it wrote ``old`` in the files of a backend."""

    def compiled(program: Any, name: str, **options: Any) -> str:
        text = compile_program(program, name, **options)
        return text.replace(old, new) if name == backend else text

    monkeypatch.setattr(specc.fuzz.check, "compile_program", compiled)


def kinds(spec: Spec) -> list[str]:
    """The operations of a spec, those in bodies too."""
    bodies = [each["repeat"]["layers"] for each in spec["layers"] if "repeat" in each]
    bodies += [block["layers"] for block in spec.get("blocks", {}).values()]
    layers = [*spec["layers"], *(layer for body in bodies for layer in body)]
    return [key for layer in layers for key in layer if key in visible()]


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_found_and_shrunk_to_its_operation(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch, *FAULTS[kind])
    index = next(index for index in range(99) if kind in kinds(Case.draw(5, index).spec))
    (found,) = run(5, [index], BACKENDS, folder=tmp_path, jobs=1).failures
    assert found.failure.variants == ("numpy", "torch")
    assert len(kinds(found.drawn.spec)) > 2
    # What is faulty, and something to train before it.
    assert kind in kinds(found.case.spec) and len(kinds(found.case.spec)) <= 2


def test_a_failure_is_written_as_a_folder_that_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch, "def loss_and_gradients(", "raise OSError('sabotage')\ndef loss_and_g(")
    (found,) = run(5, [0], BACKENDS, folder=tmp_path, jobs=1).failures
    assert found.folder is not None
    report = json.loads((found.folder / "failure.json").read_text())
    assert (report["seed"], report["index"], report["check"]) == (5, 0, "run")
    assert report["command"] == f"specc fuzz --case {found.folder}"
    assert "sabotage" in report["message"]
    (again,) = rerun([found.folder], BACKENDS).failures
    assert again.failure.like(found.failure)
    monkeypatch.undo()
    assert rerun([found.folder], BACKENDS).failures == []


def test_a_compiler_that_raises_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiled(program: Any, name: str, **options: Any) -> str:
        raise ZeroDivisionError("sabotage")

    monkeypatch.setattr(specc.fuzz.check, "compile_program", compiled)
    (found,) = run(5, [0], BACKENDS, folder=tmp_path, jobs=1).failures
    assert (found.failure.check, found.failure.tensor) == ("compile", "ZeroDivisionError")
    assert len(found.case.spec["layers"]) == 1


def test_a_shrunk_spec_is_accepted_and_fails_in_the_same_way() -> None:
    """With a judge that looks at the spec alone."""

    def judge(case: Case) -> Failure | None:
        hit = "dense" in kinds(case.spec)
        return Failure("gradient", "kernel", "sabotage") if hit else None

    for index in range(40):
        case = Case.draw(6, index)
        failure = judge(case)
        if failure is None:
            continue
        small, found = shrink(case, failure, judge)
        assert failure.like(found) and accepted(small.spec) is not None
        assert kinds(small.spec) == ["dense"]
        assert (small.rows, small.short, small.weighted) == (3, 3, False)
        assert small.spec["training"]["optimizer"] == "sgd"


def first_file(folder: Path, backend: str, text: str) -> dict[Variant, Path]:
    path = folder / f"{backend}.py"
    path.write_text(text, encoding="utf-8")
    return {Variant(backend, 1): path}


REQUEST: dict[str, Any] = {"traced": True, "data": {"inputs": {}, "targets": {}}, "steps": []}


def test_a_file_that_hangs_is_ended_and_the_next_one_runs(tmp_path: Path) -> None:
    with Crew(("numpy",), limit=3) as crew:
        begun = time.monotonic()
        (hung,) = crew.examine(
            first_file(tmp_path, "numpy", "import time\ntime.sleep(60)"), REQUEST
        ).values()
        assert isinstance(hung, Crash) and hung.hung
        assert time.monotonic() - begun < 30
        assert _runs(crew, tmp_path)


def test_a_process_that_dies_is_a_crash_and_is_started_anew(tmp_path: Path) -> None:
    with Crew(("numpy",)) as crew:
        (died,) = crew.examine(
            first_file(tmp_path, "numpy", "import os\nos._exit(7)"), REQUEST
        ).values()
        assert isinstance(died, Crash) and not died.hung
        assert "ended with code 7" in died.diagnostic.message
        assert _runs(crew, tmp_path)


def _runs(crew: Crew, folder: Path) -> bool:
    return check(Case.draw(5, 1), crew, folder, ("numpy",)).failure is None

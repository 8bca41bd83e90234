"""The folder of a training run: everything that is needed to repeat, evaluate or use it.

======================== ===========================================================
run.json                 what was trained, with which seed, when, where and with what score
spec.yaml                the resolved spec: every default written out
NAME_BACKEND.py          the generated file
fitted.json              what the data preparation learnt from the training part
history.json             loss and metrics per epoch
weights.safetensors      parameters and running statistics, loadable by every backend
======================== ===========================================================

The last two are written at the end; until then checkpoint.npz and the one before it hold what has
been trained (see `checkpoint`), and run.lock is held by the process that trains. The state in
run.json says how far a run is. With several backends there is one such folder for each, and the
lock is in the folder that holds them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from specc.atomic import replacing
from specc.diagnostics import Diagnostic, SpecError
from specc.runner import checkpoint
from specc.runner.lock import holder, in_use

ABOUT, SPEC, FITTED = "run.json", "spec.yaml", "fitted.json"
HISTORY, WEIGHTS = "history.json", "weights.safetensors"
RUNNING, INTERRUPTED, FAILED, FINISHED = "running", "interrupted", "failed", "finished"


@dataclass(frozen=True)
class Run:
    """What is in the folder of one backend."""

    path: Path
    about: dict[str, Any]

    @property
    def source(self) -> Path:
        """The generated file that was trained."""
        return self.path / str(self.about["source"])

    @property
    def backend(self) -> str:
        return str(self.about["backend"])

    @property
    def dtype(self) -> str:
        return str(self.about["dtype"])

    @property
    def finished(self) -> bool:
        return bool(self.about.get("state", FINISHED) == FINISHED)

    @property
    def weights(self) -> Path:
        return self.path / WEIGHTS

    @property
    def fitted(self) -> dict[str, Any]:
        found = _read_json(self.path / FITTED)
        if not isinstance(found.get("arrays"), dict):
            raise _not_a_run(self.path, f"its {FITTED} is not what a run writes")
        return found

    @property
    def history(self) -> dict[str, list[float]]:
        return _read_json(self.path / HISTORY)

    def checkpoint(self) -> tuple[checkpoint.Checkpoint | None, dict[Path, str]]:
        """The last good checkpoint, if there is one, and what is wrong with later ones."""
        return checkpoint.latest(self.path, self.about.get("key"))


def damaged(bad: Mapping[Path, str]) -> tuple[Diagnostic, ...]:
    """A warning (E1015) for each checkpoint that is not used."""
    return tuple(
        Diagnostic(
            "E1015",
            f"the checkpoint {path} cannot be used: {reason}",
            help="the one before it is used, or the start where there is none",
            severity="warning",
        )
        for path, reason in bad.items()
    )


def is_run(path: Path) -> bool:
    return (path / ABOUT).is_file()


def is_finished(path: Path) -> bool:
    """Whether the run in ``path`` is not one to go on with; so is one whose run.json is broken."""
    try:
        return Run(path, _read_json(path / ABOUT)).finished
    except SpecError:
        return True


def backends_of(place: Path) -> list[Path]:
    """The folders of single backends in a run's place: itself, or those in it."""
    if is_run(place):
        return [place]
    return sorted(each for each in place.iterdir() if is_run(each)) if place.is_dir() else []


def open_run(path: Path, unfinished: bool = False) -> Run:
    """The run in ``path``, finished unless ``unfinished`` allows others.

    Raises SpecError: E1005 if there is none, E1012 if it is not finished, E1013 if it has nothing
    yet and is under way.
    """
    run = read_run(path)
    if not run.finished:
        _require_checkpoint(run, unfinished)
    require_files(run)
    return run


def require_files(run: Run) -> None:
    """Raises SpecError (E1005) that names a file which the run should have and lacks."""
    needed = [run.path / SPEC, run.path / run.source.name, run.path / FITTED]
    for each in [*needed, run.weights] if run.finished else needed:
        if not each.is_file():
            raise _not_a_run(run.path, f"it has no {each.name}")


def read_run(path: Path) -> Run:
    """What run.json says, finished or not. Raises SpecError (E1005)."""
    if not is_run(path):
        raise _not_a_run(path, f"it has no {ABOUT}")
    run = Run(path, _read_json(path / ABOUT))
    for key in ("name", "backend", "source", "spec", "dtype"):
        if not isinstance(run.about.get(key), str):
            raise _not_a_run(path, f"its {ABOUT} does not say the {key}")
    if run.dtype not in ("float32", "float64"):
        raise _not_a_run(path, f"its {ABOUT} has the dtype '{run.dtype}'")
    return run


def weights_of(run: Run) -> tuple[Path | checkpoint.Checkpoint, tuple[Diagnostic, ...]]:
    """The weights of a finished run, or the last good checkpoint with warnings about bad ones.

    Raises SpecError (E1015) if all checkpoints are bad.
    """
    if run.finished:
        return run.weights, ()
    found, bad = run.checkpoint()
    if found is None:
        raise SpecError(replace(each, severity="error", help="") for each in damaged(bad))
    return found, damaged(bad)


def _require_checkpoint(run: Run, allowed: bool) -> None:
    kept = (run.path / checkpoint.NAME).exists() or (run.path / checkpoint.PREVIOUS).exists()
    if allowed and kept:
        return
    process = holder(run.path) or holder(run.path.parent)
    if process and not kept:
        raise in_use(run.path, process)
    state = f"process {process} is training it" if process else f"it was {_PAST[_state(run)]}"
    last = ", or take its last checkpoint with --unfinished" if kept else ""
    wait = "wait for it" if process else f"go on with: {run.about.get('resume', 'specc train')}"
    raise SpecError(
        Diagnostic("E1012", f"{run.path} is not finished: {state}", help=f"{wait}{last}")
    )


_PAST = {RUNNING: "killed", INTERRUPTED: "interrupted", FAILED: "ended by an error"}


def _state(run: Run) -> str:
    state = str(run.about.get("state"))
    return state if state in _PAST else RUNNING


def write_json(path: Path, value: Any) -> None:
    """Readable JSON with a final newline, in one move. Raises SpecError (E1006)."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """A file that is whole or as it was before. Raises SpecError (E1006)."""
    try:
        with checkpoint.writing(path), replacing(path, durable=True) as stream:
            stream.write(text.encode())
    except checkpoint.UnwritableError as error:
        raise SpecError(Diagnostic("E1006", str(error), help="make room there")) from None


def _not_a_run(path: Path, why: str) -> SpecError:
    within = sorted(str(found.parent) for found in path.glob(f"*/{ABOUT}"))
    help_ = f"did you mean {within[0]}?" if within else "specc train writes such a folder"
    return SpecError(Diagnostic("E1005", f"{path} is not the folder of a run: {why}", help=help_))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError(Diagnostic("E1005", f"cannot read {path}: {error}")) from None
    if not isinstance(value, dict):
        raise _not_a_run(path.parent, f"its {path.name} is not what a run writes")
    return value


def update(run: Run, changes: Mapping[str, Any]) -> Run:
    """The run with other things said in its run.json. Raises SpecError (E1006)."""
    changed = Run(run.path, {**run.about, **changes})
    write_json(run.path / ABOUT, changed.about)
    return changed

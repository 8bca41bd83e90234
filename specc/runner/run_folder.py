"""The folder of a training run: everything that is needed to repeat, evaluate or use it.

======================== ===========================================================
run.json                 what was trained, with which seed, when, where and with what score
spec.yaml                the resolved spec: every default written out
NAME_BACKEND.py          the generated file
fitted.json              what the data preparation learnt from the training part
history.json             loss and metrics per epoch
weights.safetensors      parameters and running statistics, loadable by every backend
======================== ===========================================================
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specc.diagnostics import Diagnostic, SpecError

ABOUT, SPEC, FITTED = "run.json", "spec.yaml", "fitted.json"
HISTORY, WEIGHTS = "history.json", "weights.safetensors"


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raises SpecError (E1004) if a run, or anything else, would be lost at ``path``."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not overwrite:
        help_ = "choose another place with --run-dir, or replace it with --overwrite"
        raise SpecError(Diagnostic("E1004", f"{path} already exists", help=help_))
    if not _is_run(path) and not all(_is_run(each) for each in path.iterdir()):
        message = f"{path} holds more than a run, and all of it would be lost"
        raise SpecError(Diagnostic("E1004", message, help="choose another place with --run-dir"))


def _is_run(path: Path) -> bool:
    return (path / ABOUT).is_file()


@contextlib.contextmanager
def new_run(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """An empty folder to write a run into, which becomes ``path`` when the body succeeds.

    A run that fails or is interrupted leaves what was there before, and nothing half-written.
    """
    refuse_existing(path, overwrite)
    whole = path.absolute()  # "." has no name of its own
    draft = whole.with_name(f".{whole.name}.{os.getpid()}")
    made = [folder for folder in whole.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.mkdir()
    except OSError as error:
        problem = error.strerror or str(error)
        raise SpecError(Diagnostic("E1006", f"cannot write {path}: {problem}")) from None
    try:
        yield draft
        if path.exists():
            old = draft.with_name(f"{draft.name}.old")
            os.replace(whole, old)
            os.replace(draft, whole)
            shutil.rmtree(old)
        else:
            os.replace(draft, whole)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        for folder in made:
            # One that holds the run, or what somebody else has put there, stays.
            with contextlib.suppress(OSError):
                folder.rmdir()


def write_json(path: Path, value: Any) -> None:
    """Readable JSON with a final newline."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Run:
    """A finished run."""

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


def open_run(path: Path) -> Run:
    """The run in ``path``; raises SpecError (E1005) if there is none."""
    if not _is_run(path):
        raise _not_a_run(path, f"it has no {ABOUT}")
    run = Run(path, _read_json(path / ABOUT))
    for key in ("name", "backend", "source", "spec", "dtype"):
        if not isinstance(run.about.get(key), str):
            raise _not_a_run(path, f"its {ABOUT} does not say the {key}")
    if run.about["dtype"] not in ("float32", "float64"):
        raise _not_a_run(path, f"its {ABOUT} has the dtype '{run.about['dtype']}'")
    for needed in (path / SPEC, path / Path(run.source).name, path / FITTED, run.weights):
        if not needed.is_file():
            raise _not_a_run(path, f"it has no {needed.name}")
    return run


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

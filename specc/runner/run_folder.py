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
    """Raises SpecError (E1004) if a run would be lost at ``path``."""
    if path.exists() and not overwrite and not (path.is_dir() and not any(path.iterdir())):
        raise SpecError(
            Diagnostic(
                "E1004",
                f"{path} already exists",
                help="choose another place with --run-dir, or replace it with --overwrite",
            )
        )


@contextlib.contextmanager
def new_run(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """An empty folder to write a run into, which becomes ``path`` when the body succeeds.

    A run that fails or is interrupted leaves what was there before, and nothing half-written.
    """
    refuse_existing(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.mkdir()
    try:
        yield draft
        if path.exists():
            old = draft.with_name(f"{draft.name}.old")
            os.replace(path, old)
            os.replace(draft, path)
            shutil.rmtree(old)
        else:
            os.replace(draft, path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


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
        return _read_json(self.path / FITTED)

    @property
    def history(self) -> dict[str, list[float]]:
        return _read_json(self.path / HISTORY)


def open_run(path: Path) -> Run:
    """The run in ``path``; raises SpecError (E1005) if there is none."""
    if not (path / ABOUT).is_file():
        within = sorted(str(found.parent) for found in path.glob(f"*/{ABOUT}"))
        raise SpecError(
            Diagnostic(
                "E1005",
                f"{path} is not the folder of a run: it has no {ABOUT}",
                help=f"did you mean {within[0]}?" if within else "specc train writes such a folder",
            )
        )
    return Run(path, _read_json(path / ABOUT))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError(Diagnostic("E1005", f"cannot read {path}: {error}")) from None
    return value

"""Checkpoints: the whole state of a training between two steps, in one file that is whole or not
there.

A checkpoint is an npz file. Its arrays are ``parameters/NAME`` (running statistics included) and
``state/NAME`` (the optimizer's slots and the step, by their neutral names); ``about`` is a JSON
text with the rest. The archive has a checksum of every member, so damage is found on reading. The
one before is kept beside it. This file is loaded by path inside a worker and imports only NumPy.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, Any]
Replacing = Callable[[Path], contextlib.AbstractContextManager[Any]]
NAME, PREVIOUS = "checkpoint.npz", "checkpoint.previous.npz"
_DRAFT = re.compile(r"\..+\.(npz|json|yaml|py|safetensors)\.([0-9a-f]{12}|\d+)")
"""Names of files that are being written: of `specc.atomic`, and of safetensors by process."""
_ABOUT = ("key", "step", "seconds", "history", "totals")


class UnwritableError(Exception):
    """A file that cannot be written: the disk is full, or the place is forbidden."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"cannot write {path}: {reason}")
        self.path, self.reason = path, reason


class DamagedError(Exception):
    """A file that is no checkpoint of this run, or no longer one."""


@dataclass
class Checkpoint:
    """Where a training stands after ``step`` optimizer steps.

    ``key`` tells runs apart. ``history`` has the finished epochs, ``totals`` the sums over the
    samples of the epoch that is under way, and ``seconds`` what the training has taken.
    """

    key: str
    step: int
    seconds: float
    history: dict[str, list[float]]
    totals: dict[str, float]
    parameters: Arrays = field(default_factory=dict)
    state: Arrays = field(default_factory=dict)


def write(folder: Path, checkpoint: Checkpoint, replacing: Replacing) -> None:
    """Makes ``checkpoint`` the latest of a folder, and the latest the one before.

    ``replacing`` is that of `specc.atomic`. The bytes are on the disk before they get the name, so
    that a crash of the machine finds whole files too. Raises UnwritableError.
    """
    about = {name: getattr(checkpoint, name) for name in _ABOUT}
    arrays = {f"parameters/{name}": value for name, value in checkpoint.parameters.items()}
    arrays |= {f"state/{name}": value for name, value in checkpoint.state.items()}
    about["arrays"] = sorted(arrays)
    path = folder / NAME
    with writing(path), replacing(path) as stream:
        text = np.frombuffer(json.dumps(about).encode(), np.uint8)
        np.savez(stream, about=text, **arrays)
        stream.flush()
        os.fsync(stream.fileno())
        if path.exists():
            os.replace(path, folder / PREVIOUS)


def read(path: Path, key: str | None = None) -> Checkpoint:
    """The checkpoint at ``path``. Raises DamagedError if it is not whole, or is another run's."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        about = json.loads(arrays.pop("about").tobytes())
        whole = about.pop("arrays") == sorted(arrays)
        found = Checkpoint(**about)
    except OSError as error:
        raise DamagedError(error.strerror or str(error)) from None
    except MemoryError:
        raise  # it says nothing about the file
    except Exception as error:
        # Whatever the readers of zip, npy and JSON make of bytes that are not what was written.
        raise DamagedError(f"it is damaged: {error}") from None
    if not whole:
        raise DamagedError("it is damaged: not all of its arrays are there")
    if key is not None and found.key != key:
        raise DamagedError("it is of another run")
    for name, value in arrays.items():
        kind, _, name = name.partition("/")
        (found.parameters if kind == "parameters" else found.state)[name] = value
    return found


def latest(folder: Path, key: str | None = None) -> tuple[Checkpoint | None, dict[Path, str]]:
    """The last good checkpoint of a folder, if it has one, and what is wrong with later ones."""
    bad: dict[Path, str] = {}
    for path in (folder / NAME, folder / PREVIOUS):
        if path.exists():
            try:
                return read(path, key), bad
            except DamagedError as error:
                bad[path] = str(error)
    return None, bad


def save_by(save: Callable[[str], None], path: Path) -> None:
    """The file that ``save`` writes, at ``path`` in one move. Raises UnwritableError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with writing(path):
            draft.touch()
            mode = draft.stat().st_mode
            save(str(draft))
            os.chmod(draft, mode)  # safetensors makes files that only their owner can read
            with draft.open("rb") as stream:
                os.fsync(stream.fileno())
            os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a failure to write into UnwritableError."""
    try:
        yield
    except OSError as error:
        raise UnwritableError(path, error.strerror or str(error)) from None
    except Exception as error:
        # safetensors has an exception of its own for what the system refuses.
        if "os error" not in str(error):
            raise
        raise UnwritableError(path, str(error).rpartition("error: ")[2]) from None


def discard(folder: Path) -> None:
    """Removes the checkpoints of a folder, and files that a dead process was writing there."""
    for name in (NAME, PREVIOUS):
        (folder / name).unlink(missing_ok=True)
    sweep(folder)


def sweep(folder: Path) -> None:
    """Removes what a process that died was writing in ``folder``: files without their names yet."""
    for draft in folder.glob(".*"):
        if draft.is_file() and _DRAFT.fullmatch(draft.name):
            draft.unlink(missing_ok=True)

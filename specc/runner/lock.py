"""One process at a time writes a run."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from specc.diagnostics import Diagnostic, SpecError

NAME = "run.lock"
PATIENCE = 10.0
"""Seconds that the workers of a process that was killed may need to notice it."""


@contextlib.contextmanager
def locked(folder: Path, shown: Path) -> Iterator[int]:
    """Holds the lock of a folder, whose file descriptor it yields.

    The system lets go of the lock when the last process that has the descriptor is gone, however it
    ended. Raises SpecError: E1013, which names the process, if another one has it, and E1006 if the
    folder cannot be written; ``shown`` is how the user calls the folder.
    """
    try:
        descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        problem = error.strerror or str(error)
        raise SpecError(Diagnostic("E1006", f"cannot write {shown}: {problem}")) from None
    try:
        if not _take(descriptor):
            raise in_use(shown, _holder(descriptor))
        # The folder may have been finished, and its lock removed, between the two.
        if os.fstat(descriptor).st_nlink == 0:
            raise in_use(shown, 0)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    """Whether the lock is ours now; the workers of a holder that is dead are waited for."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if alive(_holder(descriptor)) or time.monotonic() > until:
                return False
        time.sleep(0.05)


def holder(folder: Path) -> int:
    """The process that writes into ``folder``; 0 if there is none."""
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(descriptor)
    finally:
        os.close(descriptor)
    return 0


def in_use(shown: Path, process: int) -> SpecError:
    """E1013."""
    who = f"process {process}" if process else "another process"
    return SpecError(
        Diagnostic(
            "E1013",
            f"{shown} is in use: {who} is training there",
            help="wait for it, end it, or choose another place with --run-dir",
        )
    )


def alive(process: int) -> bool:
    """Whether a process of that number runs here."""
    if process <= 0:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's
    return True


def _holder(descriptor: int) -> int:
    """The number of the process in the file; 0 before it is written."""
    text = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
    return int(text) if text.isdigit() else 0

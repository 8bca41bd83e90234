"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def replacing(path: Path, durable: bool = False) -> Iterator[IO[bytes]]:
    """A stream whose bytes take the place of ``path`` when the body succeeds; else the old file
    stays as it was.

    A link stays a link, and what it leads to is replaced; a file keeps its mode bits. What is no
    ordinary file, such as ``/dev/null`` or a pipe, is written to as it is. ``durable`` waits until
    the bytes are on the disk, for what could not be made again. Raises OSError.
    """
    target = Path(os.path.realpath(path))
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):
        with target.open("wb") as stream:
            yield stream
        return
    # Beside its destination, since a move is atomic within one file system only; under a name that
    # nobody can have prepared.
    draft = target.with_name(f".{target.name[:60]}.{os.urandom(6).hex()}")
    try:
        with open(draft, "xb") as stream:
            yield stream
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        if mode is not None:
            os.chmod(draft, stat.S_IMODE(mode))
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)

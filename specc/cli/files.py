"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specc.atomic import replacing
from specc.diagnostics import Diagnostic, SpecError

if TYPE_CHECKING:
    from numpy.typing import NDArray

STANDARD_OUTPUT = Path("-")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Makes the folder of ``path`` and turns a failure to write into SpecError (E1006)."""
    try:
        if path.is_dir():
            message = f"cannot write {path}: it is a folder"
            raise SpecError(Diagnostic("E1006", message, help="name a file in it"))
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise SpecError(
            Diagnostic("E1006", f"cannot write {path}: {error.strerror or error}")
        ) from None


def write_text(path: Path, text: str) -> None:
    """Puts ``text`` at ``path`` in one move, or on standard output where the path is ``-``."""
    if path == STANDARD_OUTPUT:
        sys.stdout.write(text)
        return
    with writing(path), replacing(path) as stream:
        stream.write(text.encode())


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Puts arrays at ``path`` in one move, or on standard output where the path is ``-``."""
    import numpy as np

    if path == STANDARD_OUTPUT:
        np.savez(sys.stdout.buffer, **arrays)  # type: ignore[arg-type]
        return
    with writing(path), replacing(path, durable=True) as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]

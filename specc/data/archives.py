"""npz archives from strangers: what a file says about itself is checked before it is believed."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from specc.data.steps import DataProblem

LARGE = 2**26
"""Arrays of fewer bytes (64 MB) may be compressed as much as it goes."""
MAX_RATIO = 200
"""Of larger ones a byte of the file stands for so many at most: what is smaller is a trap, and no
data that anything could be learnt from."""
_ENDING = ".npy"


class Archive:
    """The arrays of an npz file. Pickled objects, which could run code, are refused."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """The names of the arrays. Raises DataProblem (E0802) for what is no archive."""
        with self._opened() as archive:
            return [each.removesuffix(_ENDING) for each in archive.namelist()]

    def read(self, name: str, what: str) -> NDArray[Any]:
        """An array of that name, which messages call ``what``. Raises DataProblem (E0802)."""
        with self._opened() as archive:
            try:
                member = self._member(archive, name)
                with archive.open(member) as stream:
                    _check_header(stream, member, what)
                with archive.open(member) as stream:
                    array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
                    return array
            except DataProblem:
                raise
            except Exception as error:
                # Whatever zipfile, its decompressors and NumPy's reader of headers make of lies.
                message = f"{what} cannot be read: {error}"
                help_text = "arrays of numbers or text are read, Python objects are not"
                raise DataProblem(message, help_text, code="E0802") from error

    @staticmethod
    def _member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
        entries = {each.filename: each for each in archive.infolist()}
        return entries[name + _ENDING] if name + _ENDING in entries else entries[name]

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            archive = zipfile.ZipFile(self.path)
        except Exception as error:
            message = f"{self.path.name} is not an npz archive"
            raise DataProblem(message, "write it with numpy.savez", code="E0802") from error
        with archive:
            yield archive


def _check_header(stream: IO[bytes], member: zipfile.ZipInfo, what: str) -> None:
    """Whether the array is as large as its archive says, and no larger than its file explains.

    Raises DataProblem (E0802), or what NumPy raises for a header that is none.
    """
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"its format is of version {'.'.join(map(str, version))}")
    shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    declared = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or declared > member.file_size:
        raise ValueError(f"it says that it has the shape {tuple(shape)}, for which it is too short")
    if member.file_size > max(LARGE, MAX_RATIO * member.compress_size):
        raise DataProblem(
            f"{what} would take {member.file_size / 2**20:,.0f} MB, "
            f"but the file has only {member.compress_size / 2**20:,.1f} MB of it",
            "numpy.savez writes it without compression",
            code="E0802",
        )

"""Where data come from: npz and csv files beside the spec, and scikit-learn's bundled sets."""

from __future__ import annotations

import csv
import itertools
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specc.data.archives import Archive
from specc.data.steps import DataProblem
from specc.diagnostics import did_you_mean

# What stands for "no value" in a column of numbers.
MISSING = frozenset({"", ".", "?", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"})
MAX_CSV = 2**30
"""A csv file of more bytes is refused: as lists of texts it would take ten times as much."""
MAX_TEXT = 2**29
"""As many characters a column of texts has at most, each as long as the longest one."""
MAX_LISTED = 1000
"""As many files of a folder are looked at for one that was meant."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Reference = str | tuple[str, ...]


def path_inside(path: str, folder: Path) -> Path:
    """The file of a relative path, which must lie inside the folder once links are followed.

    Raises:
        DataProblem: E0802, if it is absolute, leaves the folder, or is not there.
    """
    base = folder.resolve()
    try:
        found = (base / path).resolve()
        outside = Path(path).is_absolute() or not found.is_relative_to(base)
        exists = not outside and found.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise DataProblem(f"'{path}' is not a path: {error}", code="E0802") from error
    if outside:
        raise DataProblem(
            f"'{path}' is outside the folder of the spec",
            "data are read from the folder of the spec and below it: copy the file there",
            code="E0802",
        )
    if not exists:
        near = _names_in(found.parent)
        raise DataProblem(
            f"there is no file '{path}' beside the spec",
            did_you_mean(found.name, near) or "paths are relative to the folder of the spec",
            code="E0802",
        )
    return found


def _names_in(folder: Path) -> list[str]:
    """Some of what lies in a folder, for suggestions; it may hold too many files to compare."""
    try:
        return [each.name for each in itertools.islice(folder.iterdir(), MAX_LISTED)]
    except OSError:  # there is none, or it may not be read: then nothing is suggested
        return []


class Table(ABC):
    """The arrays or columns of a source by name; axis 0 of each counts the rows."""

    what = "array"

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    @abstractmethod
    def names(self) -> Collection[str]:
        """The names of all arrays or columns."""

    @abstractmethod
    def read(self, name: str) -> NDArray[Any]:
        """One array (rows, ...); the name is known to exist."""

    def place(self, reference: Reference, row: int) -> str:
        """How to find a row, for messages."""
        return f"row {row} of {self.describe(reference)}"

    def describe(self, reference: Reference) -> str:
        """How to find an array, for messages."""
        if isinstance(reference, str):
            return f"{self.what} '{reference}' of {self.name}"
        return f"{self.what}s {', '.join(reference)} of {self.name}"

    def hint(self, reference: Reference) -> str:
        """Why what should be numbers is text."""
        return "turn names into numbers with 'categories', or sentences with 'tokens'"

    def take(self, reference: Reference) -> NDArray[Any]:
        """The array (rows, ...) of a name, or columns side by side (rows, columns) of a tuple.

        Raises:
            DataProblem: E0804, if there is none, or if they cannot stand side by side.
        """
        names = (reference,) if isinstance(reference, str) else reference
        for name in names:
            if name not in self.names:
                message = f"{self.name} has no {self.what} '{name}'"
                raise DataProblem(message, did_you_mean(name, self.names), code="E0804")
        arrays = [self.read(name) for name in names]
        if isinstance(reference, str):
            return arrays[0]
        for name, array in zip(names, arrays, strict=True):
            if array.dtype.kind == "U" or array.ndim != 1 or len(array) != len(arrays[0]):
                message = (
                    f"{self.describe(name)} is not a column of numbers, so it cannot be joined"
                )
                raise DataProblem(message, self.hint(name), code="E0804")
        return np.stack(arrays, axis=1)


class NpzTable(Table):
    """A NumPy archive."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.name)
        self.archive = Archive(path)

    @cached_property
    def names(self) -> Collection[str]:
        return self.archive.names()

    def read(self, name: str) -> NDArray[Any]:
        array = self.archive.read(name, self.describe(name))
        if array.dtype.kind == "S":
            array = np.char.decode(array, "utf-8", "replace")
        if array.dtype.kind == "M":
            array = array.astype("datetime64[us]").astype(np.int64) / 86_400e6
        if array.ndim == 0 or array.dtype.kind not in "biufU":
            message = f"{self.describe(name)} is {array.dtype} of shape {array.shape}"
            raise DataProblem(message, "arrays of numbers or text with rows are read", code="E0804")
        return array


class CsvTable(Table):
    """A table in UTF-8 with one line of column names.

    A column whose values are all numbers is float64, missing ones NaN; one of dates counts days
    since 1970-01-01; every other is text.
    """

    what = "column"

    def __init__(self, path: Path, date_format: str) -> None:
        super().__init__(path.name)
        self.date_format = date_format
        self.header: list[str] = []
        self.records: list[list[str]] = []
        self.lines: list[int] = []
        try:
            if path.stat().st_size > MAX_CSV:
                message = f"{self.name} has more than {MAX_CSV / 2**20:,.0f} MB"
                raise DataProblem(message, "an npz file holds so many numbers", code="E0812")
            with path.open(encoding="utf-8-sig", newline="") as file:
                self._read(file)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataProblem(f"{self.name} cannot be read: {error}", code="E0812") from error
        self.columns = {name: index for index, name in enumerate(self.header)}

    def _read(self, file: Iterable[str]) -> None:
        reader = csv.reader(file, strict=True)
        self.header = [name.strip() for name in next(reader, [])]
        twice = [name for name, count in Counter(self.header).items() if count > 1]
        if not self.header or twice:
            fault = f"two columns named '{twice[0]}'" if twice else "no line of column names"
            raise DataProblem(f"{self.name} has {fault}", code="E0812")
        line = reader.line_num + 1
        for record in reader:
            if record and len(record) != len(self.header):
                message = (
                    f"line {line} of {self.name} has {len(record)} fields, "
                    f"but the first line names {len(self.header)} columns"
                )
                help_text = "a field that contains a comma must stand in double quotes"
                raise DataProblem(message, help_text, code="E0812")
            if record:
                self.records.append(record)
                self.lines.append(line)
            line = reader.line_num + 1

    @property
    def names(self) -> Collection[str]:
        return self.columns.keys()

    def _cells(self, name: str) -> list[str]:
        index = self.columns[name]
        return [record[index].strip() for record in self.records]

    def read(self, name: str) -> NDArray[Any]:
        cells = self._cells(name)
        for parse in (_number, self._date):
            values = [float("nan") if cell in MISSING else parse(cell) for cell in cells]
            if None not in values:
                return np.array(values, dtype=np.float64)
        longest = max(map(len, cells), default=0)
        if longest * len(cells) > MAX_TEXT:
            message = (
                f"{self.describe(name)} has {len(cells):,} texts of up to {longest:,} characters, "
                f"which take {4 * longest * len(cells) / 2**20:,.0f} MB side by side"
            )
            raise DataProblem(message, "leave out the longest texts", code="E0812")
        return np.array(cells, dtype=str)

    def _date(self, cell: str) -> float | None:
        try:
            moment = datetime.strptime(cell, self.date_format)
        except ValueError:
            return None
        except re.error:  # Python makes a pattern of the format, with a group for each directive
            message = f"the date format '{self.date_format}' says something twice"
            raise DataProblem(message, "e.g. %Y-%m-%d", code="E0801") from None
        return (moment.replace(tzinfo=moment.tzinfo or UTC) - _EPOCH) / timedelta(days=1)

    def place(self, reference: Reference, row: int) -> str:
        return f"line {self.lines[row]}, {self.describe(reference)}"

    def hint(self, reference: Reference) -> str:
        if not isinstance(reference, str):
            return super().hint(reference)
        cells = [cell for cell in self._cells(reference) if cell not in MISSING]
        for parse, what in ((_number, "a number"), (self._date, f"a date '{self.date_format}'")):
            odd = next((cell for cell in cells if parse(cell) is None), None)
            if odd is not None and parse(cells[0]) is not None:
                line = self.lines[self._cells(reference).index(odd)]
                return f"'{odd}' in line {line} is not {what}"
        return f"{super().hint(reference)}; for dates give date_format"


class SklearnTable(Table):
    """One of scikit-learn's bundled sets: ``data``, ``target``, and the named columns of both."""

    def __init__(self, name: str) -> None:
        super().__init__(f"scikit-learn's {name}")
        try:
            from sklearn import datasets
        except ImportError as error:
            raise DataProblem(
                f"the data set '{name}' comes with scikit-learn, which is not installed",
                "pip install scikit-learn",
                code="E0803",
            ) from error
        bunch = getattr(datasets, f"load_{name}")()
        data, target = np.asarray(bunch.data), np.asarray(bunch.target)
        self.arrays = {
            str(column): data[:, index] for index, column in enumerate(bunch.feature_names)
        }
        if target.ndim == 2:
            columns = {str(name): target[:, index] for index, name in enumerate(bunch.target_names)}
            self.arrays |= columns
        self.arrays |= {"data": data, "target": target}
        if "images" in bunch:
            self.arrays["images"] = np.asarray(bunch.images)
        # Names of classes, where the target is a class.
        self.classes = (
            [str(each) for each in bunch.target_names]
            if target.ndim == 1 and "target_names" in bunch
            else None
        )

    @property
    def names(self) -> Collection[str]:
        return list(self.arrays)

    def read(self, name: str) -> NDArray[Any]:
        return self.arrays[name]


def _number(cell: str) -> float | None:
    try:
        # Python would take 1_000; no other reader of csv does.
        return None if "_" in cell else float(cell)
    except ValueError:
        return None

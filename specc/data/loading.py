"""From a data section to prepared arrays: read, divide, fit on the training part, apply, check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specc.data.conform import Arrays, Declared, aligned, conform
from specc.data.sources import CsvTable, NpzTable, Reference, SklearnTable, Table, path_inside
from specc.data.spec import DataSpec
from specc.data.split import divide
from specc.data.steps import STEPS, Column, DataProblem, State
from specc.diagnostics import Diagnostic, Note, Span, SpecError, did_you_mean
from specc.frontend import tree


@dataclass(frozen=True)
class Part:
    """Prepared arrays by name; axis 0 counts the rows, of which all arrays have equally many."""

    inputs: Arrays
    targets: Arrays

    def __len__(self) -> int:
        return len(next(iter({**self.inputs, **self.targets}.values())))


@dataclass(frozen=True)
class Dataset:
    """What a run trains, validates and tests on.

    ``fitted`` holds the steps of every array with what they learnt, as JSON values: ``apply`` does
    the same to other data. ``classes`` names the classes of a target where the data name them.
    """

    train: Part
    validation: Part | None
    test: Part | None
    fitted: dict[str, Any]
    classes: dict[str, list[str]] = field(default_factory=dict)


def load(
    data: DataSpec | tree.Mapping | dict[str, Any],
    folder: Path,
    inputs: Mapping[str, Declared],
    targets: Mapping[str, Declared],
    seed: int,
    dtype: str = "float32",
    bounds: Mapping[str, int] | None = None,
    origins: Mapping[tuple[str, str], Note] | None = None,
) -> Dataset:
    """Reads and prepares the data of a spec.

    Args:
        data: the data section, with every expression evaluated.
        folder: where the spec lies; files are read from there and below.
        inputs, targets: what the spec declares.
        seed: of the spec; it decides a random split.
        dtype: of the float arrays; int arrays are int64.
        bounds: for int arrays, the number of values they may take from 0 on: the number of classes
            that a target's prediction has, or the ``input_dim`` of an embedding.
        origins: for messages, where the spec says what the data are at odds with: by the name of
            an array and what it is about, its "type" or its "bound".

    Raises:
        SpecError: E0801 to E0812, with all that is wrong with the section, or with the arrays.
    """
    spec = data if isinstance(data, DataSpec) else DataSpec.parse(data, inputs, targets)
    loader = _Loader(spec, folder, inputs, targets, seed, dtype, bounds or {}, origins or {})
    return loader.load()


def apply(fitted: Mapping[str, Any], raw: Mapping[str, Any]) -> Arrays:
    """Prepares other data as the training part was: {name: rows as in the source} to arrays.

    Raises:
        SpecError: if the rows do not allow it.
    """
    columns = {}
    for name, values in raw.items():
        recipe = fitted["arrays"].get(name)
        if recipe is None:
            help_text = did_you_mean(name, fitted["arrays"])
            raise SpecError(
                Diagnostic("E0805", f"nothing named '{name}' was fitted", help=help_text)
            )
        array = np.asarray(values)
        try:
            column = Column(array, np.arange(len(array)))
            for item in recipe["steps"]:
                column = STEPS[item["kind"]](item["attributes"]).apply(column, item["state"])
            declared = tuple(recipe["shape"]), recipe["dtype"]
            columns[name] = column.with_values(conform(column, declared, fitted["dtype"]))
        except DataProblem as problem:
            place = "" if problem.row is None else f" (row {problem.row})"
            message = f"'{name}': {problem.message}{place}"
            raise SpecError(Diagnostic(problem.code, message, help=problem.help)) from problem
    return aligned(columns) if columns else {}


class _Loader:
    """One load; it collects what is wrong, stage by stage."""

    def __init__(
        self,
        spec: DataSpec,
        folder: Path,
        inputs: Mapping[str, Declared],
        targets: Mapping[str, Declared],
        seed: int,
        dtype: str,
        bounds: Mapping[str, int],
        origins: Mapping[tuple[str, str], Note],
    ) -> None:
        self.spec, self.folder, self.seed, self.dtype = spec, folder, seed, dtype
        self.inputs, self.targets, self.bounds = inputs, targets, bounds
        self.origins = origins
        self.declared = {**inputs, **targets}
        self.diagnostics: list[Diagnostic] = []

    def load(self) -> Dataset:
        main, test = self.tables()
        feeds = {name: self.reference(name, main) for name in self.declared}
        arrays = self.arrays(_Origin(main, feeds))
        parts = {
            part: _Raw(_Origin(main, feeds), arrays, rows)
            for part, rows in self.divide(main, arrays).items()
        }
        if test is not None:
            origin = _Origin(test, self.test_references(feeds))
            arrays = self.arrays(origin, "test")
            parts["test"] = _Raw(origin, arrays, np.arange(_count(arrays)))
        recipes = {}
        finished: dict[str, dict[str, Column]] = {part: {} for part in parts}
        for name in self.declared:
            recipes[name], columns = self.prepare(name, parts)
            for part, column in columns.items():
                finished[part][name] = column
        self.stop_if_wrong()
        return Dataset(
            self.part(finished["train"]),
            self.part(finished["validation"]) if "validation" in finished else None,
            self.part(finished["test"]) if "test" in finished else None,
            {"dtype": self.dtype, "arrays": recipes},
            self.class_names(main, feeds, recipes),
        )

    @contextmanager
    def collect(self, span: Span | None) -> Iterator[None]:
        """Turns a DataProblem inside into a diagnostic at ``span``."""
        try:
            yield
        except DataProblem as problem:
            self.report(problem.code, problem.message, span, help_text=problem.help)

    def report(
        self, code: str, message: str, span: Span | None, *notes: Note, help_text: str = ""
    ) -> None:
        self.diagnostics.append(Diagnostic(code, message, span, notes, help_text))

    def stop_if_wrong(self) -> None:
        if self.diagnostics:
            raise SpecError(self.diagnostics)

    def tables(self) -> tuple[Table, Table | None]:
        """The source, and the table of its own test part if it has one."""
        spec = self.spec
        main: Table | None = None
        test: Table | None = None
        with self.collect(spec.place("name") if spec.source == "sklearn" else spec.place("path")):
            main = self.open(spec.options.get("path"))
        if spec.test_file is not None:
            with self.collect(spec.test_file.span):
                test = self.open(spec.test_file.value)
        self.stop_if_wrong()
        assert main is not None
        return main, main if spec.test_references is not None else test

    def open(self, path: str | None) -> Table:
        if path is None:
            return SklearnTable(self.spec.options["name"])
        file = path_inside(path, self.folder)
        if self.spec.source == "npz":
            return NpzTable(file)
        return CsvTable(file, self.spec.options["date_format"])

    def reference(self, name: str, table: Table) -> Reference:
        """What feeds an input or target: what the spec says, else what bears its name."""
        given = self.spec.references.get(name)
        if given is not None:
            reference: Reference = given.value
            return reference
        if not isinstance(table, SklearnTable):
            return name
        if name in self.targets:
            return "target"
        shape = [size for size in self.declared[name][0] if size != 1]
        as_images = "images" in table.names and len(shape) == table.read("images").ndim - 1
        return "images" if as_images else "data"

    def test_references(self, feeds: dict[str, Reference]) -> dict[str, Reference]:
        given = self.spec.test_references
        if given is None:
            return feeds
        for name in feeds:
            if name not in given:
                message = f"the data section gives the test part no '{name}'"
                self.report("E0805", message, self.spec.place("test"))
        self.stop_if_wrong()
        return {name: given[name].value for name in feeds}

    def arrays(self, origin: _Origin, section: str = "") -> Arrays:
        """The raw arrays by name, all with the same number of rows."""
        found: Arrays = {}
        spans = {}
        for name, reference in origin.feeds.items():
            part = section or ("inputs" if name in self.inputs else "targets")
            spans[name] = self.spec.place(part, name)
            with self.collect(spans[name]):
                found[name] = origin.table.take(reference)
        self.stop_if_wrong()
        first, count = next(iter(found)), _count(found)
        if not count:
            self.report("E0811", f"{origin.describe(first)} has no rows", spans[first])
        for name, array in found.items():
            if len(array) != count:
                message = (
                    f"{origin.describe(name)} has {len(array)} rows, "
                    f"but {origin.describe(first)} has {count}"
                )
                note = Note(f"'{first}' is fed here", spans[first])
                self.report("E0811", message, spans[name], note)
        self.stop_if_wrong()
        return found

    def divide(self, table: Table, arrays: Arrays) -> dict[str, NDArray[np.int64]]:
        """The row numbers of the parts that have rows."""
        split = self.spec.split
        parts: dict[str, NDArray[np.int64]] = {}
        with self.collect(self.spec.place("split", "stratify")):
            classes = self.classes(split["stratify"], arrays)
        with self.collect(self.spec.place("split", "column")):
            times = None if split["column"] is None else self.times(table, split["column"])
        self.stop_if_wrong()
        with self.collect(self.spec.place("split")):
            count = len(next(iter(arrays.values())))
            parts = divide(split, count, self.seed, classes, times)
        self.stop_if_wrong()
        return {part: rows for part, rows in parts.items() if len(rows)}

    def classes(self, stratify: bool | str, arrays: Arrays) -> NDArray[Any] | None:
        """The class of each row (rows,) for a stratified split."""
        if stratify is False:
            return None
        fitting = {name: arrays[name] for name in self.targets if _are_classes(arrays[name])}
        wanted = list(fitting) if stratify is True else [stratify]
        if len(wanted) != 1 or wanted[0] not in fitting:
            odd = [
                f", '{name}' has the value {value:g}"
                for name in self.targets
                for value in _fractions(arrays[name])[:1]
            ]
            raise DataProblem(
                f"a split is stratified by one target whose values are classes; "
                f"those of this spec are: {', '.join(fitting) or 'none'}{''.join(odd)}",
                "write stratify: NAME" if len(fitting) > 1 else "leave out 'stratify'",
                code="E0811",
            )
        return fitting[wanted[0]].reshape(-1)

    def times(self, table: Table, column: str) -> NDArray[Any]:
        values = table.take(column)
        if values.dtype.kind == "U" or values.ndim != 1 or not np.isfinite(values).all():
            message = f"{table.describe(column)} cannot order the rows: it is no column of times"
            raise DataProblem(message, table.hint(column), code="E0811")
        return values

    def prepare(
        self, name: str, parts: dict[str, _Raw]
    ) -> tuple[dict[str, Any], dict[str, Column]]:
        """Fits an array's steps on the training part and applies them to every part.

        Returns what ``apply`` needs to repeat them, and the finished column of each part.
        """
        shape, dtype = self.declared[name]
        steps = self.spec.prepare.get(name, ())
        states: list[State] = []
        finished = {}
        for part, raw in parts.items():  # the training part comes first
            column, index = Column(raw.arrays[name][raw.rows], raw.rows), 0
            try:
                for index, step in enumerate(steps):
                    if part == "train":
                        states.append(step.fit(column))
                    column = step.apply(column, states[index])
                index = len(steps)
                values = conform(column, (shape, dtype), self.dtype, self.bounds.get(name))
                finished[part] = column.with_values(values)
            except DataProblem as problem:
                self.blame(problem, name, index, column, raw.origin)
                break
        recipe = {
            "shape": [size if isinstance(size, int) else None for size in shape],
            "dtype": dtype,
            "steps": [
                {"kind": step.kind, "attributes": step.values, "state": state}
                for step, state in zip(steps, states, strict=False)
            ],
        }
        return recipe, finished

    def blame(
        self, problem: DataProblem, name: str, index: int, column: Column, origin: _Origin
    ) -> None:
        """Reports what a step, or the declared shape after the last step, finds wrong."""
        if index < len(self.spec.prepare.get(name, ())):
            span = self.spec.place("prepare", name, index)
        else:
            span = self.spec.place("inputs" if name in self.inputs else "targets", name)
        notes = []
        if problem.row is not None:
            place = origin.table.place(origin.feeds[name], int(column.rows[problem.row]))
            notes.append(Note(f"the first is in {place}"))
        if origin_note := self.origins.get((name, problem.about)):
            notes.append(origin_note)
        help_text = problem.help
        if column.is_text and not help_text:
            help_text = origin.table.hint(origin.feeds[name])
        message = f"'{name}' from {origin.describe(name)}: {problem.message}"
        self.report(problem.code, message, span, *notes, help_text=help_text)

    def part(self, columns: dict[str, Column]) -> Part:
        """The aligned arrays of a part."""
        arrays = aligned(columns)
        if not _count(arrays):
            message = "no row is left that has all inputs and targets"
            raise SpecError(Diagnostic("E0811", message, self.spec.place("prepare")))
        return Part(
            {name: arrays[name] for name in self.inputs},
            {name: arrays[name] for name in self.targets},
        )

    def class_names(
        self, table: Table, feeds: dict[str, Reference], recipes: dict[str, Any]
    ) -> dict[str, list[str]]:
        """The names of a target's classes, where a step or the source knows them."""
        names = {}
        for target in self.targets:
            steps = recipes[target]["steps"]
            if steps and "names" in steps[-1]["state"]:
                names[target] = [str(each) for each in steps[-1]["state"]["names"]]
            elif not steps and feeds[target] == "target" and isinstance(table, SklearnTable):
                names[target] = table.classes or []
        return {target: found for target, found in names.items() if found}


@dataclass(frozen=True)
class _Origin:
    """Which table a part comes from, and which of its arrays feeds which input or target."""

    table: Table
    feeds: dict[str, Reference]

    def describe(self, name: str) -> str:
        return self.table.describe(self.feeds[name])


@dataclass(frozen=True)
class _Raw:
    """A part before its preparation: the rows ``rows`` of ``arrays``."""

    origin: _Origin
    arrays: Arrays
    rows: NDArray[np.int64]


def _count(arrays: Arrays) -> int:
    return len(next(iter(arrays.values())))


def _are_classes(array: NDArray[Any]) -> bool:
    """Whether each row is one name or one whole number."""
    return array.size == len(array) and not _fractions(array).size


def _fractions(array: NDArray[Any]) -> NDArray[Any]:
    """The values that are no whole numbers, missing ones among them."""
    if array.dtype.kind != "f":
        return array[:0]
    fractions: NDArray[Any] = array[array != np.floor(array)]
    return fractions

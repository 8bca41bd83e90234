"""The ``data:`` section of a spec: read and checked without opening any data.

The section names a source, says which of its arrays or columns feed which inputs and targets, how
the rows are split and how each array is prepared.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import field
from typing import Any

from specc.data.section import located, read_attributes
from specc.data.split import SPLIT, conflicts
from specc.data.steps import STEPS, Step
from specc.diagnostics import Diagnostic, Span, SpecError, did_you_mean
from specc.frontend.configure import MAX_REPORTED
from specc.frontend.tree import Mapping, Scalar, Sequence, Tree, to_plain
from specc.ops.attributes import Attribute, AttributeProblem, Choice, Text, show
from specc.records import dataclass

SKLEARN_SETS = ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine")


_PATH = Attribute("path", Text(), doc="the file, relative to the folder of the spec and inside it")
# What each source takes beside the keys that all share.
SOURCES: dict[str, tuple[Attribute, ...]] = {
    "npz": (_PATH,),
    "csv": (
        _PATH,
        Attribute(
            "date_format",
            Text(),
            "%Y-%m-%d",
            "how dates are written, as for strptime; a date counts as days since 1970-01-01",
        ),
    ),
    "sklearn": (
        Attribute("name", Choice(SKLEARN_SETS), doc="which of scikit-learn's bundled sets"),
    ),
}
_SHARED_KEYS = ("source", "inputs", "targets", "test", "split", "prepare")


@dataclass(frozen=True)
class Located:
    """A value and where the spec says it."""

    value: Any
    span: Span | None


@dataclass(frozen=True)
class DataSpec:
    """A parsed data section.

    ``references`` and ``test_references`` give, per input or target, the array's key or the
    columns' names; a name that they lack is looked up under its own name. ``test_file`` is a second
    file with the same columns.
    """

    source: str
    options: dict[str, Any]
    references: dict[str, Located]
    test_references: dict[str, Located] | None
    test_file: Located | None
    split: dict[str, Any]
    prepare: dict[str, tuple[Step, ...]]
    span: Span | None
    spans: dict[tuple[str | int, ...], Span] = field(
        default_factory=dict, repr=False, compare=False
    )

    @classmethod
    def parse(
        cls,
        section: Mapping | dict[str, Any],
        inputs: Collection[str] | None = None,
        targets: Collection[str] | None = None,
    ) -> DataSpec:
        """Reads a section, whose expressions are already evaluated.

        Args: section: the located tree, or plain values (then messages show the section as JSON).
            inputs, targets: the names that the spec declares, to check the names in the section
            against.

        Raises:
            SpecError: with every mistake found.
        """
        tree = section if isinstance(section, Mapping) else located(section)
        return _Reader(inputs, targets).read(tree)

    def place(self, *path: str | int) -> Span | None:
        """Where the spec says what lies on this path, or the nearest thing around it."""
        while path:
            if path in self.spans:
                return self.spans[path]
            path = path[:-1]
        return self.span


class _Reader:
    """Collects what is wrong with a section while it reads it."""

    def __init__(self, inputs: Collection[str] | None, targets: Collection[str] | None) -> None:
        self.inputs, self.targets = inputs, targets
        self.diagnostics: list[Diagnostic] = []
        self.spans: dict[tuple[str | int, ...], Span] = {}

    def fail(self, code: str, message: str, span: Span | None, help_text: str = "") -> None:
        self.collect([Diagnostic(code, message, span, help=help_text)])

    def collect(self, found: list[Diagnostic]) -> None:
        self.diagnostics += found
        if len(self.diagnostics) >= MAX_REPORTED:
            raise SpecError(self.diagnostics[:MAX_REPORTED])

    def read(self, tree: Mapping) -> DataSpec:
        self.locate(tree, ())
        source = self.source(tree)
        options: dict[str, Any] = {}
        if source:
            what = f"data from {source}"
            options, found = read_attributes(what, SOURCES[source], tree, _SHARED_KEYS)
            self.collect(found)
        references = self.references(tree, "inputs", self.inputs)
        references |= self.references(tree, "targets", self.targets)
        test, test_file = self.test(tree, source)
        split = self.split(tree, has_test=test is not None or test_file is not None)
        prepare = self.prepare(tree)
        self.order(split, prepare)
        if self.diagnostics:
            raise SpecError(self.diagnostics)
        return DataSpec(
            source, options, references, test, test_file, split, prepare, tree.span, self.spans
        )

    def locate(self, tree: Tree, path: tuple[str | int, ...]) -> None:
        self.spans[path] = tree.span
        if isinstance(tree, Mapping):
            for key, value in tree.entries:
                self.locate(value, (*path, str(key.value)))
        elif isinstance(tree, Sequence):
            for index, item in enumerate(tree.items):
                self.locate(item, (*path, index))

    def source(self, tree: Mapping) -> str:
        item = tree.get("source")
        if item is None:
            message = "the data section does not say its source"
            self.fail("E0801", message, tree.span, f"source is one of {', '.join(SOURCES)}")
            return ""
        name = str(to_plain(item))
        if name not in SOURCES:
            message = f"there is no data source '{name}'"
            self.fail("E0801", message, item.span, did_you_mean(name, SOURCES))
            return ""
        return name

    def mapping(self, tree: Mapping, key: str) -> Mapping | None:
        """The mapping under ``key``; None where it is absent or something else, which is
        reported."""
        item = tree.get(key)
        if item is None or isinstance(item, Mapping):
            return item
        self.fail("E0801", f"'{key}' in the data section must be a mapping", item.span)
        return None

    def known(self, key: Scalar, names: Collection[str] | None, what: str) -> bool:
        """Whether the spec declares the name; if it does not, that is reported."""
        if names is None or key.value in names:
            return True
        message = f"the data section feeds '{key.value}', but the spec has no such {what}"
        self.fail("E0805", message, key.span, did_you_mean(str(key.value), names))
        return False

    def references(
        self, tree: Mapping, key: str, names: Collection[str] | None
    ) -> dict[str, Located]:
        section = self.mapping(tree, key)
        result = {}
        for name, item in section.entries if section else ():
            if self.known(name, names, key.removesuffix("s")):
                result[str(name.value)] = self.reference(item)
        return result

    def reference(self, item: Tree) -> Located:
        value = to_plain(item)
        several = isinstance(value, list) and value and all(isinstance(each, str) for each in value)
        if not isinstance(value, str) and not several:
            message = (
                f"{show(value)} is not the name of an array or column, or a list of column names"
            )
            self.fail("E0801", message, item.span)
        return Located(tuple(value) if several else value, item.span)

    def test(self, tree: Mapping, source: str) -> tuple[dict[str, Located] | None, Located | None]:
        item = tree.get("test")
        if item is None:
            return None, None
        if source == "sklearn":
            message = "scikit-learn's sets have no test part of their own"
            self.fail("E0801", message, item.span, "use split: {test: 0.2}")
            return None, None
        if isinstance(item, Scalar) and isinstance(item.value, str):
            return None, Located(item.value, item.span)
        if self.inputs is None or self.targets is None:
            names = None
        else:
            names = [*self.inputs, *self.targets]
        return self.references(tree, "test", names), None

    def split(self, tree: Mapping, has_test: bool) -> dict[str, Any]:
        section = self.mapping(tree, "split") or Mapping((), tree.span)
        values, found = read_attributes("split", SPLIT, section)
        if found:
            self.collect(found)
            return {attribute.name: attribute.default for attribute in SPLIT}
        for key, message, help_text in conflicts(values, has_test):
            item = section.get(key)
            self.fail("E0811", message, item.span if item else section.span, help_text)
        if isinstance(values["stratify"], str) and self.targets is not None:
            item = section.get("stratify")
            if values["stratify"] not in self.targets and item is not None:
                message = f"the spec has no target '{values['stratify']}' to stratify by"
                self.fail(
                    "E0805", message, item.span, did_you_mean(values["stratify"], self.targets)
                )
        return values

    def prepare(self, tree: Mapping) -> dict[str, tuple[Step, ...]]:
        section = self.mapping(tree, "prepare")
        names = (
            None if self.inputs is None or self.targets is None else [*self.inputs, *self.targets]
        )
        result = {}
        for name, item in section.entries if section else ():
            if not self.known(name, names, "input or target"):
                continue
            items = item.items if isinstance(item, Sequence) else (item,)
            steps = [self.step(each) for each in items]
            result[str(name.value)] = tuple(step for step in steps if step is not None)
        return result

    def step(self, item: Tree) -> Step | None:
        """A step, written as ``kind``, ``{kind: value of its first attribute}`` or ``{kind:
        {attributes}}``."""
        if isinstance(item, Mapping) and len(item.entries) == 1:
            key, body = item.entries[0]
        elif isinstance(item, Scalar) and isinstance(item.value, str):
            key, body = item, Mapping((), item.span)
        else:
            message = "a preparation step is its name, or its name with attributes"
            self.fail("E0806", message, item.span, "for example: - rescale: 255")
            return None
        cls = STEPS.get(str(key.value))
        if cls is None:
            message = f"there is no preparation step '{key.value}'"
            self.fail("E0806", message, key.span, did_you_mean(str(key.value), STEPS))
            return None
        if isinstance(body, Scalar) and body.value is None:
            body = Mapping((), key.span)
        elif not isinstance(body, Mapping) and cls.attributes:
            body = Mapping(((Scalar(cls.attributes[0].name, body.span), body),), body.span)
        assert isinstance(body, Mapping)
        values, found = read_attributes(cls.kind, cls.attributes, body)
        self.collect(found)
        if found:
            return None
        try:
            cls.check(values)
        except AttributeProblem as problem:
            self.fail("E0806", problem.message, item.span, problem.suggestion)
            return None
        return cls(values)

    def order(self, split: dict[str, Any], prepare: dict[str, tuple[Step, ...]]) -> None:
        """Steps that need neighbouring rows need a split that keeps them together."""
        if split["by"] == "time" or not (split["validation"] or split["test"]):
            return
        for name, steps in prepare.items():
            for index, step in enumerate(steps):
                if step.ordered:
                    span = self.spans.get(("prepare", name, index))
                    message = (
                        f"{step.kind} needs rows in order, but a random split tears them apart"
                    )
                    self.fail("E0811", message, span, "write split: {by: time, ...}")

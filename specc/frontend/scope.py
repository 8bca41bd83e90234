"""The names of a graph while it is built: paths of layers, values, shared layers."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from specc.diagnostics import Note, Span, SpecError
from specc.frontend.configure import Environment, Reporter
from specc.frontend.declarations import check_name
from specc.frontend.items import Item
from specc.frontend.tree import Mapping, Scalar, Tree
from specc.ir.graph import Node, Parameter, Value
from specc.ir.types import TensorType
from specc.ops.base import Op
from specc.ops.registry import find
from specc.records import dataclass


@dataclass
class SharedLayer:
    """A layer that may be called several times; its parameters are known from the first call."""

    name: str
    op: Op
    attributes: dict[str, Any]
    span: Span
    calls: int = 0
    parameters: tuple[Parameter, ...] = ()
    input: TensorType | None = None
    # What its first call takes.
    source: Value | None = None


@dataclass
class Scope:
    """The names of one graph while it is built. A value of None is one whose layer is wrong."""

    environment: Environment
    # Whether it is the inside of a block or repeat, which sees nothing but its own inputs.
    inner: bool = False
    values: dict[str, Value | None] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    previous: tuple[Value | None, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    layers: dict[str, SharedLayer] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    # As many layers as its nodes stand for, those of blocks and repeats counted each time.
    size: int = 0
    # The names of layers that are still to come, for those who take them too early.
    later: dict[str, Span] = field(default_factory=dict)
    # Whether a section that defines names is wrong: then no name is reported as unknown.
    incomplete: bool = False
    # Layers that are wrong, so that no call of them is reported as one of an unknown layer.
    broken: set[str] = field(default_factory=set)

    def poison(self, item: Item) -> None:
        """Names of a wrong layer stay known, so that what depends on them is not reported again."""
        names = [str(each.value) for each in item.own_names]
        if item.name is None:
            names.append(self._default_path(item))
        for name in names:
            self.values.setdefault(name, None)
            self.used.add(name)
            if name not in self.layers:
                self.broken.add(name)
        self.previous = (None,)

    def poison_name(self, tree: Tree) -> None:
        """The same for what is no layer at all, as far as it has a name."""
        name = tree.get("name") if isinstance(tree, Mapping) else None
        if isinstance(name, Scalar):
            self.values.setdefault(str(name.value), None)
        self.previous = (None,)

    def _default_path(self, item: Item) -> str:
        """What an unnamed layer is called, or would be if it were right."""
        op = find(str(item.kind.value))
        name = op.kind if op is not None else str(item.kind.value)
        if name == "use" and isinstance(item.attributes, Scalar):
            name = str(item.attributes.value)
        count = self.counts.get(name, 0)
        return f"{name}_{count}" if count > 1 else name


@dataclass(frozen=True)
class Naming:
    """Gives names in scopes; one that is taken or no name is refused, by SpecError, reported."""

    reporter: Reporter

    def path(self, item: Item, default: str, scope: Scope) -> str:
        """The layer's path in its scope: its name, or the default one, counted."""
        if item.name is not None:
            name = str(item.name.value)
            check_name(name, item.name.span, self.reporter)
            if name in scope.values or name in scope.layers:
                self.taken(name, item.name.span, scope)
            return name
        while True:
            count = scope.counts[default] = scope.counts.get(default, 0) + 1
            path = default if count == 1 else f"{default}_{count}"
            if path not in scope.values:
                return path

    def taken(self, name: str, span: Span, scope: Scope) -> None:
        """Refuses a name that something has already."""
        first = scope.spans.get(name)
        notes = (Note(f"'{name}' is first defined here", first),) if first else ()
        message = f"the name '{name}' is used twice"
        self.reporter.error("E0404", message, span, "choose another name", notes)
        raise SpecError(())

    def bind(self, name: str, value: Value | None, span: Span, scope: Scope) -> None:
        """Gives a value a name."""
        check_name(name, span, self.reporter)
        if name in scope.values:
            self.taken(name, span, scope)
        scope.values[name] = value
        scope.spans[name] = span

    def bind_outputs(self, item: Item, path: str, values: tuple[Value, ...], scope: Scope) -> None:
        """Gives the outputs of a layer the names that the spec has for them, and the first one its
        path."""
        names = item.output_names
        if names and len(names) != len(values):
            assert item.outputs is not None
            others = ", ".join(value.name.removeprefix(f"{path}.") for value in values[1:])
            self.reporter.error(
                "E0414",
                f"{item.kind.value} has {count_of(len(values), 'output')}, "
                f"but {count_of(len(names), 'name')} {'is' if len(names) == 1 else 'are'} given",
                item.outputs.span,
                f"it gives its output, {others}" if others else "",
            )
            raise SpecError(())
        for name, value in zip(names, values, strict=False):
            self.bind(str(name.value), value, name.span, scope)
        if path not in scope.values:
            scope.values[path] = values[0]
            scope.spans[path] = item.name.span if item.name else item.span
        if item.name is None:
            scope.used.add(path)
        else:
            scope.values.setdefault(str(item.name.value), values[0])
        scope.previous = values

    def check_unused(self, scope: Scope, inputs: set[str]) -> None:
        """Warns of named values that nothing reads, and of shared layers that nothing calls."""
        for name, layer in scope.layers.items():
            if not layer.calls:
                message = f"the shared layer '{name}' is never used"
                self.reporter.warning("W1001", message, scope.spans.get(name) or layer.span)
        read = {id(value) for node in scope.nodes for value in node.inputs}
        read |= {id(value) for value in scope.previous}
        for name, value in scope.values.items():
            if value is None or name in scope.used or id(value) in read:
                continue
            what = "input" if name in inputs else "value"
            self.reporter.warning(
                "W1001", f"the {what} '{name}' is never used", scope.spans.get(name) or value.span
            )


def count_of(number: int, noun: str) -> str:
    """A number of things: ``2 inputs``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"

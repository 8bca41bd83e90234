"""Where values and their sizes come from, for the second place that a message points at."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from specc.diagnostics import Note, Span
from specc.frontend.items import Item
from specc.frontend.tree import Mapping
from specc.frontend.wiring import Wires
from specc.ir.graph import Value
from specc.ops.base import Op, Site
from specc.records import dataclass

_COUNTED = ("units", "filters")
"""Attributes that read well after their number: 128 units."""


@dataclass(frozen=True)
class Made:
    """The call that a value comes of. ``value`` is its first output."""

    value: Value
    op: Op
    site: Site
    item: Item
    wires: Wires

    def attribute_span(self, name: str) -> Span | None:
        """Where an attribute is written; None for a default."""
        return attribute_span(self.item, self.op, name)


def attribute_span(item: Item, op: Op, name: str) -> Span | None:
    """Where an attribute's value is written in a layer; None where it is not."""
    tree = item.attributes
    if isinstance(tree, Mapping):
        written = tree.get(name)
        return written.span if written is not None else None
    first = op.attributes[0].name if op.attributes else ""
    return tree.span if tree is not None and name == first else None


class Origins:
    """The call that each value comes of, as long as a program is built."""

    def __init__(self) -> None:
        self._made: dict[int, Made] = {}
        self._outer: dict[int, Value] = {}
        # Kept, so that no other value gets their ids.
        self._values: list[Value] = []

    def record(self, made: Made, outputs: tuple[Value, ...]) -> None:
        """Remembers the call that gave these outputs."""
        for value in outputs:
            self._made[id(value)] = made
            self._values.append(value)

    def inside(self, inner: Value, outer: Value) -> None:
        """An input of a block stands for what is wired to it."""
        self._outer[id(inner)] = outer
        self._values.append(inner)

    def outermost(self, value: Value) -> Value:
        """What an input of a block stands for; other values themselves."""
        while id(value) in self._outer:
            value = self._outer[id(value)]
        return value

    def of(self, value: Value) -> Made | None:
        """The call that a value is the output of; None for inputs of the spec."""
        return self._made.get(id(self.outermost(value)))

    def upstream(self, value: Value) -> Iterator[Made]:
        """The calls above a value, the last one first, along their first inputs."""
        made = self.of(value)
        while made is not None:
            yield made
            first = made.wires[0] if made.wires else None
            made = self.of(first) if first is not None else None

    def source(self, value: Value) -> Value:
        """The input of the spec that a value comes from, along first inputs."""
        for made in self.upstream(value):
            if made.wires and made.wires[0] is not None:
                value = made.wires[0]
        return self.outermost(value)

    def while_(self, value: Value, test: Callable[[Made], bool]) -> Made | None:
        """The last call above a value, itself included, that fails the test."""
        return next((made for made in self.upstream(value) if not test(made)), None)

    def size(self, value: Value, axis: int) -> tuple[Value, Made | None, str]:
        """The value whose axis the size of this one's axis is, the call that made it, and the
        attribute that it is; "" where it is computed or declared."""
        while True:
            value = self.outermost(value)
            made = self.of(value)
            if made is None or value is not made.value:
                return value, made, ""
            found = made.op.size_from(made.site, axis)
            if found is None:
                return value, made, ""
            if isinstance(found, str):
                return value, made, found
            port, axis = found
            wired = made.wires[port]
            if wired is None:
                return value, made, ""
            value = wired

    def note(self, value: Value, axes: tuple[int, ...] = ()) -> Note | None:
        """What a value is, at the place that says so: the attribute that is the size of one of
        ``axes``, else the layer or input."""
        outer = self.outermost(value)
        if outer.span is None or outer.internal:
            return None
        what = f"'{value.name}' is {value.type}"
        for axis in axes:
            origin, made, attribute = self.size(value, axis)
            if made is not None and attribute:
                span = made.attribute_span(attribute) or origin.span
                return Note(f"{what}{_by(origin, value, made, attribute)}", span)
        for axis in axes:
            origin, _, _ = self.size(value, axis)
            if origin is not outer and origin.span is not None:
                return Note(f"{what}, as '{origin.name}' is {origin.type}", origin.span)
        return Note(what, outer.span)


def _by(origin: Value, value: Value, made: Made, attribute: str) -> str:
    """``: 'fc1' has 128 units``."""
    number = made.site[attribute]
    if isinstance(number, tuple):
        number = list(number)
    has = f"{attribute} {number}"
    if attribute in _COUNTED:
        has = f"{number} {attribute if number != 1 else attribute[:-1]}"
    return f": {'it' if origin.name == value.name else repr(origin.name)} has {has}"

"""Values of attributes, drawn from what each attribute's kind says that it takes.

A value may still be wrong where it stands (a group count that does not divide the channels): the
front end refuses it then, and the next one is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from specc.ops.attributes import (
    REQUIRED,
    Attribute,
    AttributeProblem,
    Boolean,
    Choice,
    Integer,
    Integers,
    Kind,
    Number,
    Optional,
    Padding,
    Reference,
    Text,
)
from specc.training.schedules import Rate

DEFAULT, SAMPLE = 0.45, 0.15
"""How often an attribute keeps its default, and how often it takes the value of one of the op's own
samples."""
ATTEMPTS = 25
"""So often one thing is drawn again when it does not fit, before another one is."""


class Values:
    """Draws values for attributes under one set of conventions.

    ``words`` are names that mean something where texts are wanted: outputs, parts of parameters'
    paths.
    """

    def __init__(self, random: Random, conventions: str, words: Sequence[str] = ("bias",)) -> None:
        self.random, self.conventions, self.words = random, conventions, words

    def attributes(
        self, declared: Sequence[Attribute], sample: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Values by name; attributes that keep their default are left out."""
        found: dict[str, Any] = {}
        for attribute in declared:
            chance = self.random.random()
            if sample and attribute.name in sample and chance < SAMPLE:
                found[attribute.name] = sample[attribute.name]
            elif attribute.required or chance > SAMPLE + DEFAULT:
                default = attribute.default_for(self.conventions)
                found[attribute.name] = self.value(attribute.kind, default)
        return found

    def value(self, kind: Kind, default: Any = REQUIRED) -> Any:
        """A value that a kind accepts."""
        draw = _DRAWN.get(type(kind))
        if draw is not None:
            return draw(self, kind, default)
        return self._described(kind.schema())

    def choice(self, registry: Mapping[str, Any]) -> Any:
        """One of a registry: its name, or its name with attributes."""
        name = self.random.choice(list(registry))
        for _ in range(ATTEMPTS):
            attributes = self.attributes(registry[name].attributes)
            if self._fit(registry[name], attributes):
                return {name: attributes} if attributes else name
        return name

    def _fit(self, row: Any, attributes: Mapping[str, Any]) -> bool:
        """Whether attributes fit together, as far as their row knows."""
        check = getattr(row, "check", None)
        if check is None:
            return True
        try:
            check(row.defaults(self.conventions) | attributes)
        except AttributeProblem:
            return False
        return True

    # One method per kind

    def _integer(self, kind: Integer, default: Any) -> int:
        if kind.minimum is None:  # an axis, as a rule
            return self.random.randint(-2, 3)
        return kind.minimum + self.random.choice((0, 1, 1, 2, 2, 3, 4, 5))

    def _number(self, kind: Number, default: Any) -> float:
        """Near the default where there is one, and within the limits."""
        value = self.random.uniform(0.02, 0.4)
        if isinstance(default, int | float) and default:
            value = default * 2 ** self.random.uniform(-1.5, 1)
        elif kind.minimum is None:
            value *= self.random.choice((-1, 1))
        low = kind.minimum if kind.minimum is not None else value
        if kind.maximum is not None and not low < value < kind.maximum:
            value = low + (kind.maximum - low) * self.random.uniform(0.05, 0.95)
        return float(f"{max(value, low):.3g}")

    def _boolean(self, kind: Boolean, default: Any) -> bool:
        return self.random.random() < 0.5

    def _choice(self, kind: Choice, default: Any) -> str:
        return self.random.choice(kind.choices)

    def _integers(self, kind: Integers, default: Any) -> Any:
        """One for all axes or one each; a list of any length is an order of axes or sizes."""
        item = Integer(kind.minimum)
        if kind.length is not None:
            count, single = kind.length, self.random.random() < 0.5
            low = kind.minimum or 0
            values = [low + self.random.choice((0, 0, 1, 1, 2)) for _ in range(count)]
            return values[0] if single else values
        length = self.random.randint(1, 3)
        if self.random.random() < 0.5:
            return self.random.sample(range(1, length + 1), length)
        sizes = [abs(self._integer(item, default)) + 1 for _ in range(length)]
        sizes[self.random.randrange(length)] = -1
        return sizes

    def _padding(self, kind: Padding, default: Any) -> Any:
        pairs = [[self.random.randint(0, 2), self.random.randint(0, 2)] for _ in range(kind.rank)]
        sizes = [self.random.randint(0, 2) for _ in range(kind.rank)]
        return self.random.choice(("valid", "same", "same", sizes[0], sizes, pairs))

    def _optional(self, kind: Optional, default: Any) -> Any:
        return None if self.random.random() < 0.3 else self.value(kind.kind, default)

    def _reference(self, kind: Reference, default: Any) -> Any:
        return self.choice(kind.registry())

    def _rate(self, kind: Rate, default: Any) -> Any:
        """A number, or as often a schedule."""
        if self.random.random() < 0.5:
            return self.choice(kind.registry())
        return self._number(Number(0), default)

    def _text(self, kind: Text, default: Any) -> str:
        return self.random.choice(self.words)

    def _described(self, schema: Mapping[str, Any]) -> Any:
        """A value for a kind that only its schema describes, such as that of a plug-in."""
        if "anyOf" in schema:
            return self._described(self.random.choice(schema["anyOf"]))
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        kind = schema.get("type", str(schema.get("$ref", "")).rpartition("/")[2])
        if kind == "array":
            items = schema.get("items", {"type": "integer"})
            return [self._described(items) for _ in range(self.random.randint(1, 3))]
        simple: dict[str, Callable[[], Any]] = {
            "integer": lambda: self._integer(Integer(), REQUIRED),
            "number": lambda: self._number(Number(0), REQUIRED),
            "boolean": lambda: self._boolean(Boolean(), REQUIRED),
            "string": lambda: self.random.choice(self.words),
        }
        return simple[kind]() if kind in simple else None


_DRAWN: Mapping[type[Kind], Callable[[Values, Any, Any], Any]] = {
    Integer: Values._integer,
    Number: Values._number,
    Boolean: Values._boolean,
    Choice: Values._choice,
    Integers: Values._integers,
    Padding: Values._padding,
    Optional: Values._optional,
    Reference: Values._reference,
    Rate: Values._rate,
    Text: Values._text,
}

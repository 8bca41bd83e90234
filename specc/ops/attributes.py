"""Typed attributes: what a spec may write in a layer's parentheses.

A kind parses a plain value, says what it wants in the user's words and gives its piece of the JSON
schema.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from specc.diagnostics import did_you_mean, nearest


class AttributeProblem(Exception):  # noqa: N818  (it becomes a diagnostic once the place is known)
    """A value that an attribute cannot take; the caller knows where it stands."""

    def __init__(self, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED = _Required()
MAX_SHOWN = 100
"""As many characters of a value as a message shows."""
LARGEST = 2**63
"""Integers stay below it, as every framework's do."""


@dataclass(frozen=True)
class Kind:
    """What values an attribute takes."""

    def parse(self, value: Any) -> Any:
        raise AttributeProblem(f"{value!r} is not {self.wants()}")

    def wants(self) -> str:
        """The expected value, for messages: 'a positive integer'."""
        return "a value"

    def schema(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class Integer(Kind):
    minimum: int | None = None

    def wants(self) -> str:
        return {None: "an integer", 1: "a positive integer"}.get(
            self.minimum, f"an integer of at least {self.minimum}"
        )

    def parse(self, value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise AttributeProblem(f"{show(value)} is not {self.wants()}")
        if abs(value) >= LARGEST:
            raise AttributeProblem(f"{float(value):g} is too large", "integers have 63 bits")
        if self.minimum is not None and value < self.minimum:
            raise AttributeProblem(f"{value} is not {self.wants()}")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "integer"}


@dataclass(frozen=True)
class Number(Kind):
    """A finite number in [minimum, maximum], the ends excluded where asked."""

    minimum: float | None = None
    maximum: float | None = None
    above: bool = False
    below: bool = False

    def wants(self) -> str:
        limits = []
        if self.minimum is not None:
            limits.append(f"{'above' if self.above else 'at least'} {self.minimum:g}")
        if self.maximum is not None:
            limits.append(f"{'below' if self.below else 'at most'} {self.maximum:g}")
        return " ".join(["a number", " and ".join(limits)]).strip()

    def parse(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            example = "write the number itself, e.g. 0.5" if isinstance(value, bool) else ""
            raise AttributeProblem(f"{show(value)} is not {self.wants()}", example)
        number = float(value)
        low, high = self.minimum, self.maximum
        fits = math.isfinite(number)
        if low is not None:
            fits = fits and (number > low if self.above else number >= low)
        if high is not None:
            fits = fits and (number < high if self.below else number <= high)
        if not fits:
            raise AttributeProblem(f"{value} is not {self.wants()}", self._meant(number))
        return number

    def _meant(self, number: float) -> str:
        """What a number out of the range was probably meant for."""
        if self.minimum == 0 and self.maximum == 1 and 5 <= number <= 100:
            return f"for {number:g} percent write {number / 100:g}"
        if self.minimum == 0 and self.maximum is None and number < 0:
            return f"without the minus: {-number:g}"
        return ""

    def schema(self) -> dict[str, Any]:
        return {"type": "number"}


@dataclass(frozen=True)
class Boolean(Kind):
    def wants(self) -> str:
        return "true or false"

    def parse(self, value: Any) -> bool:
        if not isinstance(value, bool):
            quoted = isinstance(value, str) and value.lower() in ("true", "false")
            advice = f"write {value.lower()}, without quotes" if quoted else ""
            raise AttributeProblem(f"{show(value)} is not {self.wants()}", advice)
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True)
class Choice(Kind):
    choices: tuple[str, ...]

    def wants(self) -> str:
        return f"one of {', '.join(self.choices)}"

    def parse(self, value: Any) -> str:
        if value not in self.choices:
            match = nearest(str(value), self.choices)
            suggestion = f"did you mean '{match}'?" if match else ""
            raise AttributeProblem(f"{show(value)} is not {self.wants()}", suggestion)
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.choices)}


@dataclass(frozen=True)
class Integers(Kind):
    """A list of integers; with ``length``, one integer stands for all of them."""

    length: int | None = None
    minimum: int | None = None

    def wants(self) -> str:
        item = Integer(self.minimum).wants()
        if self.length is None:
            return "a list of integers" + (f" ({item} each)" if self.minimum is not None else "")
        return f"{item}, or a list of {self.length}"

    def parse(self, value: Any) -> tuple[int, ...]:
        item = Integer(self.minimum)
        if self.length is not None and not isinstance(value, Sequence):
            return (item.parse(value),) * self.length
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise AttributeProblem(f"{show(value)} is not {self.wants()}")
        if self.length is not None and len(value) != self.length:
            raise AttributeProblem(f"{show(value)} has {len(value)} items, not {self.length}")
        return tuple(item.parse(each) for each in value)

    def schema(self) -> dict[str, Any]:
        many = {"type": "array", "items": {"$ref": "#/$defs/integer"}}
        return many if self.length is None else {"anyOf": [{"type": "integer"}, many]}


@dataclass(frozen=True)
class Padding(Kind):
    """``valid``, ``same``, or sizes: one for all axes, one each, or (before, after) pairs."""

    rank: int

    def wants(self) -> str:
        return "valid, same, an integer, or one integer or (before, after) pair per axis"

    def parse(self, value: Any) -> str | tuple[tuple[int, int], ...]:
        if value in ("valid", "same"):
            return str(value)
        if isinstance(value, str):
            raise AttributeProblem(
                f"{show(value)} is not {self.wants()}",
                did_you_mean(value.lower(), ("valid", "same")),
            )
        size = Integer(0)
        if not isinstance(value, Sequence):
            return ((size.parse(value),) * 2,) * self.rank
        if len(value) != self.rank:
            raise AttributeProblem(f"{show(value)} has {len(value)} items, not {self.rank}")
        return tuple(Integers(2, 0).parse(each) for each in value)  # type: ignore[misc]

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"enum": ["valid", "same"]}, {"type": "integer"}, {"type": "array"}]}


@dataclass(frozen=True)
class Text(Kind):
    def wants(self) -> str:
        return "a string"

    def parse(self, value: Any) -> str:
        if not isinstance(value, str):
            raise AttributeProblem(f"{show(value)} is not {self.wants()}")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


@dataclass(frozen=True)
class Optional(Kind):
    """Another kind, or null."""

    kind: Kind

    def wants(self) -> str:
        return f"{self.kind.wants()}, or null"

    def parse(self, value: Any) -> Any:
        return None if value is None else self.kind.parse(value)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self.kind.schema(), {"type": "null"}]}


@dataclass(frozen=True)
class Reference(Kind):
    """A choice from a registry, by name or as ``{kind: {attributes}}``; parses to a Configured.

    ``find`` is called late, since registries may refer to each other.
    """

    what: str
    registry: Callable[[], Mapping[str, Any]]

    def wants(self) -> str:
        return f"the name of {self.what}, or {{name: attributes}}"

    def schema(self) -> dict[str, Any]:
        return {"$ref": f"#/$defs/{self.what.split()[-1]}"}


@dataclass(frozen=True)
class Attribute:
    """A named attribute; ``keras`` and ``pytorch`` are the defaults where those differ."""

    name: str
    kind: Kind
    default: Any = REQUIRED
    doc: str = ""
    keras: Any = REQUIRED
    pytorch: Any = REQUIRED

    def default_for(self, conventions: str) -> Any:
        value = self.keras if conventions == "keras" else self.pytorch
        return self.default if value is REQUIRED else value

    @property
    def required(self) -> bool:
        return self.default is REQUIRED and self.keras is REQUIRED and self.pytorch is REQUIRED


def show(value: Any) -> str:
    """A value as a spec writes it, for messages; the beginning of a long one."""
    text = _shown(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_shown, value[:MAX_SHOWN]))}]"
    if isinstance(value, Mapping):
        items = itertools.islice(value.items(), MAX_SHOWN)
        return f"{{{', '.join(f'{key}: {_shown(each)}' for key, each in items)}}}"
    return repr(value) if not isinstance(value, str) else f"'{value[:MAX_SHOWN]}'"

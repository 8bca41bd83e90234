"""Rows of the training registries: optimizers, schedules, clippings and initializers."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from specc.ops.attributes import Attribute, AttributeProblem, Kind, Text


@dataclass(frozen=True)
class Words(Kind):
    """A list of strings; one string stands for a list of one."""

    def wants(self) -> str:
        return "a string or a list of strings"

    def parse(self, value: Any) -> tuple[str, ...]:
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, list | tuple):
            raise AttributeProblem(f"{value!r} is not {self.wants()}")
        return tuple(Text().parse(each) for each in value)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}


class Row:
    """One choice of a registry: everything about it stands in its class."""

    kind: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    attributes: ClassVar[tuple[Attribute, ...]] = ()
    # Attributes of the frameworks that have another name or place here: name -> what to write.
    refused: ClassVar[Mapping[str, str]] = {}

    @property
    def doc(self) -> str:
        return inspect.cleandoc(type(self).__doc__ or "")

    def defaults(self, conventions: str) -> dict[str, Any]:
        """The attributes that have a default, with their values under a convention."""
        return {a.name: a.default_for(conventions) for a in self.attributes if not a.required}

    def check(self, attributes: Mapping[str, Any]) -> None:
        """Raises AttributeProblem if the attributes, each valid by itself, do not fit together."""


AnyRow = TypeVar("AnyRow", bound=Row)


class Registry(Mapping[str, AnyRow]):
    """Rows by kind. Looking up an alias finds its row; iteration gives the kinds.

    Raises ValueError if two rows claim a name.
    """

    def __init__(self, rows: Iterable[type[AnyRow]]) -> None:
        self._rows = {row.kind: row() for row in rows}
        self._names: dict[str, AnyRow] = {}
        for row in self._rows.values():
            for name in (row.kind, *row.aliases):
                if name in self._names:
                    raise ValueError(f"{self._names[name].kind} and {row.kind} claim '{name}'")
                self._names[name] = row

    def __getitem__(self, name: str) -> AnyRow:
        return self._names[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

"""Rows of the training registries: optimizers, schedules, clippings and initializers."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, TypeVar

from specc.ops.attributes import Attribute


class Row:
    """One choice of a registry: everything about it stands in its class."""

    kind: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    attributes: ClassVar[tuple[Attribute, ...]] = ()

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

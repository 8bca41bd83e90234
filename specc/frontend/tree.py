"""The located tree: what both front ends produce and every later step reads.

It has the shape of the YAML form. The language (.specc) parses to the same tree, so the rest of the
compiler knows one form only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import field
from typing import Any, TypeVar

from specc.diagnostics import Span
from specc.frontend.expressions import Boolean, Expression, ListExpression, Null, Number, String
from specc.records import dataclass


@dataclass(frozen=True)
class Comments:
    """Comment lines before a node, the comment at the end of its line, and comment lines after the
    last entry of a body, all without the '#'.

    They stand at keys of mappings and items of sequences; ``end`` stands at the container.
    """

    before: tuple[str, ...] = ()
    after: str = ""
    end: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.before or self.after or self.end)


@dataclass(frozen=True)
class Scalar:
    """A number, string, boolean, null, or an expression over parameters that is evaluated later."""

    value: str | int | float | bool | None | Expression
    span: Span
    comments: Comments = field(default=Comments(), compare=False)


@dataclass(frozen=True)
class Sequence:
    items: tuple[Tree, ...]
    span: Span
    comments: Comments = field(default=Comments(), compare=False)

    def __iter__(self) -> Iterator[Tree]:
        return iter(self.items)


@dataclass(frozen=True)
class Mapping:
    """Entries in the order written. Duplicate keys are refused by the readers."""

    entries: tuple[tuple[Scalar, Tree], ...]
    span: Span
    comments: Comments = field(default=Comments(), compare=False)

    def get(self, key: str) -> Tree | None:
        return next((value for name, value in self.entries if name.value == key), None)

    def key(self, key: str) -> Scalar | None:
        """The located key itself, for messages that underline it."""
        return next((name for name, _ in self.entries if name.value == key), None)

    def keys(self) -> list[str]:
        return [str(name.value) for name, _ in self.entries]


Tree = Scalar | Sequence | Mapping


def to_plain(tree: Tree) -> Any:
    """The tree as dicts, lists and values; expressions stay as they are."""
    if isinstance(tree, Scalar):
        return tree.value
    if isinstance(tree, Sequence):
        return [to_plain(item) for item in tree.items]
    return {str(key.value): to_plain(value) for key, value in tree.entries}


def from_expression(expression: Expression) -> Tree:
    """The tree of a value written as an expression: a literal is its value, a list is a sequence,
    anything else stays an expression that is evaluated later."""
    match expression:
        case Number(value=value) | String(value=value) | Boolean(value=value):
            return Scalar(value, expression.span)
        case Null():
            return Scalar(None, expression.span)
        case ListExpression(items=items):
            return Sequence(tuple(map(from_expression, items)), expression.span)
    return Scalar(expression, expression.span)


_AnyTree = TypeVar("_AnyTree", bound=Tree)


def with_comments(tree: _AnyTree, comments: Comments) -> _AnyTree:
    """The same node with these comments."""
    return dataclasses.replace(tree, comments=comments) if comments else tree


def has_comments(tree: Tree) -> bool:
    """Whether the node or anything below it has a comment."""
    if tree.comments:
        return True
    if isinstance(tree, Scalar):
        return False
    if isinstance(tree, Sequence):
        return any(map(has_comments, tree.items))
    return any(key.comments or has_comments(value) for key, value in tree.entries)


SECTIONS = (
    "specc",
    "name",
    "conventions",
    "layout",
    "dtype",
    "seed",
    "allow",
    "includes",
    "parameters",
    "inputs",
    "targets",
    "blocks",
    "shared",
    "layers",
    "outputs",
    "training",
    "data",
)
"""The sections of a spec in the order in which they are written."""

"""Reading parts of a spec whose attributes are typed: what is wrong is collected, not raised."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from specc.diagnostics import Diagnostic, Source, Span, did_you_mean, nearest
from specc.frontend.configure import MAX_REPORTED
from specc.frontend.tree import Mapping, Scalar, Sequence, Tree, to_plain
from specc.ops.attributes import REQUIRED, Attribute, AttributeProblem


def located(plain: dict[str, Any]) -> Mapping:
    """Plain values as a located tree, placed in their own JSON text."""
    text = json.dumps(plain)
    source = Source("data section", text)
    position = 0

    def take(value: Any) -> Tree:
        nonlocal position
        start = position
        if isinstance(value, dict):
            entries = []
            for key, item in value.items():
                position += 1  # the brace, or the space after a comma
                name = take(str(key))
                position += 2  # ": "
                entries.append((name, take(item)))
                position += 1  # the comma or the closing brace
            position = max(position, start + 2)
            return Mapping(tuple(entries), Span(source, start, position))  # type: ignore[arg-type]
        if isinstance(value, list | tuple):
            items = []
            for item in value:
                position += 1
                items.append(take(item))
                position += 1
            position = max(position, start + 2)
            return Sequence(tuple(items), Span(source, start, position))
        position += len(json.dumps(value))
        return Scalar(value, Span(source, start, position))

    tree = take(plain)
    assert isinstance(tree, Mapping)
    return tree


def placed(plain: Any, tree: Tree) -> Tree:
    """What a tree evaluates to, at the places of the tree."""
    if isinstance(tree, Mapping):
        entries = tuple((key, placed(plain[str(key.value)], item)) for key, item in tree.entries)
        return Mapping(entries, tree.span)
    if isinstance(tree, Sequence):
        items = tuple(placed(value, item) for value, item in zip(plain, tree.items, strict=True))
        return Sequence(items, tree.span)
    return Scalar(plain, tree.span)


def read_attributes(
    what: str, attributes: tuple[Attribute, ...], tree: Mapping, others: Collection[str] = ()
) -> tuple[dict[str, Any], list[Diagnostic]]:
    """The parsed attributes of ``tree`` with defaults, and what is wrong with them.

    ``others`` are keys that somebody else reads.
    """
    found: list[Diagnostic] = []
    known = {attribute.name: attribute for attribute in attributes}
    meant = set()
    for key, _ in tree.entries:
        if key.value not in known and key.value not in others and len(found) < MAX_REPORTED:
            meant.add(nearest(str(key.value), known))
            message = f"{what} has no attribute '{key.value}'"
            help_text = did_you_mean(str(key.value), [*known, *others])
            found.append(Diagnostic("E0801", message, key.span, help=help_text))
    values: dict[str, Any] = {}
    for name, attribute in known.items():
        item = tree.get(name)
        if item is None:
            if attribute.default is REQUIRED and name not in meant:
                message = f"{what} needs the attribute '{name}'"
                found.append(Diagnostic("E0801", message, tree.span, help=attribute.doc))
            values[name] = attribute.default
            continue
        try:
            values[name] = attribute.kind.parse(to_plain(item))
        except AttributeProblem as problem:
            message = f"{what}, attribute '{name}': {problem.message}"
            found.append(Diagnostic("E0801", message, item.span, help=problem.suggestion))
    return values, found

"""Comments of the language, given to the part of the tree that their statement became."""

from __future__ import annotations

import bisect
import dataclasses

from specc.frontend.layout import Comment
from specc.frontend.tree import Comments, Mapping, Scalar, Sequence, Tree, with_comments

_GROUPS = frozenset(
    {
        "allow",
        "includes",
        "parameters",
        "inputs",
        "targets",
        "blocks",
        "shared",
        "layers",
        "outputs",
    }
)
"""Sections that gather statements: no text of the language stands for them, so they own no comment.
"""


def attach_comments(tree: Mapping, comments: list[Comment]) -> Mapping:
    """The tree with each comment at the statement, layer or argument whose line it ends or that
    follows it."""
    if not comments:
        return tree
    owners: dict[int, int] = {}
    _find_owners(tree, owners, is_body=True)
    positions = sorted(owners)
    before: dict[int, list[str]] = {}
    after: dict[int, str] = {}
    end: list[str] = []
    text = tree.span.source.text
    for comment in comments:
        line_start = text.rfind("\n", 0, comment.start) + 1
        at = bisect.bisect_left(positions, line_start)
        first = positions[at] if at < len(positions) else len(text)
        if not comment.own_line and first < comment.start and first not in after:
            after[first] = comment.text
            continue
        at = bisect.bisect_left(positions, comment.start)
        if at < len(positions):
            before.setdefault(positions[at], []).append(comment.text)
        else:
            end.append(comment.text)
    found = {
        owners[position]: Comments(tuple(before.get(position, ())), after.get(position, ""))
        for position in before.keys() | after.keys()
    }
    attached = _attach(tree, found)
    assert isinstance(attached, Mapping)
    return with_comments(attached, Comments(end=tuple(end)))


def _find_owners(tree: Tree, owners: dict[int, int], is_body: bool) -> None:
    """Offset to identity of every node that may own comments; the outermost node of an offset comes
    first."""
    if isinstance(tree, Sequence):
        for item in tree.items:
            owners.setdefault(item.span.start, id(item))
            _find_owners(item, owners, is_body=False)
    elif isinstance(tree, Mapping):
        for key, value in tree.entries:
            grouping = is_body and key.value in _GROUPS
            if not grouping:
                owners.setdefault(key.span.start, id(key))
            is_block = key.value == "repeat" or (grouping and key.value == "blocks")
            if is_block and key.value == "blocks" and isinstance(value, Mapping):
                for name, block in value.entries:
                    owners.setdefault(name.span.start, id(name))
                    _find_owners(block, owners, is_body=True)
            else:
                _find_owners(value, owners, is_body=key.value == "repeat")


def _attach(tree: Tree, found: dict[int, Comments]) -> Tree:
    comments = found.get(id(tree), Comments())
    if isinstance(tree, Scalar):
        return with_comments(tree, comments)
    if isinstance(tree, Sequence):
        items = tuple(_attach(item, found) for item in tree.items)
        return dataclasses.replace(tree, items=items, comments=comments or tree.comments)
    entries = tuple(
        (with_comments(key, found.get(id(key), Comments())), _attach(value, found))
        for key, value in tree.entries
    )
    return dataclasses.replace(tree, entries=entries, comments=comments or tree.comments)

"""Lines of the language: comments, statements that wrap, and chains of layers."""

from __future__ import annotations

import itertools
import re
from dataclasses import field

from specc.frontend.tree import Comments, Mapping, Scalar, Sequence, Tree
from specc.records import dataclass

WIDTH = 100
"""A longer line is broken within its brackets."""

CHAIN_WIDTH = 88
"""A chain of layers that is longer is written with a line for each step."""


@dataclass
class Chain:
    """A chain while it is written: its start, its steps with their comments, and what binds its
    result."""

    head: str
    steps: list[tuple[list[str], Comments]] = field(default_factory=list)
    binding: str = ""

    def lines(self) -> list[str]:
        comments = [c for _, c in self.steps]
        start = f"{self.binding}{self.head}"
        plain = len(self.steps) == 1 or not any(c.before or c.after for c in comments[1:])
        single = all(len(step) == 1 for step, _ in self.steps) and plain
        line = " | ".join([start, *(step[0] for step, _ in self.steps)])
        if single and len(line) <= CHAIN_WIDTH:
            first = comments[0]
            return [*comment_lines(first.before), line + comment_end(first)]
        lines = [*comment_lines(comments[0].before), start]
        for index, (step, own) in enumerate(self.steps):
            if index:
                lines += [f"  {line}" for line in comment_lines(own.before)]
            lines.append(f"  | {step[0]}{comment_end(own)}")
            lines += [f"    {line}" for line in step[1:]]
        return lines


_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|.')


def _outer_brackets(line: str) -> list[list[int]]:
    """For each pair of outermost brackets the offsets of its opener, its own commas and its
    closer.
    """
    groups: list[list[int]] = []
    depth = 0
    for piece in _PIECE.finditer(line):
        if piece[0] in "([{":
            depth += 1
            if depth == 1:
                groups.append([piece.start()])
        elif piece[0] in ")]}":
            depth -= 1
            if depth == 0:
                groups[-1].append(piece.start())
        elif piece[0] == "," and depth == 1:
            groups[-1].append(piece.start())
    return groups


def wrapped(line: str, width: int = WIDTH) -> list[str]:
    """The line; if it is too long, one line for each part within its outermost brackets."""
    groups = _outer_brackets(line)
    if len(line) <= width or not groups:
        return [line]
    lines: list[str] = []
    done = 0
    for offsets in groups:
        lines.append(line[done : offsets[0] + 1].strip())
        for left, right in itertools.pairwise(offsets):
            part = line[left + 1 : right].strip()
            comma = "," if right != offsets[-1] else ""
            lines += [f"  {inner}" for inner in wrapped(part + comma, width - 2) if inner]
        done = offsets[-1]
    return [*lines, line[done:]]


def comment_lines(texts: tuple[str, ...]) -> list[str]:
    return [f"# {text}".rstrip() for text in texts]


def comment_end(comments: Comments) -> str:
    return f"  # {comments.after}".rstrip() if comments.after else ""


def statement(key: Scalar, value: Tree, line: str) -> list[str]:
    """A one-line statement with the comments of its key; those within its value stand above it."""
    before = (*comment_lines(key.comments.before), *inner_comments(value))
    first, *rest = wrapped(line)
    return [*before, first + comment_end(key.comments), *rest]


def all_comments(comments: Comments) -> list[str]:
    after = (comments.after,) if comments.after else ()
    return comment_lines((*comments.before, *after, *comments.end))


def inner_comments(tree: Tree) -> list[str]:
    own = all_comments(tree.comments)
    if isinstance(tree, Scalar):
        return own
    if isinstance(tree, Sequence):
        return own + [line for item in tree.items for line in inner_comments(item)]
    return own + [
        line
        for key, value in tree.entries
        for line in (*all_comments(key.comments), *inner_comments(value))
    ]


def item_comments(item: Tree) -> Comments:
    """The comments of a layer, those within its attributes and at its kind made its own; a repeat
    writes its own."""
    if not isinstance(item, Mapping):
        return item.comments
    before = list(item.comments.before)
    after = item.comments.after
    for key, value in item.entries:
        before += key.comments.before
        if key.comments.after and not after:
            after = key.comments.after
        elif key.comments.after:
            before.append(key.comments.after)
        if key.value != "repeat":
            before += [line.removeprefix("#").removeprefix(" ") for line in inner_comments(value)]
        elif isinstance(value, Mapping):
            before += [
                text.removeprefix("#").removeprefix(" ")
                for name, inner in value.entries
                if name.value in ("times", "index")
                for text in (*all_comments(name.comments), *inner_comments(inner))
            ]
    return Comments(tuple(before), after)

"""YAML in one style: spaces, indentation and the ends of lines change, tokens do not.

Blocks are indented by two columns. What an author wrote in braces or brackets stays so while it
fits a line and has no comments inside; else it becomes a block.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from dataclasses import field
from typing import Any

from specc.diagnostics import Source
from specc.frontend.expression_text import quote
from specc.frontend.trivia import Comment, Page, blank_above, comment_at
from specc.frontend.yaml_comments import comment_starts, end_of, start_of
from specc.records import dataclass

WIDTH = 120
"""Braces and brackets that would end beyond this column become blocks."""

_APART = frozenset({"blocks", "layers", "training", "data"})
"""Sections that have a blank line above them."""

_SPACE = " \t\n"  # what YAML takes for space; Python takes more
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)+")
_BLOCK_SCALAR = re.compile(r"([|>]-?)[ \t]*(#[^\n]*)?\n(.*)", re.DOTALL)
_NOWHERE = 10**9


@dataclass
class _Node:
    """A node as written. ``text`` is that of a scalar or alias; ``children`` are the items of a
    list, or keys and values by turns."""

    start: int
    end: int
    text: str = ""
    anchor: str = ""
    flow: bool = True
    is_mapping: bool = False
    children: list[_Node] | None = None

    @property
    def pairs(self) -> Iterator[tuple[_Node, _Node]]:
        items = iter(self.children or ())
        return zip(items, items, strict=True)


def format_yaml(source: Source) -> str:
    """The text in one style, for a text that ``read_yaml`` reads without an error.

    A text with texts of several lines whose indentation is written as a number is left as it is.
    """
    import yaml

    events = list(yaml.parse(source.text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    root, starts = _build(events, source.text)
    if root is None:
        return source.text
    comments = [comment_at(source.text, start) for start in comment_starts(source, events)]
    return _Writer(source.text, Page(source.text, comments), starts).write(root)


def _build(events: list[Any], text: str) -> tuple[_Node | None, list[int]]:
    """The root node and the offsets where nodes start; no node for texts that have to stay as
    they are."""
    from yaml import (
        AliasEvent,
        CollectionEndEvent,
        CollectionStartEvent,
        MappingStartEvent,
        NodeEvent,
        ScalarEvent,
    )

    root: _Node | None = None
    starts: list[int] = []
    open_nodes: list[_Node] = []
    for event in events:
        if isinstance(event, CollectionEndEvent):
            node = open_nodes.pop()
            ends = (child.end for child in node.children or ())
            node.end = end_of(event) if node.flow else max(ends)
        elif isinstance(event, NodeEvent):
            node = _Node(start_of(event), end_of(event))
            starts.append(node.start)
            root = root or node
            if open_nodes and open_nodes[-1].children is not None:
                open_nodes[-1].children.append(node)
            node.anchor = f"&{event.anchor} " if event.anchor else ""
            if isinstance(event, AliasEvent):
                node.anchor, node.text = "", f"*{event.anchor}"
            elif isinstance(event, ScalarEvent):
                written = _scalar_text(event, text[node.start : node.end])
                if written is None:
                    return None, []
                node.text = written
            elif isinstance(event, CollectionStartEvent):
                node.flow, node.children = bool(event.flow_style), []
                node.is_mapping = isinstance(event, MappingStartEvent)
                open_nodes.append(node)
    return root, starts


def _scalar_text(event: Any, written: str) -> str | None:
    """A scalar as it is written, without anchor and tag. One of several lines is put on one line,
    unless it is a block; None for a block that only its own lines can say."""
    text = _PROPERTIES.sub("", written, count=1) if written[:1] in ("&", "!") else written
    if event.style not in ("|", ">"):
        text = text.strip(_SPACE) if event.value or event.style else ""
        # Within brackets a dash alone is a text, elsewhere an item of a list.
        return text if "\n" not in text and text not in ("-", "?") else quote(event.value)
    block = _BLOCK_SCALAR.fullmatch(text)
    if block is not None and not event.value.endswith("\n") and "-" not in block[1]:
        return quote(event.value)  # it ends with the text, which has no newline there
    if block is None or not block[3].strip():
        return None
    first = block[3].lstrip("\n")
    indent = len(first) - len(first.lstrip(" "))
    lines = [line[indent:] for line in block[3].split("\n")]
    while not lines[-1]:
        lines.pop()
    return "\n".join([f"{block[1]}  {block[2]}" if block[2] else block[1], *lines])


def _flow_text(node: _Node) -> str:
    """The node on one line, without its anchor."""
    if node.children is None:
        return node.text or "~"
    if node.is_mapping:
        pairs = (f"{key.text}: {value.anchor}{_flow_text(value)}" for key, value in node.pairs)
        return f"{{{', '.join(pairs)}}}"
    return f"[{', '.join(f'{item.anchor}{_flow_text(item)}' for item in node.children)}]"


@dataclass
class _Writer:
    text: str
    page: Page
    starts: list[int]
    # What the next line begins with: the dashes of list items.
    dashes: str = ""
    # Of each open block: its column in the text, and its indentation on the page.
    open: list[tuple[int, int]] = field(default_factory=list)
    # The blocks that were open at the last line.
    last: list[tuple[int, int]] = field(default_factory=list)

    def write(self, root: _Node) -> str:
        if root.children:
            self._body(root, 0)
        elif root.children is not None:
            self._line(0, _flow_text(root), root.end)
        self._above(len(self.text), 0, 0)
        return self.page.render()

    def _body(self, node: _Node, indent: int) -> None:
        """The lines of a mapping or list as a block."""
        assert node.children
        first = node.children[0].start if node.is_mapping else node.start
        self.open.append((_NOWHERE if node.flow else self._column(first), indent))
        if node.is_mapping:
            for key, value in node.pairs:
                self._entry(key, value, indent)
        else:
            for item in node.children:
                self._item(item, indent)
        if node.flow:
            self.page.own_lines((c, indent) for c in self.page.waiting(node.end))
        self.open.pop()

    def _entry(self, key: _Node, value: _Node, indent: int) -> None:
        apart = not indent and not self.dashes and key.text in _APART
        self._above(key.start, indent, self._column(key.start), apart)
        head = f"{key.text}: {value.anchor}"
        flow = self._inline(value, WIDTH - indent - len(head))
        if flow is not None:
            inner = self.page.waiting(value.start)
            self.page.own_lines((comment, self._indent(indent)) for comment in inner)
            self._line(indent, (head + flow).rstrip(_SPACE), value.end)
            return
        opened = value.start + len(value.anchor.rstrip())
        self._line(indent, head.rstrip(), opened if value.anchor or value.flow else key.end)
        self.page.fresh = True
        self._body(value, indent + 2)

    def _item(self, item: _Node, indent: int) -> None:
        self._above(item.start, indent, self.open[-1][0])
        flow = self._inline(item, WIDTH - indent - 2)
        lone = item.is_mapping and len(item.children or ()) == 2 and not item.anchor
        if flow is not None and not lone:
            self._line(indent, f"- {item.anchor}{flow}".rstrip(_SPACE), item.end)
            return
        if item.anchor:
            self._line(indent, f"- {item.anchor.rstrip()}", item.start + len(item.anchor) - 1)
            self.page.fresh = True
        else:
            self.dashes += "- "
        self._body(item, indent + 2)

    def _inline(self, node: _Node, room: int) -> str | None:
        """The node on the line of its key or dash; None for one that becomes a block."""
        if node.children is None:
            return node.text
        if node.children and (not node.flow or self._has_comments(node)):
            return None
        flow = _flow_text(node)
        return flow if len(flow) <= room or not node.children else None

    def _has_comments(self, node: _Node) -> bool:
        starts = self.page.starts
        at = bisect.bisect_left(starts, node.start)
        return at < len(starts) and starts[at] < node.end

    def _indent(self, indent: int) -> int:
        """Where a line of that block starts, its dashes included."""
        return indent - len(self.dashes)

    def _column(self, offset: int) -> int:
        return offset - self.text.rfind("\n", 0, offset) - 1

    def _line(self, indent: int, text: str, end: int) -> None:
        """Writes a line that ends at that offset of the text, its comment with it."""
        first, *rest = text.split("\n")
        self.page.add(self._indent(indent), self.dashes + first)
        self.dashes = ""
        self.last = list(self.open)
        for line in rest:
            self.page.add(indent + 2 if line else 0, line)
        at = bisect.bisect_right(self.starts, end)
        if not rest:
            self.page.end_of_line(end, self.starts[at] if at < len(self.starts) else len(self.text))

    def _above(self, start: int, indent: int, column: int, apart: bool = False) -> None:
        """Writes what stands between the last line and the entry at that offset.

        A comment further to the right than the entry stays in the block whose column it reached.
        """
        placed = [(c, self._level(c, indent, column)) for c in self.page.waiting(start)]
        own = len(placed)
        while own and placed[own - 1][1] == self._indent(indent):
            own -= 1
        self.page.own_lines(placed[:own])
        followers = [*(comment.start for comment, _ in placed[own:]), start]
        if apart and not any(blank_above(self.text, each) for each in followers):
            self.page.blank()
        self.page.own_lines(placed[own:])
        in_flow = bool(self.open) and self.open[-1][0] == _NOWHERE
        if start < len(self.text) and not in_flow and blank_above(self.text, start):
            self.page.blank()

    def _level(self, comment: Comment, indent: int, column: int) -> int:
        inner = [
            level for at, level in self.last if column < at <= comment.column and level > indent
        ]
        return max(inner, default=self._indent(indent))

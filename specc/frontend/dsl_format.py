"""The language in one style: spaces and the ends of lines change, tokens do not.

A chain of layers stands on one line while it is short and has no comments inside, else with a line
for each step. A line that is too long, or has comments within its brackets, is broken there.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, takewhile, zip_longest
from typing import TYPE_CHECKING, Union

from specc.diagnostics import Source, SpecError
from specc.frontend.dsl_lines import CHAIN_WIDTH, WIDTH
from specc.frontend.layout import lay_out, lex, start_of
from specc.frontend.parser import parse_file
from specc.frontend.trivia import MARGIN, Page, blank_above, comment_at
from specc.records import dataclass

if TYPE_CHECKING:
    from lark import Token

_CLOSERS = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
_WORDS = frozenset({"AND", "OR", "NOT", "IF", "THEN", "ELSE"})
_OPERATORS = frozenset({"PLUS", "MINUS", "MULTIPLY", "POWER", "COMPARE", "VBAR"})
_APART = frozenset({"BLOCK", "TRAINING", "DATA"})
"""Words whose statements have a blank line above them."""


@dataclass
class _Group:
    """What stands in brackets, by its commas."""

    opener: Token
    closer: Token
    items: list[list[_Node]]


@dataclass
class _Body:
    """Statements within braces; in ``settings``, those of training and data."""

    opener: Token
    closer: Token
    statements: list[list[_Node]]
    settings: bool


_Node = Union["Token", _Group, _Body]


def format_dsl(source: Source) -> str:
    """The text in one style. Raises SpecError for a text that does not parse (E0201 to E0204)."""
    parsed = parse_file(source)
    if parsed.diagnostics:
        raise SpecError(parsed.diagnostics)
    tokens, comments = lay_out(source, lex(source)[0], [])
    statements = _Structure(tokens).statements(settings=False)
    page = Page(source.text, [comment_at(source.text, comment.start) for comment in comments])
    _Writer(source.text, page).statements(statements, 0, len(source.text), settings=False)
    return page.render()


def meaning(source: Source) -> list[str]:
    """The tokens of a text that count: not the comma before a closing bracket."""
    tokens, _ = lay_out(source, lex(source)[0], [])
    pairs = zip_longest(tokens, tokens[1:])
    closers = _CLOSERS.values()
    return [
        str(t) for t, after in pairs if t.type != "COMMA" or not after or after.type not in closers
    ]


def _first(node: _Node) -> Token:
    return node.opener if isinstance(node, _Group | _Body) else node


def _last(node: _Node) -> Token:
    return node.closer if isinstance(node, _Group | _Body) else node


def _end(node: _Node) -> int:
    return _last(node).end_pos or 0


class _Structure:
    """Tokens to statements, groups and bodies."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.index = 0

    def statements(self, settings: bool) -> list[list[_Node]]:
        """The statements up to the brace that closes their body."""
        found: list[list[_Node]] = []
        while self.index < len(self.tokens) and self.tokens[self.index].type != "RBRACE":
            nodes: list[_Node] = []
            while self.tokens[self.index].type != "NEWLINE":
                nodes.append(self._node(nodes, settings))
            self.index += 1
            found.append(nodes)
        return found

    def _node(self, before: list[_Node], settings: bool) -> _Node:
        token = self.tokens[self.index]
        self.index += 1
        if token.type not in _CLOSERS:
            return token
        if token.type != "LBRACE" or settings or not before or _last(before[-1]).type == "EQUAL":
            return self._group(token)
        inner = _first(before[0]).type in ("TRAINING", "DATA")
        statements = self.statements(inner)
        self.index += 1
        return _Body(token, self.tokens[self.index - 1], statements, inner)

    def _group(self, opener: Token) -> _Group:
        items: list[list[_Node]] = [[]]
        while self.tokens[self.index].type != _CLOSERS[opener.type]:
            if self.tokens[self.index].type == "COMMA":
                items.append([])
                self.index += 1
            else:
                items[-1].append(self._node([], settings=True))
        self.index += 1
        return _Group(opener, self.tokens[self.index - 1], [item for item in items if item])


def _flat(nodes: Sequence[_Node], tight: bool, entry: bool = False) -> str:
    """The nodes on one line. In brackets and settings '=' is ``tight``; the first word of an
    ``entry`` is followed by its values."""
    text = ""
    for position, node in enumerate(nodes):
        if position and _spaced(nodes, position, tight, entry):
            text += " "
        if isinstance(node, _Group):
            inner = ", ".join(_flat(item, tight=True) for item in node.items)
            text += f"{node.opener}{inner}{node.closer}"
        else:
            text += str(_first(node))
    return text


def _spaced(nodes: Sequence[_Node], position: int, tight: bool, entry: bool) -> bool:
    """Whether a space stands before that node."""
    left, right = _last(nodes[position - 1]).type, _first(nodes[position]).type
    if right in ("COMMA", "COLON"):
        return False
    if "EQUAL" in (left, right):
        return not tight
    if left in ("PLUS", "MINUS") and _is_sign(nodes, position - 1, entry):
        return False
    if right in ("LPAR", "LSQB"):
        follows_entry = entry and position == 1
        return follows_entry or left in _OPERATORS | _WORDS or left in ("COMMA", "COLON")
    return True


def _is_sign(nodes: Sequence[_Node], position: int, entry: bool) -> bool:
    """Whether a plus or minus belongs to the value after it alone."""
    if position == 0 or (entry and position == 1):
        return True
    before = _last(nodes[position - 1]).type
    return before in _OPERATORS | _WORDS or before in ("EQUAL", "COMMA", "COLON")


def _chain(nodes: list[_Node]) -> list[list[_Node]]:
    """A statement's parts between its '|'."""
    parts: list[list[_Node]] = [[]]
    for node in nodes:
        if _first(node).type == "VBAR":
            parts.append([])
        else:
            parts[-1].append(node)
    return parts


@dataclass
class _Writer:
    text: str
    page: Page
    # Of a chain of several lines just written: its column in the text, and its indentation.
    chain: tuple[int, int] = (0, -1)

    def statements(
        self, statements: list[list[_Node]], indent: int, end: int, settings: bool
    ) -> None:
        """Writes the statements of a body, and the comments up to its end."""
        apart = False
        for nodes in statements:
            first = _first(nodes[0])
            stands_apart = indent == 0 and first.type in _APART
            self._above(start_of(first), indent, apart or stands_apart)
            self._statement(nodes, indent, settings)
            apart = stands_apart
        self._above(end, indent, apart=False)

    def _above(self, start: int, indent: int, apart: bool) -> None:
        """Writes what stands between the last statement and the one at that offset.

        A comment below a chain, and further to the right, stays with the steps of the chain.
        """
        column, level = self.chain
        waiting = self.page.waiting(start)
        steps = [] if level != indent else list(takewhile(lambda c: c.column > column, waiting))
        own = waiting[len(steps) :]
        self.page.own_lines((comment, indent + 2) for comment in steps)
        followers = [*(comment.start for comment in own), start]
        if apart and not any(blank_above(self.text, each) for each in followers):
            self.page.blank()
        self.page.own_lines((comment, indent) for comment in own)
        if start < len(self.text) and blank_above(self.text, start):
            self.page.blank()
        self.chain = (0, -1)

    def _statement(self, nodes: list[_Node], indent: int, settings: bool) -> None:
        parts = _chain(nodes)
        end = _end(nodes[-1])
        flat = _flat(nodes, settings, settings)
        has_body = any(isinstance(node, _Body) for node in nodes)
        too_long = len(flat) > (CHAIN_WIDTH if len(parts) > 1 else WIDTH) - indent
        comment = self.page.beside(end, len(self.text))
        if len(parts) > 1 and comment is not None:
            too_long |= indent + len(flat) + len(MARGIN) + len(comment.text) > WIDTH
        if not (has_body or too_long or self.page.waiting(end)):
            self.page.add(indent, flat)
        else:
            self._parts(parts, indent, settings)
        self.page.end_of_line(end, len(self.text))

    def _parts(self, parts: list[list[_Node]], indent: int, settings: bool) -> None:
        """Writes a statement of several lines, each step of a chain on its own."""
        start = start_of(_first(parts[0][0]))
        self._line("", parts[0], indent, settings, settings)
        for before, part in pairwise(parts):
            self.page.end_of_line(_end(before[-1]), start_of(_first(part[0])))
            comments = self.page.waiting(start_of(_first(part[0])))
            self.page.own_lines((comment, indent + 2) for comment in comments)
            self._line("| ", part, indent + 2, settings)
        if len(parts) > 1:
            self.chain = (start - self.text.rfind("\n", 0, start) - 1, indent)

    def _line(
        self,
        text: str,
        nodes: list[_Node],
        indent: int,
        tight: bool,
        entry: bool = False,
        end: str = "",
    ) -> None:
        """Writes nodes below each other where brackets are broken or a body stands; ``text`` and
        ``end`` are written around them."""
        inside = indent + len(text)
        too_long = len(text) + len(_flat(nodes, tight, entry)) + len(end) > WIDTH - indent
        for position, node in enumerate(nodes):
            if position and _spaced(nodes, position, tight, entry):
                text += " "
            if isinstance(node, _Body):
                self._open(indent, text, node.opener)
                self.statements(node.statements, inside + 2, start_of(node.closer), node.settings)
            elif isinstance(node, _Group) and self._breaks(node, too_long):
                self._open(indent, text, node.opener)
                self._items(node, inside + 2)
            else:
                text += _flat([node], tight)
                continue
            indent, text = inside, str(node.closer)
        self.page.add(indent, text + end)

    def _open(self, indent: int, text: str, opener: Token) -> None:
        self.page.add(indent, f"{text}{opener}")
        self.page.end_of_line(opener.end_pos or 0, self._token_after(opener.end_pos or 0))
        self.page.fresh = True

    def _token_after(self, offset: int) -> int:
        """Where the text goes on after white space."""
        rest = self.text[offset:]
        return offset + len(rest) - len(rest.lstrip()) + 1

    def _breaks(self, group: _Group, too_long: bool) -> bool:
        inner = self.page.waiting(start_of(group.closer))
        return bool(inner) or (too_long and bool(group.items))

    def _items(self, group: _Group, indent: int) -> None:
        closer = start_of(group.closer)
        starts = [*(start_of(_first(item[0])) for item in group.items), closer]
        for item, (start, following) in zip(group.items, pairwise(starts), strict=True):
            self.page.own_lines((comment, indent) for comment in self.page.waiting(start))
            self._line("", item, indent, tight=True, end="," if following != closer else "")
            self.page.end_of_line(_end(item[-1]), following)
        self.page.own_lines((comment, indent) for comment in self.page.waiting(closer))

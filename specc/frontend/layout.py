"""The first half of reading the language: characters to tokens, newlines to statement ends,
comments aside."""

from __future__ import annotations

import itertools
import re
from dataclasses import field
from typing import TYPE_CHECKING

from specc.diagnostics import Diagnostic, Note, Source, Span, SpecError
from specc.frontend.grammar import grammar
from specc.frontend.sources import MAX_ERRORS
from specc.records import dataclass

if TYPE_CHECKING:
    from lark import Token

MAX_TOKENS = 12_000
"""A text of more words and signs is refused: it takes longer to parse than to read a book."""

MAX_BRACKETS = 100
"""Brackets nested deeper than this are refused."""

_SINGLE_QUOTED = re.compile(r"'[^'\n]*'")
_UNCLOSED_STRING = re.compile(r'"([^"\\\n]++|\\.)*+')
_OPENERS = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
SYMBOLS = {
    "LPAR": "(", "RPAR": ")", "LSQB": "[", "RSQB": "]", "LBRACE": "{", "RBRACE": "}",
    "COMMA": ",", "COLON": ":", "EQUAL": "=", "VBAR": "|", "POWER": "**", "PLUS": "+", "MINUS": "-",
}  # fmt: skip


@dataclass(frozen=True)
class Comment:
    """A comment without its '#', and whether it has a line of its own."""

    text: str
    start: int
    own_line: bool


def start_of(token: Token) -> int:
    return token.start_pos or 0


def span_of(source: Source, token: Token) -> Span:
    return Span(source, start_of(token), token.end_pos or start_of(token))


def lex(source: Source) -> tuple[list[Token], list[Diagnostic]]:
    """All tokens. A character that starts none is reported, blanked and passed over."""
    from lark import UnexpectedCharacters

    text = source.text
    diagnostics: list[Diagnostic] = []
    while True:
        try:
            tokens = list(itertools.islice(grammar().lex(text), MAX_TOKENS + 1))
        except UnexpectedCharacters as error:
            start = error.pos_in_stream or 0
            string = _UNCLOSED_STRING.match(text, start) or _SINGLE_QUOTED.match(text, start)
            end = string.end() if string else start + 1
            diagnostics.append(_bad_character(Span(source, start, end), text[start:end]))
            if len(diagnostics) >= MAX_ERRORS:
                raise SpecError(diagnostics) from None
            text = text[:start] + " " * (end - start) + text[end:]
            continue
        if len(tokens) > MAX_TOKENS:
            message = f"the spec has more than {MAX_TOKENS:,} words and signs"
            span = span_of(source, tokens[-1])
            raise SpecError(Diagnostic("E0002", message, span, help="use blocks and repeats"))
        return tokens, diagnostics


def _bad_character(span: Span, text: str) -> Diagnostic:
    character = text[0]
    if character == '"':
        return Diagnostic(
            "E0202", "this text has no closing quote", span, help='end it with " on the same line'
        )
    if character in "'`‘’“”":
        inner = text[1:-1] or "..."
        message = f"{character} does not start a text"
        return Diagnostic("E0203", message, span, help=f'write "{inner}"')
    shown = character if character.isprintable() else f"U+{ord(character):04X}"
    return Diagnostic("E0203", f"the character '{shown}' has no meaning in the language", span)


class _Broken(Exception):  # noqa: N818  (it never leaves this module)
    """Brackets that do not match: what to say, and the tokens to leave out before trying again."""

    def __init__(self, diagnostic: Diagnostic, first: int, last: int | None) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic
        self.first = first
        self.last = last


@dataclass
class _Layout:
    """Newlines to statement ends, and comments aside."""

    source: Source
    raw: list[Token]
    tokens: list[Token] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    # The open brackets: position in ``raw``, and what newlines and braces mean within. In "flow" a
    # newline means nothing, in "body" and "settings" it ends a statement, and braces within the
    # latter two are "body" and "flow".
    open: list[tuple[int, str]] = field(default_factory=list)
    statement_start: int = 0

    def run(self) -> None:
        for index, token in enumerate(self.raw):
            if token.type == "NEWLINE":
                self._keep_comments(token)
                following = self.raw[index + 1].type if index + 1 < len(self.raw) else ""
                if following != "VBAR":
                    self._end_statement(token, index)
                continue
            if token.type in _OPENERS:
                self._open_bracket(index)
            elif token.type in _OPENERS.values():
                self._close_bracket(index)
            self.tokens.append(token)
        if self.open:
            raise self._never_closed(len(self.raw))
        if self.tokens:
            self._end_statement(self.tokens[-1], len(self.raw))

    def _keep_comments(self, token: Token) -> None:
        for match in re.finditer(r"#[^\r\n]*", token):
            start = start_of(token) + match.start()
            line_start = self.source.text.rfind("\n", 0, start) + 1
            own_line = not self.source.text[line_start:start].strip()
            text = match[0][1:].removeprefix(" ").rstrip()
            self.comments.append(Comment(text, start, own_line))

    def _mode(self) -> str:
        return self.open[-1][1] if self.open else "body"

    def _end_statement(self, token: Token, index: int) -> None:
        if self._mode() == "flow":
            return
        self.statement_start = index + 1
        opens_body = bool(self.open) and self.tokens[-1] is self.raw[self.open[-1][0]]
        if self.tokens and self.tokens[-1].type != "NEWLINE" and not opens_body:
            self.tokens.append(type(token).new_borrow_pos("NEWLINE", "\n", token))

    def _open_bracket(self, index: int) -> None:
        if len(self.open) >= MAX_BRACKETS:
            message = f"more than {MAX_BRACKETS} brackets within each other"
            span = span_of(self.source, self.raw[index])
            raise _Broken(Diagnostic("E0204", message, span), index, None)
        mode = "flow"
        is_value = index > 0 and self.raw[index - 1].type == "EQUAL"
        if self.raw[index].type == "LBRACE" and self._mode() == "body" and not is_value:
            first = self.raw[self.statement_start].type
            mode = "settings" if first in ("TRAINING", "DATA") else "body"
            self.statement_start = index + 1
        self.open.append((index, mode))

    def _close_bracket(self, index: int) -> None:
        token = self.raw[index]
        span = span_of(self.source, token)
        if not self.open or (self._mode() != "flow" and token.type != "RBRACE"):
            message = f"this '{token}' closes nothing"
            raise _Broken(Diagnostic("E0204", message, span, help="remove it"), index, index)
        opener = self.raw[self.open[-1][0]]
        if _OPENERS[opener.type] != token.type:
            if token.type == "RBRACE":
                raise self._never_closed(index)
            opened = Note(f"'{opener}' is opened here", span_of(self.source, opener))
            message = f"expected '{SYMBOLS[_OPENERS[opener.type]]}', found '{token}'"
            # The bracket without a partner is left out: the opener, if an outer one wants `token`.
            outer = (self.raw[i].type for i, mode in self.open if mode == "flow")
            wanted = any(_OPENERS[kind] == token.type for kind in outer)
            odd = self.open[-1][0] if wanted else index
            raise _Broken(Diagnostic("E0204", message, span, (opened,)), odd, odd)
        if self._mode() != "flow":
            self._end_statement(token, index)
        self.open.pop()

    def _never_closed(self, end: int) -> _Broken:
        """The innermost open bracket; the rest of its line is left out, so that later lines are
        still read."""
        index, mode = self.open[-1]
        opener = self.raw[index]
        symbol = SYMBOLS[_OPENERS[opener.type]]
        diagnostic = Diagnostic(
            "E0204",
            f"'{opener}' is never closed",
            span_of(self.source, opener),
            help=f"add the missing '{symbol}'",
        )
        newlines = (i for i in range(index, end) if self.raw[i].type == "NEWLINE")
        last = next(newlines, end) - 1
        if self.raw[last].type == "LBRACE":  # it opens the body of the statement
            last -= 1
        return _Broken(diagnostic, index, last if mode == "flow" else None)


def lay_out(
    source: Source, tokens: list[Token], diagnostics: list[Diagnostic]
) -> tuple[list[Token], list[Comment]]:
    """Tokens for the automaton; mismatched brackets are reported and left out."""
    while True:
        layout = _Layout(source, tokens)
        try:
            layout.run()
        except _Broken as broken:
            diagnostics.append(broken.diagnostic)
            if broken.last is None or len(diagnostics) >= MAX_ERRORS:
                raise SpecError(diagnostics) from None
            tokens = tokens[: broken.first] + tokens[broken.last + 1 :]
        else:
            return layout.tokens, layout.comments

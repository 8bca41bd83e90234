"""The place of a cursor in YAML, by indentation and brackets: the text may be broken anywhere."""

from __future__ import annotations

import re
from dataclasses import field

from specc.lsp.context import Path, Place
from specc.records import dataclass

_KEY = re.compile(
    r"""(?:"([^"\n]*)"|'([^'\n]*)'|([^\s#:{}\[\],&*!|>'"%@`-][^:#\n]*?))\s*:(?=\s|$)"""
)
_DASH = re.compile(r"-(?:[ \t]+|$)")
_WORD = re.compile(r"""[^\s{}\[\],:"'$]*$""")


@dataclass
class _Frame:
    """A mapping or list that is open: how far it is indented (None in brackets), where it lies,
    and the key whose value comes next."""

    path: Path
    is_mapping: bool
    indent: int | None = None
    key: str | None = None
    used: list[str] = field(default_factory=list)
    scalars: dict[str, str] = field(default_factory=dict)

    def value_path(self) -> Path:
        """Where its next value lies."""
        if not self.is_mapping:
            return (*self.path, "-")
        block = self.scalars.get("use")
        key = f"with:{block}" if self.key == "with" and block else self.key or ""
        return (*self.path, key)

    def start_key(self, key: str) -> None:
        self.key = key
        self.used.append(key)


def yaml_place(text: str, offset: int) -> Place | None:
    """The place of an offset; None within a comment."""
    scanner = _Scanner()
    *lines, last = text[:offset].split("\n")
    for line in lines:
        scanner.line(line)
    return scanner.cursor(last, offset)


class _Scanner:
    def __init__(self) -> None:
        self.frames = [_Frame((), True, 0)]
        self.after_dash = False
        # The quote or word that the cursor is in.
        self.quote = ""
        self.comment = False

    @property
    def top(self) -> _Frame:
        return self.frames[-1]

    def _in_brackets(self) -> bool:
        return self.top.indent is None

    def line(self, line: str) -> None:
        """Reads a whole line."""
        if self._in_brackets() or line.strip().startswith("#") or not line.strip():
            self._flow(line if self._in_brackets() else "")
            return
        self._flow(line[self._block(line) :])

    def _block(self, line: str) -> int:
        """Opens and closes the blocks at the beginning of a line; gives where its value starts."""
        at = len(line) - len(line.lstrip(" "))
        self.after_dash = False
        while (dash := _DASH.match(line, at)) is not None:
            self._open_list(at)
            at = dash.end()
            self.after_dash = True
        key = _KEY.match(line, at)
        if key is None:
            return at
        self._open_mapping(at)
        self.top.start_key(next(part for part in key.groups() if part is not None))
        self.after_dash = False
        return key.end()

    def _close(self, indent: int) -> None:
        while len(self.frames) > 1 and (self.top.indent is None or self.top.indent > indent):
            self.frames.pop()

    def _open_list(self, indent: int) -> None:
        self._close(indent)
        if self.top.is_mapping or self.top.indent != indent:
            self.frames.append(_Frame(self.top.value_path(), False, indent))

    def _open_mapping(self, indent: int) -> None:
        self._close(indent)
        if self.top.is_mapping and self.top.indent == indent:
            return
        if not self.top.is_mapping and self.top.indent == indent:
            self.frames.pop()  # a list at the indentation of the key that it belongs to
            return
        self.frames.append(_Frame(self.top.value_path(), True, indent))

    def _flow(self, text: str) -> None:
        """Reads what follows a key or dash on its line, or a line within brackets."""
        word = ""
        self.quote, self.comment = "", False
        for position, character in enumerate(text):
            if self.quote:
                self.quote = "" if character == self.quote else self.quote
                word += character
            elif character in "\"'" and not word.strip():
                self.quote = character
            elif character == "#" and (not position or text[position - 1].isspace()):
                self.comment = True
                break
            elif character in "{[":
                self.frames.append(_Frame(self._value_path(), character == "{"))
                word = ""
            elif character in "}]," and self._in_brackets():
                self._scalar(word)
                word = ""
                if character == ",":
                    self.top.key = None
                else:
                    self.frames.pop()
            elif character == ":" and self._in_brackets() and self.top.key is None:
                self.top.start_key(word.strip())
                word = ""
            else:
                word += character
        self._scalar(word)

    def _value_path(self) -> Path:
        return self.top.value_path()

    def _scalar(self, text: str) -> None:
        if self.top.is_mapping and self.top.key and text.strip():
            self.top.scalars[self.top.key] = text.strip()

    def cursor(self, line: str, offset: int) -> Place | None:
        """The place at the end of a line that is read up to there."""
        in_block = not self._in_brackets()
        at = self._block(line) if in_block else 0
        has_key = in_block and bool(_KEY.match(line, len(line) - len(line.lstrip(" -"))))
        if in_block and not has_key and not self.after_dash:
            self._close(at)
        before = list(self.frames)
        self._flow(line[at:])
        if self.comment:
            return None
        word = _WORD.search(line)
        start = offset - len(line) + (word.start() if word else len(line))
        quoted = bool(self.quote)
        if self._in_brackets() or has_key:
            return self._place(start, quoted)
        if self.after_dash:
            item = before[-1].value_path()
            return Place(start, item, item, quoted=quoted)
        return self._at_indent(start, at, quoted)

    def _place(self, start: int, quoted: bool) -> Place:
        top = self.top
        if not top.is_mapping:
            item = top.value_path()
            return Place(start, item, item, quoted=quoted)
        used = frozenset(top.used)
        if top.key is None:
            return Place(start, keys=top.path, used=used, siblings=top.scalars, quoted=quoted)
        siblings = {key: text for key, text in top.scalars.items() if key != top.key}
        return Place(start, values=top.value_path(), siblings=siblings, quoted=quoted)

    def _at_indent(self, start: int, indent: int, quoted: bool) -> Place:
        """The place of a word that begins a line of its own."""
        top = self.top
        if top.is_mapping and top.indent == indent:
            used = frozenset(top.used)
            return Place(start, keys=top.path, used=used, siblings=top.scalars, quoted=quoted)
        inner = top.value_path() if top.key or not top.is_mapping else top.path
        return Place(start, inner, inner, siblings=top.scalars, quoted=quoted)

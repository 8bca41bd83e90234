"""The place of a cursor in the language, from the tokens before it: the text may be broken
anywhere."""

from __future__ import annotations

import re
from dataclasses import field

from specc.lsp.context import Path, Place
from specc.records import dataclass

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)|(?P<text>"(?:[^"\\\n]|\\.)*(?P<closed>")?)|(?P<newline>\n)
    |(?P<word>[A-Za-z_][A-Za-z_0-9]*)|(?P<symbol>\*\*|//|[<>=!]=|[^\s\w"#])|(?P<other>\w+)""",
    re.VERBOSE,
)
_SETTINGS = frozenset({"conventions", "layout", "dtype", "seed"})
_LAYER: Path = ("layers", "-")


@dataclass
class _Frame:
    """An open bracket. ``kind`` is body, settings, call, list, mapping or group; ``path`` says
    where its contents lie, ``words`` are the tokens of the statement or argument so far."""

    kind: str
    path: Path
    words: list[str] = field(default_factory=list)
    position: int = 0
    keyword: str = ""
    used: list[str] = field(default_factory=list)
    siblings: dict[str, str] = field(default_factory=dict)


def dsl_place(text: str, offset: int, blocks: frozenset[str]) -> Place | None:
    """The place of an offset; None within a comment or where a new name stands. ``blocks`` are the
    names of the blocks that a step may use."""
    scanner = _Scanner(blocks)
    start, quoted = offset, False
    for match in _TOKEN.finditer(text, 0, offset):
        kind = match.lastgroup
        if match["comment"] is not None and match.end() == offset:
            return None
        if match["text"] is not None and match["closed"] is None and match.end() == offset:
            start, quoted = match.start() + 1, True
        elif match["word"] is not None and match.end() == offset:
            start = match.start()
        elif kind == "newline":
            following = _TOKEN.search(text, match.end())
            scanner.newline(following is not None and following[0] == "|")
        elif match["comment"] is None:
            scanner.token(match[0])
    return scanner.place(start, quoted)


class _Scanner:
    def __init__(self, blocks: frozenset[str]) -> None:
        self.blocks = blocks
        self.frames = [_Frame("body", ())]

    @property
    def top(self) -> _Frame:
        return self.frames[-1]

    def newline(self, goes_on: bool) -> None:
        if self.top.kind in ("body", "settings") and not goes_on:
            self._start_statement()

    def _start_statement(self) -> None:
        self.top.words, self.top.keyword, self.top.position = [], "", 0

    def token(self, token: str) -> None:
        top = self.top
        if token in ("(", "[", "{"):
            self._open(token)
        elif token in (")", "]", "}"):
            if len(self.frames) > 1:
                self.frames.pop()
                self.top.words.append(token)
        elif token == "," and top.kind != "body":
            top.position, top.keyword = top.position + 1, ""
            top.words = top.words[:1] if top.kind == "settings" else []
        elif token in ("=", ":") and top.kind != "body" and top.words:
            top.keyword = top.words[-1]
            top.used.append(top.keyword)
        else:
            top.words.append(token)

    def _open(self, token: str) -> None:
        top = self.top
        last = top.words[-1] if top.words else ""
        called = (
            token == "("
            and last.isidentifier()
            and not (top.kind == "settings" and len(top.words) == 1)
        )
        if token == "(":
            frame = self._call(last) if called else self._head()
        elif token == "[":
            frame = _Frame("list", self._value_path() if top.kind != "body" else ())
        else:
            frame = self._braces()
        top.words.append(token)
        self.frames.append(frame)

    def _call(self, name: str) -> _Frame:
        top = self.top
        if top.kind != "body":
            return _Frame("call", (*self._value_path(), name))
        if top.words[0] == "block":
            return _Frame("group", ())
        layer = (*top.path, *_LAYER)
        if name == "repeat":
            return _Frame("call", (*layer, "repeat"))
        return _Frame("call", (*layer, f"with:{name}" if name in self.blocks else name))

    def _head(self) -> _Frame:
        """A bracket without a name before it: the start of a chain, or a part of an expression."""
        top = self.top
        if top.kind == "body" and (not top.words or top.words[-1] == "="):
            return _Frame("head", (*top.path, *_LAYER, "from"))
        return _Frame("group", self._value_path() if top.kind != "body" else ())

    def _braces(self) -> _Frame:
        top = self.top
        first = top.words[0] if top.words else ""
        if top.kind == "body" and first == "block" and len(top.words) > 1:
            return _Frame("body", ("blocks", top.words[1]))
        if top.kind == "body" and first in ("training", "data"):
            siblings = {"source": top.words[1]} if first == "data" and len(top.words) > 1 else {}
            return _Frame("settings", (first,), siblings=siblings)
        if top.kind == "body":
            return _Frame("body", (*top.path, *_LAYER, "repeat"))
        return _Frame("mapping", self._value_path())

    def _value_path(self) -> Path:
        """Where the value that is being written lies."""
        top = self.top
        match top.kind:
            case "settings":
                entry = (*top.path, top.words[0] if top.words else "")
                return (*entry, top.keyword) if top.keyword else entry
            case "list":
                return (*top.path, "-")
            case "call" | "mapping" if top.keyword:
                return (*top.path, top.keyword)
            case "call":
                return (*top.path, f"#{top.position}")
        return top.path

    def place(self, start: int, quoted: bool) -> Place | None:
        top = self.top
        used = frozenset(top.used)
        match top.kind:
            case "body":
                return self._in_body(start, quoted)
            case "settings" if not top.words:
                return Place(start, keys=top.path, siblings=top.siblings, quoted=quoted)
            case "settings" if not top.keyword:
                path = self._value_path()
                return Place(start, path, path, used, top.siblings, quoted=quoted)
            case "call" if not top.keyword and not top.words:
                return Place(start, top.path, self._value_path(), used, quoted=quoted)
            case "call" | "mapping" | "settings" if top.keyword:
                siblings = top.siblings
                return Place(start, values=self._value_path(), siblings=siblings, quoted=quoted)
            case "mapping":
                return Place(start, keys=top.path, used=used, quoted=quoted)
            case "group":
                return None
        return Place(start, values=self._value_path(), siblings=top.siblings, quoted=quoted)

    def _in_body(self, start: int, quoted: bool) -> Place | None:
        top = self.top
        first, last = (top.words[0], top.words[-1]) if top.words else ("", "")
        path: Path | None = None
        if not top.words:
            return Place(start, top.path, (*top.path, *_LAYER, "from"), statement=True)
        if last == "|" or (last == "=" and first == "layer"):
            return Place(start, keys=(*top.path, *_LAYER))
        if last == "=" and first == "parameter":
            path = ("parameters", top.words[1])
        elif last == "=":
            path = (*top.path, *_LAYER, "from")
        elif first == "include" and len(top.words) == 1:
            path = ("includes", "-")
        elif first == "output" and last in ("output", ","):
            path = (*top.path, "outputs")
        elif first in ("input", "target") and last == ":":
            path = (f"{first}s", top.words[1], "dtype")
        elif first in _SETTINGS and len(top.words) == 1:
            path = (first,)
        elif first == "data" and len(top.words) == 1:
            path = ("data", "source")
        return None if path is None else Place(start, values=path, quoted=quoted)

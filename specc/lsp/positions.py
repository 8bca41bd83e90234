"""Offsets in a text and the positions of the protocol, which counts in code units."""

from __future__ import annotations

import bisect

from lsprotocol.types import Position, PositionEncodingKind, Range

from specc.diagnostics import Span

_BYTES: dict[PositionEncodingKind, tuple[str, int]] = {
    PositionEncodingKind.Utf8: ("utf-8", 1),
    PositionEncodingKind.Utf16: ("utf-16-le", 2),
    PositionEncodingKind.Utf32: ("utf-32-le", 4),
}


class Positions:
    """The positions of one text. A column counts units of ``encoding``, UTF-16 if a client does
    not ask for another one; a character outside the basic plane is two of those."""

    def __init__(
        self, text: str, encoding: PositionEncodingKind = PositionEncodingKind.Utf16
    ) -> None:
        self.text, self.encoding = text, encoding
        self._codec, self._size = _BYTES[encoding]
        self._starts = [0, *(i + 1 for i, character in enumerate(text) if character == "\n")]

    def _units(self, text: str) -> int:
        if text.isascii():
            return len(text)
        return len(text.encode(self._codec, errors="surrogatepass")) // self._size

    def position(self, offset: int) -> Position:
        """Where a character offset is; one past the end is the end."""
        offset = min(max(offset, 0), len(self.text))
        line = bisect.bisect_right(self._starts, offset) - 1
        return Position(line, self._units(self.text[self._starts[line] : offset]))

    def offset(self, position: Position) -> int:
        """The character offset of a position; one past a line's end is that end, as the protocol
        says, and one within a character is the character's start."""
        if position.line >= len(self._starts):
            return len(self.text)
        start = self._starts[position.line]
        end = self.text.find("\n", start)
        line = self.text[start : len(self.text) if end < 0 else end]
        if line.isascii():
            return start + min(position.character, len(line))
        units = 0
        for index, character in enumerate(line):
            units += self._units(character)
            if units > position.character:
                return start + index
        return start + len(line)

    def range(self, start: int, end: int) -> Range:
        return Range(self.position(start), self.position(end))

    def of(self, span: Span) -> Range:
        """The range of a span of this text; an empty one still covers a character."""
        return self.range(span.start, max(span.end, span.start + 1))

    def line_end(self, offset: int) -> int:
        """The offset of the end of the line that an offset is on."""
        end = self.text.find("\n", offset)
        return len(self.text) if end < 0 else end

"""The text of a file, and places in it."""

from __future__ import annotations

import bisect
from dataclasses import field
from functools import cached_property

from specc.records import dataclass


@dataclass(frozen=True)
class Source:
    """The text of one file, and the name under which messages show it."""

    name: str
    text: str

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(i + 1 for i, character in enumerate(self.text) if character == "\n")]

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column, both counted from 1, of a character offset."""
        line = bisect.bisect_right(self._line_starts, offset) - 1
        return line + 1, offset - self._line_starts[line] + 1

    def line(self, number: int) -> str:
        """The text of a line (counted from 1) without its end."""
        start = self._line_starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start : len(self.text) if end < 0 else end].rstrip("\r")


@dataclass(frozen=True)
class Span:
    """The characters [start, end) of a source."""

    source: Source = field(repr=False)
    start: int
    end: int

    def __str__(self) -> str:
        line, column = self.source.position(self.start)
        return f"{self.source.name}:{line}:{column}"

    @property
    def text(self) -> str:
        """The characters themselves."""
        return self.source.text[self.start : self.end]

    @property
    def first_line(self) -> Span:
        """Its beginning, for what is missing from the whole: there is nothing to underline."""
        end = self.source.text.find("\n", self.start, self.end)
        return Span(self.source, self.start, self.end if end < 0 else end)

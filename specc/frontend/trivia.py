"""What a formatter keeps beside the tokens: comments, and the lines that an author left blank."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable
from dataclasses import field
from functools import cached_property

from specc.records import dataclass

MARGIN = "  "
"""Between the text of a line and the comment at its end."""

MAX_SHIFT = 24
"""As far as a comment is moved to stand below the one above it."""

_GLUED = frozenset(" \t!:#'")
"""Characters that may follow a comment's '#' directly."""


@dataclass(frozen=True)
class Comment:
    """A comment with its '#', the offset where it starts and its column, counted from 0."""

    text: str
    start: int
    column: int


@dataclass
class Line:
    """A line while it is written; one without text and comment is blank."""

    indent: int = 0
    text: str = ""
    comment: str = ""


def comment_at(text: str, start: int) -> Comment:
    """The comment whose '#' stands at that offset, with a space after it."""
    end = text.find("\n", start)
    shown = text[start : len(text) if end < 0 else end].rstrip()
    if shown[1:2] and shown[1] not in _GLUED:
        shown = f"# {shown[1:]}"
    return Comment(shown, start, start - text.rfind("\n", 0, start) - 1)


def blank_above(text: str, start: int) -> bool:
    """Whether the line above the one with this offset says nothing."""
    line_start = text.rfind("\n", 0, start) + 1
    if not line_start:
        return False
    return not text[text.rfind("\n", 0, line_start - 1) + 1 : line_start].strip()


@dataclass
class Page:
    """The lines written so far, and the comments of the text that are still to be written."""

    text: str
    comments: list[Comment]
    lines: list[Line] = field(default_factory=list)
    done: int = 0
    # Whether a blank line would stand first on the page or in a body, where none belongs.
    fresh: bool = True

    def add(self, indent: int, text: str) -> None:
        self.lines.append(Line(indent, text))
        self.fresh = False

    def blank(self) -> None:
        if not self.fresh and self.lines[-1].text + self.lines[-1].comment:
            self.lines.append(Line())

    @cached_property
    def starts(self) -> list[int]:
        """Where the comments stand."""
        return [comment.start for comment in self.comments]

    def waiting(self, end: int) -> list[Comment]:
        """The comments before that offset that are not written yet."""
        return self.comments[self.done : bisect.bisect_left(self.starts, end)]

    def own_lines(self, comments: Iterable[tuple[Comment, int]]) -> None:
        """Writes comments, each with its indentation, on lines of their own."""
        for comment, indent in comments:
            if blank_above(self.text, comment.start):
                self.blank()
            self.lines.append(Line(indent, "", comment.text))
            self.fresh = False
            self.done += 1

    def beside(self, start: int, limit: int) -> Comment | None:
        """The comment that follows the offset on its line, if there is one before ``limit``."""
        at = max(self.done, bisect.bisect_left(self.starts, start))
        if at >= len(self.comments) or self.starts[at] >= limit:
            return None
        found = self.comments[at]
        return None if "\n" in self.text[start : found.start] else found

    def end_of_line(self, start: int, limit: int) -> None:
        """Puts the comment that follows the offset on its line at the end of the last line."""
        comment = self.beside(start, limit)
        if comment is not None and not self.lines[-1].comment:
            self.lines[-1].comment = comment.text
            self.done += 1

    def render(self) -> str:
        """The page as text. Comments at the ends of neighbouring lines begin in one column."""
        while self.lines and not self.lines[-1].text + self.lines[-1].comment:
            self.lines.pop()
        written: list[str] = []
        for (_, annotated), group in itertools.groupby(self.lines, _alignment):
            run = list(group)
            widths = [len(line.text) for line in run]
            width = max(widths) if max(widths) - min(widths) <= MAX_SHIFT else 0
            for line in run:
                text = f"{line.text:{width}}{MARGIN}{line.comment}" if annotated else ""
                written.append(" " * line.indent + (text or line.text or line.comment))
        return "".join(f"{line}\n" for line in written)


def _alignment(line: Line) -> tuple[int, bool]:
    """What lines whose comments are aligned have in common."""
    return line.indent, bool(line.text and line.comment)

"""A diagnostic as text: the message, the lines that it is about with marks under the places, help.

    net.yaml:6:12: error[E0404]: the name 'h' is used twice
      |
    4 |   - {name: h, dense: 3}
      |            - 'h' is first defined here
    5 |   - relu
    6 |   - {name: h, dense: 3}
      |            ^
    help: choose another name

Places of one file share an excerpt; ``...`` stands for lines between them. What does not print is
written out, and a long line is cut around its mark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from specc.diagnostics.diagnostic import Diagnostic, Note
from specc.diagnostics.source import Source, Span
from specc.diagnostics.visible import shown, visible, width
from specc.records import dataclass

Paint = Callable[[str, str], str]
"""From a text and its part in a message to the text in that part's colours. The parts: ``error``,
``warning``, ``mark``, ``second`` (marks of notes), ``note``, ``help``."""

MAX_LINE = 140
"""As many characters of a line as are shown."""
MAX_MESSAGE = 2000
"""As many characters of a message as are shown: it may quote a text without end."""
_BEFORE = 50
"""As many characters before the mark as a line that is cut keeps."""
_MAX_MARKED = 3
"""As many lines of one place as are marked; of a longer place it is the first."""


def plain(text: str, part: str) -> str:
    """No colours."""
    return text


def render(diagnostic: Diagnostic, paint: Paint = plain) -> str:
    """The diagnostic as text: ``file:line:col: error[E0101]: message``, the place underlined, with
    what explains it, and help."""
    title = f"{diagnostic.code} {diagnostic.name}".rstrip()
    head = f"{diagnostic.severity}[{title}]: {_one_line(diagnostic.message)}"
    lines = [_place(diagnostic.span) + paint(head, diagnostic.severity)]
    beside: list[Note] = []
    if diagnostic.span is not None:
        source = diagnostic.span.source
        beside = [note for note in diagnostic.notes if note.span and note.span.source == source]
        marks = [_Mark(diagnostic.span, "", "^", "mark")]
        marks += [
            _Mark(note.span, _one_line(note.message), "-", "second") for note in beside if note.span
        ]
        lines += _excerpt(source, marks, paint)
    for note in diagnostic.notes:
        if note not in beside:
            lines += _note(note, paint)
    if diagnostic.help:
        lines.append(f"{paint('help:', 'help')} {_one_line(diagnostic.help)}")
    return "\n".join(lines)


def _place(span: Span | None) -> str:
    return f"{visible(str(span))}: " if span else ""


def _one_line(message: str) -> str:
    """A message as one line: what a spec puts into it can look like nothing else."""
    text = message if len(message) <= MAX_MESSAGE else f"{message[: MAX_MESSAGE - 3]}..."
    return visible(text.replace("\n", " "))


def _note(note: Note, paint: Paint) -> Iterator[str]:
    message = "\n      ".join(map(visible, note.message.split("\n")))
    yield f"{paint('note:', 'note')} {_place(note.span)}{message}"
    if note.span:
        yield from _excerpt(note.span.source, [_Mark(note.span, "", "^", "mark")], paint)


@dataclass(frozen=True)
class _Mark:
    """A place to underline, and what is said about it there."""

    span: Span
    label: str
    sign: str
    part: str


@dataclass(frozen=True)
class _Piece:
    """The columns [start, end), counted from 0, of one line that a mark underlines."""

    number: int
    start: int
    end: int
    mark: _Mark
    is_last: bool


def _excerpt(source: Source, marks: list[_Mark], paint: Paint) -> list[str]:
    """The lines that the marks are on, each with a row below it for each mark."""
    pieces: dict[int, list[_Piece]] = {}
    for mark in marks:
        for piece in _pieces(source, mark):
            pieces.setdefault(piece.number, []).append(piece)
    gutter = " " * len(str(max(pieces)))
    rows = [f"{gutter} |"]
    previous = 0
    for number in sorted(pieces):
        if previous and number == previous + 2:
            rows += _line(source, previous + 1, [], gutter, paint)
        elif previous and number > previous + 1:
            rows.append("...")
        rows += _line(source, number, pieces[number], gutter, paint)
        previous = number
    return rows


def _pieces(source: Source, mark: _Mark) -> Iterator[_Piece]:
    first, column = source.position(mark.span.start)
    written = max(1, len(mark.span.text.rstrip()))
    last, end = source.position(mark.span.start + written - 1)
    if last - first >= _MAX_MARKED:
        last, end = first, len(source.text)
    for number in range(first, last + 1):
        text = source.line(number)
        if number > first and not text.strip():
            continue
        start = column - 1 if number == first else len(text) - len(text.lstrip())
        stop = min(len(text), end if number == last else len(text))
        yield _Piece(number, start, max(stop, start + 1), mark, number == last)


def _line(
    source: Source, number: int, pieces: list[_Piece], gutter: str, paint: Paint
) -> Iterator[str]:
    """A line of the source and its marks; a long one again for marks that are far apart."""
    text = source.line(number)
    head = f"{number:>{len(gutter)}} | "
    rest: list[_Piece] = pieces
    while True:
        low, high = _window(len(text), rest[:1])
        inside = [piece for piece in rest if low <= piece.start < high or piece is rest[0]]
        rest = [piece for piece in rest if piece not in inside]
        before, after = "..." * (low > 0), "..." * (high < len(text))
        cells = [shown(character) for character in text[low:high]]
        yield f"{head}{before}{''.join(cells)}{after}".rstrip()
        for piece in inside:
            yield from _underline(piece, cells, low, f"{gutter} | {' ' * len(before)}", paint)
        if not rest:
            return


def _window(length: int, pieces: Iterable[_Piece]) -> tuple[int, int]:
    """The characters of a line that are shown: all, or some around its first mark."""
    start = next((piece.start for piece in pieces), 0)
    low = min(max(0, start - _BEFORE), max(0, length - MAX_LINE))
    return low, min(length, low + MAX_LINE)


def _underline(piece: _Piece, cells: list[str], low: int, head: str, paint: Paint) -> Iterator[str]:
    start, end = piece.start - low, piece.end - low
    indent = " " * width("".join(cells[:start]))
    signs = piece.mark.sign * max(1, width("".join(cells[start:end])))
    label = f" {piece.mark.label}" if piece.mark.label and piece.is_last else ""
    yield head + indent + paint(signs + label, piece.mark.part)

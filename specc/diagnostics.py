"""Source positions and diagnostics: every way in which a spec can be wrong is one of these, never a
traceback."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import field
from functools import cached_property

from specc.records import dataclass

CODES: dict[str, str] = {
    # Files
    "E0001": "a file that cannot be read",
    "E0002": "a file that is too large",
    "E0003": "a file that is not UTF-8",
    "E0004": "a control character",
    "E0005": "a file whose ending says nothing",
    "E0006": "an include that is not a file of the spec's folder",
    "E0007": "an include that goes round in a circle",
    "E0008": "an included file with more than blocks and parameters",
    "E0009": "a name that two files define",
    "E0010": "a --set whose path leads nowhere",
    # YAML
    "E0101": "text that is not YAML",
    "E0102": "an expression within brackets that is not quoted",
    "E0103": "YAML that is not one mapping of names to values",
    "E0104": "a key that is given twice",
    "E0105": "a tag",
    "E0106": "an alias without an anchor, or a merge key",
    "E0107": "mappings and lists without measure",
    # The language
    "E0201": "a statement that does not parse",
    "E0202": "a text in quotes that is broken",
    "E0203": "a character without a meaning",
    "E0204": "brackets that do not match",
    "E0205": "a name that is given twice",
    "E0206": "more values than a layer takes",
    "E0207": "a value without a name after one with a name",
    "E0208": "a statement that can stand only once",
    "E0209": "a chain without a layer",
    "E0210": "attributes for a layer that has them already",
    "E0211": "a spec that the language cannot write",
    # Expressions
    "E0301": "text that is not an expression",
    "E0302": "an unknown parameter or function",
    "E0303": "an operation that its values do not allow",
    "E0304": "a division by zero",
    "E0305": "a number or an expression without measure",
    "E0306": "an expression that is only a part of a value",
    # Names and wiring
    "E0401": "layers that are not a list",
    "E0402": "an item of layers that is not one layer",
    "E0403": "a word that cannot be a name",
    "E0404": "a name that two things have",
    "E0405": "a value with the name of an op",
    "E0406": "a value that is not given by its name",
    "E0407": "an unknown value",
    "E0408": "a layer that does not follow exactly one output",
    "E0409": "an unknown input of a layer",
    "E0410": "a wrong number of inputs",
    "E0411": "an input that nothing is wired to",
    "E0412": "an unknown layer",
    "E0413": "an unknown layer to call again",
    "E0414": "a wrong number of output names",
    "E0415": "an unknown block",
    "E0416": "an unknown parameter of a block",
    "E0417": "a parameter without a value",
    "E0418": "a repeat without a body",
    "E0419": "a repeat without a number of times",
    "E0420": "a repeat whose outputs cannot feed its inputs",
    "E0421": "a block that uses itself",
    "E0422": "a spec or block without layers",
    "E0423": "a spec or block without inputs",
    "E0424": "an unknown section",
    "E0425": "a spec of no known version",
    "E0426": "a section that is not a mapping",
    "E0427": "an input without a shape",
    "E0428": "a size that is no size",
    "E0429": "a block that gives nothing",
    "E0430": "blocks and repeats without measure",
    # Attributes
    "E0501": "an unknown attribute",
    "E0502": "an attribute without a value",
    "E0503": "a value that an attribute cannot take",
    "E0504": "a choice that is not written as one",
    "E0505": "an unknown choice",
    # Shapes and types
    "E0601": "a layer that cannot work on its input",
    "E0602": "integers where numbers are needed, or the reverse",
    "E0603": "a target whose shape does not fit the prediction",
    "E0604": "a shared layer whose inputs need other parameters",
    "E0605": "a tensor that no machine can hold",
    # Training
    "E0701": "an unknown key of training",
    "E0702": "training without a loss",
    "E0703": "a loss that does not say what it compares",
    "E0704": "an unknown loss",
    "E0705": "a metric that fits no output and target",
    "E0706": "training without anything to train",
    # Data
    "E0801": "a data section that is not well formed",
    "E0802": "a data file that cannot be opened",
    "E0803": "a data source whose package is not installed",
    "E0804": "a column or array that the data do not have",
    "E0805": "data for an input or target that the spec does not have",
    "E0806": "a preparation step that is unknown or not well formed",
    "E0807": "data that a preparation step cannot work on",
    "E0808": "data whose shape is not the declared one",
    "E0809": "data whose type is not the declared one",
    "E0810": "data with values that are not finite",
    "E0811": "rows that cannot be matched or split",
    "E0812": "a CSV file that is not well formed",
    # Backends and plug-ins
    "E0901": "an operation that a backend cannot express",
    "E0902": "an unknown backend",
    "E0903": "a name that two packages claim",
    "E0904": "a plug-in that does not load",
    # Running
    "E1001": "a framework that is not installed",
    "E1002": "a generated file that failed",
    "E1003": "files that are not of the same spec",
    "E1004": "a run that exists already",
    "E1005": "a folder that is not a run's",
    "E1006": "a file that cannot be written",
    "E1007": "a spec without what the command needs",
    "E1008": "a part that the data do not have",
    "E1009": "an unknown operation",
    "E1010": "a device that a backend does not have",
    # Warnings
    "W1001": "a value that nothing uses",
    "W1002": "a loss of values that are no probabilities, or no logits",
    # specc itself
    "E9999": "a mistake in specc itself",
}
"""Every code with its title.

A family of codes belongs to one part of the compiler: E00 files, E01 YAML, E02 the language, E03
expressions, E04 names and wiring, E05 attributes, E06 shapes, E07 training, E08 data, E09 backends,
E10 running, W10 warnings.
"""


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


@dataclass(frozen=True)
class Note:
    """A second place that explains the first: where the other number came from."""

    message: str
    span: Span | None = None


@dataclass(frozen=True)
class Diagnostic:
    """One mistake: a stable code, the cause in the user's words, where it is and how to mend it."""

    code: str
    message: str
    span: Span | None = None
    notes: tuple[Note, ...] = ()
    help: str = ""
    severity: str = "error"

    def __str__(self) -> str:
        return render(self)


class SpecError(Exception):
    """Carries the diagnostics of a spec out of the compiler."""

    def __init__(self, diagnostics: Diagnostic | Iterable[Diagnostic]) -> None:
        if isinstance(diagnostics, Diagnostic):
            diagnostics = (diagnostics,)
        self.diagnostics: tuple[Diagnostic, ...] = tuple(diagnostics)
        super().__init__("\n\n".join(map(str, self.diagnostics)))


def _excerpt(span: Span) -> list[str]:
    number, column = span.source.position(span.start)
    text = span.source.line(number)
    width = max(1, min(span.end, span.start + len(text) - column + 1) - span.start)
    # Tabs keep their place in the underline, so that the carets stand under what they mean.
    indent = "".join("\t" if character == "\t" else " " for character in text[: column - 1])
    gutter = " " * len(str(number))
    return [f"{gutter} |", f"{number} | {text}", f"{gutter} | {indent}{'^' * width}"]


def render(diagnostic: Diagnostic) -> str:
    """The diagnostic as plain text: ``file:line:col: error[E0101]: message``, the line underlined,
    notes and help."""
    head = f"{diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}"
    lines = [f"{diagnostic.span}: {head}" if diagnostic.span else head]
    if diagnostic.span:
        lines += _excerpt(diagnostic.span)
    for note in diagnostic.notes:
        lines.append(f"note: {note.span}: {note.message}" if note.span else f"note: {note.message}")
        if note.span:
            lines += _excerpt(note.span)
    if diagnostic.help:
        lines.append(f"help: {diagnostic.help}")
    return "\n".join(lines)


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that was probably meant by ``name``, or None when none is near."""
    import difflib

    matches = difflib.get_close_matches(name, list(candidates), n=1, cutoff=0.6)
    return matches[0] if matches else None


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """A help text that suggests the nearest name, or lists the choices when they are few."""
    choices = sorted(set(candidates))
    match = nearest(name, choices)
    if match is not None:
        return f"did you mean '{match}'?"
    if len(choices) == 1:
        return f"the only choice is '{choices[0]}'"
    return f"choose one of {', '.join(choices)}" if 0 < len(choices) <= 12 else ""

"""What PyYAML complains about, in the words of someone who wrote a spec."""

from __future__ import annotations

import re
from typing import Any

from specc.diagnostics import Diagnostic, Note, Source, Span

_CAUSES: tuple[tuple[str, str, str], ...] = (
    (
        "did not find expected key",
        "the indentation of this line fits no line above it",
        "entries of one mapping start in the same column",
    ),
    (
        "did not find expected '-' indicator",
        "this line stands where a list goes on, but does not start with '- '",
        "start it with '- ', or indent it like the entries it belongs to",
    ),
    (
        "block sequence entries are not allowed",
        "a list cannot start here",
        "put the '- ' on a line of its own, indented below the name",
    ),
    (
        "found unknown escape character",
        "the text has an escape that means nothing",
        "in double quotes a backslash is written \\\\",
    ),
    (
        "found undefined tag handle",
        "tags have no meaning in a spec",
        "quote the text if the '!' belongs to it",
    ),
    (
        "alphabetic or numeric character",
        "'*' and '&' start the name of an anchor, and no name follows",
        "quote the text if the sign belongs to it",
    ),
    ("unknown directive name", "a line cannot start with '%'", "remove it, or quote the text"),
    ("did not find expected node content", "a value is missing here", ""),
)


def explain(source: Source, error: Any) -> Diagnostic:
    """The diagnostic for a ``yaml.MarkedYAMLError``: E0102 for an unquoted expression, else
    E0101.
    """
    at = min(error.problem_mark.index if error.problem_mark else 0, len(source.text))
    problem = error.problem or ""
    context_at = error.context_mark.index if error.context_mark else None
    return (
        _unquoted_expression(source, at)
        or _unclosed(source, problem, error.context or "", context_at)
        or _in_flow(source, at, problem, context_at)
        or _bad_start(source, at, problem)
        or _no_colon(source, problem, context_at)
        or _no_space(source, at, problem)
        or _misplaced_colon(source, at, problem)
        or _after_value(source, at, problem)
        or _by_cause(source, at, problem)
    )


def _place(source: Source, at: int) -> Span:
    """The word at an offset; at the end of the text, the last line that says something."""
    if not source.text[at:].strip():
        at = max(len(source.text.rstrip()) - 1, 0)
    word = re.compile(r"[^\s,\[\]{}:]+").match(source.text, at)
    return Span(source, at, word.end() if word else at + 1)


def _unquoted_expression(source: Source, at: int) -> Diagnostic | None:
    line_start = source.text.rfind("\n", 0, at) + 1
    for match in re.finditer(r"\$\{[^}\n]*\}?", source.text[line_start : at + 1] + "}"):
        if line_start + match.start() + 1 != at:
            continue
        whole = re.compile(r"\$\{[^}\n]*\}?").match(source.text, at - 1)
        span = Span(source, at - 1, whole.end() if whole else at + 1)
        text = source.text[span.start : span.end]
        if at > 1 and source.text[at - 2] not in " \t\n[{,":
            message = "an expression has to be the whole value"
            help_text = "write '${...}' around all of it, in quotes, or '$$' for a dollar sign"
            return Diagnostic("E0306", message, span, help=help_text)
        return Diagnostic(
            "E0102",
            "within [ ] or { } an expression has to be quoted: YAML reads its braces as a mapping",
            span,
            help=f"write '{text}'" if '"' in text else f'write "{text}"',
        )
    return None


def _unclosed(source: Source, problem: str, context: str, at: int | None) -> Diagnostic | None:
    if at is None:
        return None
    opener = source.text[at : at + 1]
    if "end of stream" in problem and "quoted scalar" in context:
        line_end = source.text.find("\n", at)
        span = Span(source, at, len(source.text) if line_end < 0 else line_end)
        message = "this text has no closing quote"
        return Diagnostic("E0101", message, span, help=f"end it with {opener}")
    return None


def _bad_start(source: Source, at: int, problem: str) -> Diagnostic | None:
    if "cannot start any token" not in problem:
        return None
    character = source.text[at : at + 1]
    if character == "\t":
        message, help_text = "a tab cannot indent a line of YAML", "use spaces"
    else:
        message = f"a value cannot start with '{character}'"
        help_text = "quote the text"
    return Diagnostic("E0101", message, Span(source, at, at + 1), help=help_text)


def _no_colon(source: Source, problem: str, line_at: int | None) -> Diagnostic | None:
    if "could not find expected ':'" not in problem or line_at is None:
        return None
    number, column = source.position(line_at)
    end = line_at - column + 1 + len(source.line(number).rstrip())
    message = "this line is neither 'name: value' nor a '- item'"
    help_text = "is a ':' or the space after it missing?"
    return Diagnostic("E0101", message, Span(source, line_at, max(end, line_at)), help=help_text)


def _no_space(source: Source, at: int, problem: str) -> Diagnostic | None:
    if "found unexpected ':'" not in problem or source.text[at : at + 1] != ":":
        return None
    message = "this ':' is part of a word: no space follows it"
    return Diagnostic("E0101", message, Span(source, at, at + 1), help="write ': ', with a space")


def _misplaced_colon(source: Source, at: int, problem: str) -> Diagnostic | None:
    if "mapping values are not allowed" not in problem:
        return None
    line_number, column = source.position(at)
    span = Span(source, at, at + 1)
    if ":" in source.line(line_number)[: column - 1]:
        message = "a second ':' cannot stand on this line"
        help_text = "quote the text if the ':' belongs to it, or start the key on a line of its own"
        return Diagnostic("E0101", message, span, help=help_text)
    above = next((n for n in range(line_number - 1, 0, -1) if source.line(n).strip()), None)
    if above is None:
        return None
    text = source.line(above)
    start = at - column + 1
    this_line = _place(
        source, start + len(source.line(line_number)) - len(source.line(line_number).lstrip())
    )
    if ":" not in text:
        line_above = source.text.rfind(text.strip(), 0, start)
        where = Span(source, line_above, line_above + len(text.strip()))
        message = "this line is neither 'name: value' nor a '- item'"
        return Diagnostic("E0101", message, where, help="is a ':' or the space after it missing?")
    message = "this line is indented below a line that already has a value"
    help_text = "entries of one mapping start in the same column"
    return Diagnostic("E0101", message, this_line, help=help_text)


def _after_value(source: Source, at: int, problem: str) -> Diagnostic | None:
    """Text behind a value that had already ended: ``padding: "same" # ok`` but ``name: "a" b``."""
    line_number, column = source.position(at)
    if "did not find expected key" not in problem:
        return None
    before = source.line(line_number)[: column - 1].rstrip()
    if not before.endswith(('"', "'", "]", "}")):
        return None
    message = f"nothing can follow the {before[-1]} that ends the value"
    return Diagnostic("E0101", message, _place(source, at), help="quote the text as a whole")


def _by_cause(source: Source, at: int, problem: str) -> Diagnostic:
    for known, message, help_text in _CAUSES:
        if known in problem:
            return Diagnostic("E0101", message, _place(source, at), help=help_text)
    return Diagnostic("E0101", f"this is not valid YAML: {problem}", _place(source, at))


def _in_flow(source: Source, at: int, problem: str, opened_at: int | None) -> Diagnostic | None:
    """A list or mapping in brackets that goes wrong at ``at``."""
    if opened_at is None or "did not find expected ',' or" not in problem:
        return None
    opener = source.text[opened_at]
    closer = {"[": "]", "{": "}"}.get(opener, "")
    opened = Span(source, opened_at, opened_at + 1)
    if not source.text[at:].strip() or source.text[at] == ":":
        message, help_text = f"'{opener}' is never closed", f"add the missing '{closer}'"
        return Diagnostic("E0101", message, opened, help=help_text)
    place = _place(source, at)
    found = source.text[place.start : place.end]
    message = f"expected ',' or '{closer}', found '{found}'"
    return Diagnostic("E0101", message, place, (Note(f"'{opener}' is opened here", opened),))

"""What commands print: diagnostics with colour, JSON, tables."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from specc.diagnostics import Diagnostic, Span, render

if TYPE_CHECKING:
    from rich.console import Console

_STYLES: tuple[tuple[re.Pattern[str], dict[str, Any]], ...] = (
    (re.compile(r"\berror\[\w+\]: .*", re.MULTILINE), {"fg": "red", "bold": True}),
    (re.compile(r"\bwarning\[\w+\]: .*", re.MULTILINE), {"fg": "yellow", "bold": True}),
    (re.compile(r"^ +\|[ \t]*\^+$", re.MULTILINE), {"fg": "red"}),
    (re.compile(r"^note:", re.MULTILINE), {"fg": "cyan", "bold": True}),
    (re.compile(r"^help:", re.MULTILINE), {"fg": "green", "bold": True}),
)


def colour_allowed() -> bool | None:
    """False where NO_COLOR is set (no-color.org), None to let click look at the terminal."""
    return False if os.environ.get("NO_COLOR") else None


def styled(diagnostic: Diagnostic) -> str:
    """The rendered diagnostic with the colours of a terminal."""
    text = render(diagnostic)
    for pattern, style in _STYLES:
        text = pattern.sub(partial(_restyle, style), text)
    return text


def _restyle(style: dict[str, Any], match: re.Match[str]) -> str:
    return click.style(match[0], **style)


def print_diagnostics(diagnostics: Sequence[Diagnostic]) -> None:
    """All of them on standard error, each once, an empty line between two."""
    if not diagnostics:
        return
    text = "\n\n".join(dict.fromkeys(map(styled, diagnostics)))
    click.echo(text, err=True, color=colour_allowed())


def diagnostic_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """A diagnostic as an editor reads it; lines and columns count from 1."""
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        **_place(diagnostic.span),
        "notes": [{"message": note.message, **_place(note.span)} for note in diagnostic.notes],
        "help": diagnostic.help,
    }


def _place(span: Span | None) -> dict[str, Any]:
    if span is None:
        return {}
    (line, column), (end_line, end_column) = map(span.source.position, (span.start, span.end))
    return {
        "file": span.source.name,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
    }


def print_json(value: Any) -> None:
    """One JSON object on standard output."""
    click.echo(json.dumps(value, indent=2))


def console(**options: Any) -> Console:
    """rich's console, imported where a table or a highlighted text is shown."""
    from rich.console import Console

    return Console(highlight=False, **options)

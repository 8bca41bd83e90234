"""What commands print: diagnostics with colour, JSON, tables."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from specc.diagnostics import Diagnostic
from specc.diagnostics.rendering import render

if TYPE_CHECKING:
    from rich.console import Console

_STYLES: dict[str, dict[str, Any]] = {
    "error": {"fg": "red", "bold": True},
    "warning": {"fg": "yellow", "bold": True},
    "mark": {"fg": "red", "bold": True},
    "second": {"fg": "blue", "bold": True},
    "note": {"fg": "cyan", "bold": True},
    "help": {"fg": "green", "bold": True},
}
"""The colours of the parts of a message that ``specc.diagnostics.rendering`` names."""

_PLAIN = {"E1002", "E9999"}
"""Codes about which the catalogue can say no more than the message."""
_form = "text"
_POINTED = 4
"""As many codes as the last line of a run names."""


def colour_allowed() -> bool | None:
    """False where NO_COLOR is set (no-color.org) or the terminal is dumb, else True where
    FORCE_COLOR is set (force-color.org), else None, to let click look at the terminal."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return True if os.environ.get("FORCE_COLOR") else None


def styled(diagnostic: Diagnostic) -> str:
    """The rendered diagnostic with the colours of a terminal."""
    return render(diagnostic, lambda text, part: click.style(text, **_STYLES[part]))


def write_messages_as(form: str) -> None:
    """Every diagnostic from now on in one of ``formats.MESSAGES``."""
    global _form
    _form = form


def print_diagnostics(diagnostics: Sequence[Diagnostic]) -> None:
    """All of them on standard error, each once: as text, an empty line between two, or each as a
    line for programs."""
    if not diagnostics:
        return
    if _form != "text":
        from specc.cli.formats import MESSAGES

        for each in dict.fromkeys(diagnostics):
            click.echo(MESSAGES[_form](each), err=True)
        return
    text = "\n\n".join(dict.fromkeys(map(styled, diagnostics)))
    click.echo(text, err=True, color=colour_allowed())


def point_to_explanations(diagnostics: Sequence[Diagnostic]) -> None:
    """One line on a terminal that says where the codes of the errors are explained."""
    codes = sorted({each.code for each in diagnostics} - _PLAIN)
    if codes and _form == "text" and sys.stderr.isatty():
        more = " ..." * (len(codes) > _POINTED)
        click.echo(f"\nfor more: specc explain {' '.join(codes[:_POINTED])}{more}", err=True)


def print_json(value: Any) -> None:
    """One JSON object on standard output."""
    click.echo(json.dumps(value, indent=2))


def console(**options: Any) -> Console:
    """rich's console, imported where a table or a highlighted text is shown."""
    from rich.console import Console

    return Console(highlight=False, **options)

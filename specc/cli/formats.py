"""Diagnostics for programs: JSON, SARIF, workflow commands of GitHub."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from specc.diagnostics import Diagnostic, Span
from specc.diagnostics.visible import visible

FORMATS = ("text", "json", "sarif", "github")


def write_as(name: str, diagnostics: Sequence[Diagnostic], ok: bool) -> None:
    """All of them on standard output, in one of the FORMATS for programs."""
    import click

    for line in _WRITERS[name](diagnostics, ok):
        click.echo(line)


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


def _json(diagnostics: Sequence[Diagnostic], ok: bool) -> Iterable[str]:
    import json

    found = list(map(diagnostic_json, diagnostics))
    yield json.dumps({"ok": ok, "diagnostics": found}, indent=2)


def _sarif(diagnostics: Sequence[Diagnostic], ok: bool) -> Iterable[str]:
    import json

    from specc.cli.sarif import sarif_log

    yield json.dumps(sarif_log(diagnostics), indent=2)


def _github(diagnostics: Sequence[Diagnostic], ok: bool) -> Iterable[str]:
    return map(workflow_command, diagnostics)


def workflow_command(diagnostic: Diagnostic) -> str:
    """A line that GitHub Actions shows at its place in a pull request:
    https://docs.github.com/actions/reference/workflow-commands-for-github-actions"""
    properties = {"title": f"{diagnostic.code} {diagnostic.name}".rstrip()}
    place = _place(diagnostic.span)
    if place:
        properties |= {"file": place["file"], "line": place["line"]}
        properties["endLine"] = place["end_line"]
    if place and place["line"] == place["end_line"]:  # columns belong to one line
        properties |= {"col": place["column"], "endColumn": place["end_column"]}
    lines = [diagnostic.message]
    for note in diagnostic.notes:
        lines.append(f"{note.span}: {note.message}" if note.span else note.message)
    lines += [f"help: {diagnostic.help}"] if diagnostic.help else []
    listed = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items())
    level = "error" if diagnostic.severity == "error" else "warning"
    return f"::{level} {listed}::{'%0A'.join(map(_data, lines))}"


def _data(text: str) -> str:
    return visible(text.replace("\n", " ")).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def json_line(diagnostic: Diagnostic) -> str:
    """One JSON object on one line."""
    import json

    return json.dumps(diagnostic_json(diagnostic))


_WRITERS: dict[str, Callable[[Sequence[Diagnostic], bool], Iterable[str]]] = {
    "json": _json,
    "sarif": _sarif,
    "github": _github,
}
MESSAGES: dict[str, Callable[[Diagnostic], str]] = {"json": json_line, "github": workflow_command}
"""How single messages are written for programs, by the names that ``specc --messages`` takes."""

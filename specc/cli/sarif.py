"""Diagnostics as SARIF 2.1.0, which code scanning and many editors read.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from specc import __version__
from specc.diagnostics import Diagnostic, Span, fix_of
from specc.diagnostics.catalogue import Page, page, path_of
from specc.diagnostics.visible import visible

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def sarif_log(diagnostics: Sequence[Diagnostic]) -> dict[str, Any]:
    """A log of one run. Its rules are the pages of the codes that occur."""
    codes = sorted({each.code for each in diagnostics})
    driver = {
        "name": "specc",
        "version": __version__,
        "rules": [_rule(page(code)) for code in codes],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(each, codes.index(each.code)) for each in diagnostics],
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(page: Page) -> dict[str, Any]:
    text = path_of(page.code).read_text(encoding="utf-8")
    rule: dict[str, Any] = {
        "id": page.code,
        "shortDescription": {"text": page.title},
        "fullDescription": {"text": page.mistake.replace("\n", " ")},
        "help": {"text": page.fix.replace("\n", " "), "markdown": text},
        "defaultConfiguration": {"level": "warning" if page.name else "error"},
        "properties": {"tags": [page.family]},
    }
    return rule | ({"name": page.name} if page.name else {})


def _result(diagnostic: Diagnostic, rule: int) -> dict[str, Any]:
    message = diagnostic.message + (f"\n{diagnostic.help}" if diagnostic.help else "")
    for note in diagnostic.notes:
        message += "" if note.span else f"\n{note.message}"
    result: dict[str, Any] = {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": diagnostic.severity,
        "message": _message(message),
    }
    if diagnostic.span:
        result["locations"] = [{"physicalLocation": _location(diagnostic.span)}]
    related = [note for note in diagnostic.notes if note.span]
    if related:
        result["relatedLocations"] = [
            {
                "id": number,
                "physicalLocation": _location(note.span),
                "message": _message(note.message),
            }
            for number, note in enumerate(related)
            if note.span
        ]
    if fix := fix_of(diagnostic):
        result["fixes"] = [_fix(*fix, diagnostic.help)]
    return result


def _message(text: str) -> dict[str, str]:
    return {"text": "\n".join(map(visible, text.split("\n")))}


def _fix(span: Span, text: str, why: str) -> dict[str, Any]:
    replacement = {"deletedRegion": _region(span), "insertedContent": {"text": text}}
    change = {"artifactLocation": _artifact(span), "replacements": [replacement]}
    return {"description": _message(why), "artifactChanges": [change]}


def _location(span: Span) -> dict[str, Any]:
    return {"artifactLocation": _artifact(span), "region": _region(span)}


def _artifact(span: Span) -> dict[str, str]:
    """Where the file is: relative to where specc ran, as code scanning wants it, or absolute."""
    path = Path(span.source.name)
    return {
        "uri": path.as_uri() if path.is_absolute() else quote(path.as_posix(), errors="replace")
    }


def _region(span: Span) -> dict[str, int]:
    (line, column), (end_line, end_column) = map(span.source.position, (span.start, span.end))
    return {"startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column}

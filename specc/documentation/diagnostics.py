"""The reference part of the page on diagnostics: every code with what it looks like."""

from __future__ import annotations

from pathlib import Path

from specc.diagnostics import CODES
from specc.documentation.tables import code

_FAMILIES = {
    "E00": "Files",
    "E01": "YAML",
    "E02": "The language",
    "E03": "Expressions",
    "E04": "Names and wiring",
    "E05": "Attributes",
    "E06": "Shapes and types",
    "E07": "Training",
    "E08": "Data",
    "E09": "Backends and plug-ins",
    "E10": "Running",
    "W10": "Warnings",
    "E99": "A mistake in specc",
}


def diagnostics_reference(errors: Path) -> str:
    """Every code by family. ``errors`` is the folder of exact messages that the tests compare."""
    examples = _examples(errors)
    lines: list[str] = []
    for family, title in _FAMILIES.items():
        lines += [f"## {title}", ""]
        for each in (each for each in CODES if each.startswith(family)):
            lines += [f"### {each}: {CODES[each]}", ""]
            if each in examples:
                lines += code(examples[each], "text")
    return "\n".join(lines).rstrip() + "\n"


def _examples(errors: Path) -> dict[str, str]:
    """{code: the first message with it among the snapshots}."""
    found: dict[str, str] = {}
    for path in sorted(errors.rglob("[EW][0-9]*.txt")):
        for message in path.read_text(encoding="utf-8").split("\n\n"):
            for each in CODES:
                if f"[{each}]" in message.partition("\n")[0] and "\0" not in message:
                    found.setdefault(each, message.strip("\n"))
    return found

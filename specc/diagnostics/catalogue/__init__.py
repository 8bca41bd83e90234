"""The catalogue of diagnostics: for each code a page, which is a file of this folder.

A page is Markdown in one order: a heading ``# E0407: an unknown value``; the mistake, in the user's
terms; what makes it, in fenced blocks; a block ``text`` with the exact message; how to mend it,
perhaps with a block ``diff`` of what changes. What makes the mistake are

- files: blocks ``yaml`` or ``specc``, named ``net.yaml`` or ``net.specc`` unless a name follows;
- a block ``python`` that writes what is no text: data, bytes;
- a block ``console`` with the command lines, the last of which gives the message; without one it is
  ``specc check`` of the first file.

``specc explain`` and docs/diagnostics.md show the pages, ``--format sarif`` brings them along, and
tests/errors/test_catalogue.py does what they say and compares (run as a program, it writes the
messages anew). A new code needs a page and nothing else; a warning also its name in
``specc.diagnostics.warnings``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from specc.diagnostics.warnings import WARNINGS
from specc.records import dataclass

FOLDER = Path(__file__).parent
FAMILIES = {
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
    "E99": "A mistake in specc",
    "W10": "Warnings",
}
"""{the beginning of a code: what such codes are about}."""

_HEADING = re.compile(r"# (?P<code>[EW]\d{4}): (?P<title>.+)\n")
_BLOCK = re.compile(r"^```(?P<tag>\w+) ?(?P<name>\S*)\n(?P<text>.*?)^```$\n?", re.M | re.S)


@dataclass(frozen=True)
class Page:
    """What the catalogue says of one code. ``mistake`` and ``fix`` are Markdown, the rest is text
    as it is; empty where a page has no such part."""

    code: str
    title: str
    mistake: str
    files: Mapping[str, str]
    setup: str
    commands: Sequence[str]
    message: str
    fix: str
    change: str

    @property
    def name(self) -> str:
        """The word by which a spec silences a warning; empty for an error."""
        return WARNINGS.get(self.code, "")

    @property
    def family(self) -> str:
        return FAMILIES[self.code[:3]]


def path_of(code: str) -> Path:
    """The file of a code's page."""
    return FOLDER / f"{code}.md"


@cache
def codes() -> tuple[str, ...]:
    """Every code, errors before warnings."""
    return tuple(sorted(path.stem for path in FOLDER.glob("[EW]*.md")))


@cache
def page(code: str) -> Page:
    """The page of a code. Raises KeyError for an unknown one."""
    try:
        text = path_of(code).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise KeyError(code) from None
    return parse(text)


def pages() -> Iterator[Page]:
    """Every page, in the order of the codes."""
    return map(page, codes())


def parse(text: str) -> Page:
    """The page that a file holds. Raises ValueError for a text that is no page."""
    heading = _HEADING.match(text)
    blocks = list(_BLOCK.finditer(text))
    before = [block for block in blocks if block["tag"] in ("yaml", "specc", "python", "console")]
    said = [block for block in blocks if block["tag"] == "text"]
    changes = [block for block in blocks if block["tag"] == "diff"]
    if heading is None or [*before, *said, *changes] != blocks or len(said) != 1:
        raise ValueError(f"not a page of the catalogue: {text[:40]!r}")
    files = {
        each["name"] or f"net.{each['tag']}": each["text"] for each in _of(before, "yaml", "specc")
    }
    written = "".join(each["text"] for each in _of(before, "console"))
    commands = [line.removeprefix("$ ") for line in written.splitlines()]
    if not commands and before:
        commands = [f"specc check {next(iter(files), 'net.yaml')}"]
    return Page(
        code=heading["code"],
        title=heading["title"],
        mistake=text[heading.end() : blocks[0].start()].strip(),
        files=files,
        setup="".join(each["text"] for each in _of(before, "python")),
        commands=commands,
        message=said[0]["text"].rstrip("\n"),
        fix=text[said[0].end() : changes[0].start() if changes else None].strip(),
        change="".join(each["text"] for each in changes),
    )


def _of(blocks: Sequence[re.Match[str]], *tags: str) -> list[re.Match[str]]:
    return [block for block in blocks if block["tag"] in tags]

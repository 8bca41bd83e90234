"""specc explain."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from specc.cli import options
from specc.cli.terminal import colour_allowed, print_json
from specc.diagnostics import WARNINGS, Diagnostic, SpecError, nearest

if TYPE_CHECKING:
    from specc.diagnostics.catalogue import Page

_WIDTH = 96


@click.command()
@click.argument("codes", nargs=-1, metavar="[CODE]...")
@options.json_option
def command(codes: tuple[str, ...], as_json: bool) -> None:
    """Explain a diagnostic: the mistake, a spec that makes it, the message, the fix.

    CODE is that of a message, or the name of a warning. Without one, all are listed.

    \b
    Examples:
      specc explain
      specc explain E0601
      specc explain unused
      specc explain E0601 --json
    """
    from specc.diagnostics import catalogue

    pages = [_find(code) for code in codes]
    if as_json:
        print_json({"diagnostics": list(map(_json, pages or catalogue.pages()))})
        return
    lines = [line for page in pages for line in ("", *_explained(page))][1:] or list(_listed())
    click.echo("\n".join(lines), color=colour_allowed())


def _find(word: str) -> Page:
    """The page that a code or a warning's name means. Raises SpecError (E1009)."""
    from specc.diagnostics import catalogue

    names = {name: code for code, name in WARNINGS.items()}
    name = word.lower().replace("-", "_")
    code = names.get(name, f"E{word:0>4}" if word.isdecimal() else word.upper())
    if code in catalogue.codes():
        return catalogue.page(code)
    if re.fullmatch(r"[EW]\d{1,9}", code):
        help_ = f"did you mean '{_nearest_code(code, catalogue.codes())}'?"
    else:
        near = nearest(name, names)
        help_ = f"did you mean '{near}'?" if near else "specc explain without a code lists them all"
    raise SpecError(Diagnostic("E1009", f"there is no diagnostic '{word}'", help=help_))


def _nearest_code(code: str, known: Sequence[str]) -> str:
    """One of the same family, if there is any, with the nearest number."""
    alike = [each for each in known if each[0] == code[0]]
    number = int(code[1:])
    return min(alike, key=lambda each: (each[:3] != code[:3], abs(int(each[1:]) - number)))


def _json(page: Page) -> dict[str, Any]:
    return {
        "code": page.code,
        "name": page.name,
        "title": page.title,
        "family": page.family,
        "mistake": page.mistake,
        "files": dict(page.files),
        "setup": page.setup,
        "commands": list(page.commands),
        "message": page.message,
        "fix": page.fix,
        "change": page.change,
    }


def _listed() -> Iterator[str]:
    """Every code with its title, by family."""
    from specc.diagnostics import catalogue

    family = ""
    for page in catalogue.pages():
        if page.family != family:
            yield from ([""] if family else []) + [click.style(page.family, bold=True)]
            family = page.family
        name = f"{page.name}: " if page.name else ""
        yield f"  {page.code}  {name}{page.title}"


def _explained(page: Page) -> Iterator[str]:
    """A page as a terminal shows it."""
    name = f" {page.name}" if page.name else ""
    yield click.style(f"{page.code}{name}: {page.title}", bold=True)
    yield from ("", *_wrapped(page.mistake))
    for file, text in page.files.items():
        yield from _indented(file, text)
    if page.setup:
        yield from _indented("With these files", page.setup)
    if page.commands:
        yield from _indented("Run", "\n".join(f"$ {command}" for command in page.commands))
    yield from _indented("specc says", page.message)
    yield from ("", click.style("What to do", bold=True), "", *_wrapped(page.fix))
    if page.change:
        yield ""
        colours = {"-": "red", "+": "green"}
        for line in page.change.splitlines():
            yield "  " + click.style(line, fg=colours.get(line[:1]))
    if page.name:
        yield from ("", f"To silence it, write in the spec: allow: [{page.name}]")


def _indented(title: str, text: str) -> Iterator[str]:
    yield from ("", click.style(title, bold=True), "")
    yield from (f"  {line}".rstrip() for line in text.splitlines())


def _wrapped(markdown: str) -> list[str]:
    """Paragraphs at the width of a terminal."""
    lines: list[str] = []
    for paragraph in markdown.split("\n\n"):
        lines += ["", *textwrap.wrap(paragraph, _WIDTH, break_on_hyphens=False)]
    return lines[1:]

"""specc fmt."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from specc.cli.boundary import WRONG
from specc.cli.files import write_text
from specc.diagnostics import Diagnostic, Source, SpecError
from specc.diagnostics.visible import visible

STANDARD_INPUT = Path("-")


@click.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, allow_dash=True, path_type=Path)
)
@click.option("--check", is_flag=True, help="Write nothing; list the files that would change.")
@click.option("--diff", is_flag=True, help="Write nothing; show what would change.")
@click.option(
    "--stdin-filename",
    default="stdin.yaml",
    show_default=True,
    help="What standard input is called: its ending says which form it has.",
)
@click.pass_context
def command(
    ctx: click.Context, files: tuple[Path, ...], check: bool, diff: bool, stdin_filename: str
) -> None:
    """Bring specs of either form into one style, comments and all.

    A folder stands for the specs in it and below: every .specc file, and each YAML file that has a
    key specc. A file with a mistake in its syntax is left alone. With - a spec is read from
    standard input and written to standard output.

    \b
    Examples:
      specc fmt net.yaml parts.specc
      specc fmt specs/
      specc fmt --check --diff .
      specc fmt - --stdin-filename net.specc < net.specc
    """
    problems: list[Diagnostic] = []
    changed = False
    for path in _specs(files):
        try:
            content, source = _read(path, stdin_filename)
            changed |= _format(path, content, source, check, diff)
        except SpecError as error:
            problems += error.diagnostics
    if problems:
        raise SpecError(problems)
    ctx.exit(WRONG if check and changed else 0)


def _specs(files: tuple[Path, ...]) -> Iterator[Path]:
    """The files, those of folders among them, each once."""
    from specc.frontend.sources import SUFFIXES

    found: dict[Path, None] = {}
    for path in files:
        if not path.is_dir():
            found[path] = None
            continue
        for folder, folders, names in os.walk(path, onerror=_unreadable):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                inner = Path(folder, name)
                if inner.suffix in SUFFIXES and inner.is_file() and _is_spec(inner):
                    found[inner] = None
    yield from found


def _unreadable(error: OSError) -> None:
    message = f"the folder '{error.filename}' cannot be read: {error.strerror}"
    raise SpecError(Diagnostic("E0001", message))


def _is_spec(path: Path) -> bool:
    """Whether a file of a folder is a spec, rather than another YAML file."""
    from specc.frontend.sources import MAX_SIZE, SUFFIXES

    if path.suffix == SUFFIXES[-1]:
        return True
    try:
        with path.open("rb") as file:
            text = file.read(MAX_SIZE)
    except OSError:
        return True  # so that reading it says what is wrong
    return re.search(rb"^(?:\xef\xbb\xbf)?specc[ \t]*:", text, re.MULTILINE) is not None


def _read(path: Path, stdin_filename: str) -> tuple[bytes, Source]:
    from specc.frontend.sources import MAX_SIZE, decode, load_source

    if path == STANDARD_INPUT:
        content = sys.stdin.buffer.read(MAX_SIZE + 1)
        return content, decode(content, stdin_filename)
    source = load_source(path)
    return path.read_bytes(), source


def _format(path: Path, content: bytes, source: Source, check: bool, diff: bool) -> bool:
    """Formats one file and says whether that changes it; line ends and byte order marks count."""
    from specc.frontend.formatter import format_text

    text = format_text(source)
    changed = text.encode() != content
    if diff:
        click.echo(_difference(source, text), nl=False)
    elif path == STANDARD_INPUT and not check:
        click.echo(text.encode(), nl=False)
    elif changed:
        if not check:
            write_text(path, text)
        click.echo(visible(source.name))
    return changed


def _difference(source: Source, text: str) -> str:
    from difflib import unified_diff

    lines = unified_diff(
        source.text.splitlines(keepends=True),
        text.splitlines(keepends=True),
        visible(source.name),
        f"{visible(source.name)}, formatted",
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)

"""Files to text: everything that can be wrong with a file before it is read as a spec."""

from __future__ import annotations

import os
import re
import stat
from functools import cache
from pathlib import Path

from specc.diagnostics import Diagnostic, Source, Span, SpecError

MAX_ERRORS = 20
"""After so many errors in one file the rest is noise."""

MAX_SIZE = 1_000_000
"""A spec file of more bytes is refused."""


# Ends of lines for some programs only: what one reads as a comment, another would not.
_LINE_ENDS = r"\u2028\u2029"
# They make a line look like another one than it is (https://trojansource.codes).
_DIRECTIONS = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"


@cache
def _bad_characters(ascii_only: bool) -> re.Pattern[str]:
    """Characters that neither form of a spec can hold. Most specs are ASCII, and the pattern for
    the rest takes longer to compile than to read a spec."""
    control = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f"
    beyond = rf"\x80-\x9f\ud800-\udfff\ufeff\ufffe\uffff{_LINE_ENDS}{_DIRECTIONS}"
    return re.compile(f"[{control if ascii_only else control + beyond}]")


def load_source(path: Path, name: str | None = None) -> Source:
    """The text of a file, which messages call ``name`` (the path, if not given).

    Raises SpecError: E0001 for a file that cannot be read, E0002 for one that is too large, E0003
    for one that is not UTF-8, E0004 for a character that no spec can have.
    """
    name = name or str(path)
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _unreadable(f"'{name}' is a pipe or a device, not a spec file", "")
            content = file.read(MAX_SIZE + 1)
    except FileNotFoundError:
        raise _unreadable(f"there is no file '{name}'", _near(path, name)) from None
    except IsADirectoryError:
        help_ = _near(path / "spec", f"{name}/spec")
        raise _unreadable(f"'{name}' is a folder, not a spec file", help_) from None
    except PermissionError:
        raise _unreadable(f"the file '{name}' may not be read by this user", "") from None
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise _unreadable(f"the file '{name}' cannot be read: {cause}", "") from None
    return decode(content, name)


def _without_waiting(path: str, flags: int) -> int:
    """Opens a pipe too, and does not wait until somebody writes into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def resolve_path(path: Path, name: str) -> Path:
    """The absolute path without links. Raises SpecError (E0001) for what no file can be called."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        cause = (
            "its links lead round in a circle" if isinstance(error, RuntimeError) else str(error)
        )
        raise _unreadable(f"the file '{name!s}' cannot be read: {cause}", "") from None


def decode(content: bytes, name: str) -> Source:
    """The source of a file's bytes: UTF-8, with or without a byte order mark, any line ends."""
    if len(content) > MAX_SIZE:
        message = f"the file '{name}' has more than {MAX_SIZE} bytes"
        raise SpecError(Diagnostic("E0002", message, help="data belongs in a file of its own"))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        readable = content[: error.start].decode("utf-8-sig", errors="replace")
        source = Source(name, normalize_newlines(readable) + "\ufffd")
        at = len(source.text) - 1
        message = f"the byte 0x{content[error.start]:02x} is not UTF-8"
        span = Span(source, at, at + 1)
        raise SpecError(Diagnostic("E0003", message, span, help="save the file as UTF-8")) from None
    return check_characters(Source(name, text))


def normalize_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def check_characters(source: Source) -> Source:
    """The source without byte order mark and carriage returns. Raises SpecError (E0004) for control
    characters."""
    text = normalize_newlines(source.text.removeprefix("\ufeff"))
    if text != source.text:
        source = Source(source.name, text)
    pattern = _bad_characters(text.isascii())
    bad = pattern.search(text)
    if bad:
        message = f"the character U+{ord(bad[0]):04X} cannot stand in a spec"
        shown = Source(source.name, pattern.sub("\ufffd", text))
        span = Span(shown, bad.start(), bad.end())
        raise SpecError(Diagnostic("E0004", message, span, help="remove it"))
    return source


def _unreadable(message: str, help_text: str) -> SpecError:
    return SpecError(Diagnostic("E0001", message, help=help_text))


def _near(path: Path, name: str) -> str:
    """A suggestion from the files beside a path that does not exist, as ``name`` writes it."""
    from specc.diagnostics import nearest

    try:
        names = [p.name for p in path.parent.iterdir() if p.suffix in SUFFIXES]
    except OSError:
        return f"there is no folder '{path.parent}' either" if not path.parent.exists() else ""
    match = nearest(path.name, names)
    if match is not None:
        return f"did you mean '{Path(name).parent / match}'?"
    return f"the folder has {', '.join(sorted(names))}" if 0 < len(names) <= 12 else ""


SUFFIXES = (".yaml", ".yml", ".specc")
"""The endings of spec files; the last one is the language's."""

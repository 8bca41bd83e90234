"""Text that a terminal may be sent: nothing in it moves the cursor, hides or turns what follows."""

from __future__ import annotations

TAB = " " * 4
"""What a tab is shown as, so that marks stand under what they mean."""


def visible(text: str) -> str:
    """The text with every character that does not print (controls, bidirectional marks, lone
    surrogates, unusual spaces) written out: ``<U+202E>``."""
    if text.isprintable():
        return text
    return "".join(map(shown, text))


def shown(character: str) -> str:
    """One character as it stands in an excerpt."""
    if character.isprintable():
        return character
    return TAB if character == "\t" else f"<U+{ord(character):04X}>"


def width(text: str) -> int:
    """How many columns of a terminal printable text takes: two for a wide character, none for one
    that is drawn over the one before."""
    if text.isascii():
        return len(text)
    return sum(map(_width, text))


def _width(character: str) -> int:
    import unicodedata

    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1

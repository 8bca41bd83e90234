"""A word with a meaning: what it is called, what it is, and what the editor says of it."""

from __future__ import annotations

import re

from specc.records import dataclass


@dataclass(frozen=True)
class Word:
    """``what`` is layer, attribute, choice, section, wiring, constant, value, parameter, block or
    file; ``detail`` is one line, ``doc`` is what the code says of it. Of a layer or choice,
    ``takes`` says whether it has attributes, ``required`` whether one must be given."""

    name: str
    what: str
    detail: str = ""
    doc: str = ""
    takes: bool = False
    required: bool = False

    @property
    def prose(self) -> str:
        """The documentation as Markdown: paragraphs on one line each, one mark for code."""
        return re.sub(r"(?<!\n)\n(?![\n \-*])", " ", self.doc).replace("``", "`")

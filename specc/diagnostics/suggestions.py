"""What was probably meant: nearest names, as words for a help text and as a change of the text."""

from __future__ import annotations

import re
from collections.abc import Iterable

from specc.diagnostics.diagnostic import Diagnostic
from specc.diagnostics.source import Span

_MEANT = re.compile(r"did you mean '([^']+)'\?")
_WRITTEN = re.compile(r"\W*([\w.]+)\W*")


MAX_COMPARED = 200
"""As many candidates as a name is compared with: a spec may have thousands."""
MAX_LENGTH = 60
"""Longer names are not compared: the time for it grows with the square of their length."""


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that was probably meant by ``name``, or None when none is near."""
    import difflib

    if len(name) > MAX_LENGTH:
        return None
    most = min(MAX_LENGTH, 3 * len(name))  # of longer ones less than six in ten letters agree
    similar = [each for each in candidates if len(each) <= most]
    if len(similar) > MAX_COMPARED:
        # Among so many names the one that was meant begins as it is written.
        similar = [each for each in similar if each[:1] == name[:1]][:MAX_COMPARED]
    matches = difflib.get_close_matches(name, similar, n=1, cutoff=0.6)
    return matches[0] if matches else None


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """A help text that suggests the nearest name, or lists the choices when they are few."""
    choices = sorted(set(candidates))
    match = nearest(name, choices)
    if match is not None:
        return f"did you mean '{match}'?"
    if len(choices) == 1:
        return f"the only choice is '{choices[0]}'"
    return f"choose one of {', '.join(choices)}" if 0 < len(choices) <= 12 else ""


def fix_of(diagnostic: Diagnostic) -> tuple[Span, str] | None:
    """The place of a misspelt word and the word that ``did_you_mean`` suggests there, for editors;
    None for a mistake of another kind."""
    meant = _MEANT.fullmatch(diagnostic.help)
    written = _WRITTEN.fullmatch(diagnostic.span.text) if diagnostic.span else None
    if diagnostic.span is None or meant is None or written is None:
        return None
    start = diagnostic.span.start + written.start(1)
    return Span(diagnostic.span.source, start, start + len(written[1])), meant[1]

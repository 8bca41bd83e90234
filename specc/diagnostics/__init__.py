"""Source positions and diagnostics: every way in which a spec can be wrong is one of these, never a
traceback."""

from __future__ import annotations

from specc.diagnostics.diagnostic import Diagnostic, Note, SpecError
from specc.diagnostics.source import Source, Span
from specc.diagnostics.suggestions import did_you_mean, fix_of, nearest
from specc.diagnostics.warnings import WARNINGS

__all__ = [
    "WARNINGS",
    "Diagnostic",
    "Note",
    "Source",
    "Span",
    "SpecError",
    "did_you_mean",
    "fix_of",
    "nearest",
]

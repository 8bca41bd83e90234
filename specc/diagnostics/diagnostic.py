"""Every way in which a spec, its data or a run can be wrong is a Diagnostic, never a traceback."""

from __future__ import annotations

from collections.abc import Iterable

from specc.diagnostics.source import Span
from specc.diagnostics.warnings import WARNINGS
from specc.records import dataclass


@dataclass(frozen=True)
class Note:
    """A second place that explains the first: where the other number came from."""

    message: str
    span: Span | None = None


@dataclass(frozen=True)
class Diagnostic:
    """One mistake: a stable code, the cause in the user's words, where it is and how to mend it."""

    code: str
    message: str
    span: Span | None = None
    notes: tuple[Note, ...] = ()
    help: str = ""
    severity: str = "error"

    @property
    def name(self) -> str:
        """The word by which a spec silences a warning; empty for an error."""
        return WARNINGS.get(self.code, "")

    def __str__(self) -> str:
        from specc.diagnostics.rendering import render

        return render(self)


class SpecError(Exception):
    """Carries the diagnostics of a spec out of the compiler."""

    def __init__(self, diagnostics: Diagnostic | Iterable[Diagnostic]) -> None:
        if isinstance(diagnostics, Diagnostic):
            diagnostics = (diagnostics,)
        self.diagnostics: tuple[Diagnostic, ...] = tuple(diagnostics)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.diagnostics))

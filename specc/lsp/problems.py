"""Diagnostics of the compiler as those of the protocol, and the changes that mend them."""

from __future__ import annotations

import os
from pathlib import Path

from lsprotocol.types import (
    CodeAction,
    CodeActionKind,
    Diagnostic,
    DiagnosticRelatedInformation,
    DiagnosticSeverity,
    DiagnosticTag,
    Location,
    Range,
    TextEdit,
    WorkspaceEdit,
)

from specc.diagnostics import Diagnostic as Problem
from specc.diagnostics import Span, fix_of
from specc.frontend.tree import Scalar, Sequence
from specc.lsp.analysis import Analysis
from specc.lsp.positions import Positions

_SEVERITIES = {"error": DiagnosticSeverity.Error, "warning": DiagnosticSeverity.Warning}
UNUSED = "W1001"


def location(analysis: Analysis, span: Span) -> Location:
    """A place in the document or in a file that it includes."""
    if analysis.here(span):
        return Location(analysis.uri, analysis.positions.of(span))
    return Location(_path(analysis, span.source.name).as_uri(), _positions(analysis, span).of(span))


def _path(analysis: Analysis, name: str) -> Path:
    """The file that a source or an include names; nothing is asked of the disk."""
    return Path(os.path.normpath(analysis.path.parent / name))


def _positions(analysis: Analysis, span: Span) -> Positions:
    return Positions(span.source.text, analysis.positions.encoding)


def problems(analysis: Analysis) -> list[Diagnostic]:
    """What is wrong with a document, for the editor; nothing for YAML that is no spec."""
    if not analysis.is_spec or not analysis.text.strip():
        return []
    return [_diagnostic(analysis, problem) for problem in analysis.diagnostics]


def _diagnostic(analysis: Analysis, problem: Problem) -> Diagnostic:
    message = f"{problem.message}\n{problem.help}" if problem.help else problem.message
    related = [(note.message, note.span) for note in problem.notes if note.span is not None]
    texts = [note.message for note in problem.notes if note.span is None]
    if problem.span is not None and not analysis.here(problem.span):
        related.insert(0, (problem.message, problem.span))
        message = f"in {problem.span}: {message}"
    return Diagnostic(
        range=_range(analysis, problem.span),
        message="\n".join([message, *texts]),
        severity=_SEVERITIES.get(problem.severity, DiagnosticSeverity.Error),
        code=problem.code,
        source="specc",
        tags=[DiagnosticTag.Unnecessary] if problem.code == UNUSED else None,
        related_information=[
            DiagnosticRelatedInformation(location(analysis, span), text) for text, span in related
        ],
    )


def _range(analysis: Analysis, span: Span | None) -> Range:
    """Where a problem is shown: one of an included file at the name of the file."""
    if span is not None and analysis.here(span):
        end = min(span.end, analysis.positions.line_end(span.start))
        return analysis.positions.range(span.start, max(end, span.start + 1))
    tree = analysis.tree.get("includes") if analysis.tree is not None else None
    for item in tree.items if isinstance(tree, Sequence) and span is not None else ():
        name = str(item.value) if isinstance(item, Scalar) else ""
        if span is not None and _path(analysis, span.source.name) == _path(analysis, name):
            return analysis.positions.of(item.span)
    return analysis.positions.range(0, analysis.positions.line_end(0))


def actions(analysis: Analysis, wanted: Range) -> list[CodeAction]:
    """The changes that mend what is wrong within a range."""
    uri = analysis.uri
    found: list[CodeAction] = []
    for problem in analysis.diagnostics:
        fix = fix_of(problem)
        if fix is None or not analysis.here(fix[0]):
            continue
        span, text = fix
        diagnostic = _diagnostic(analysis, problem)
        if not _overlap(diagnostic.range, wanted):
            continue
        edit = TextEdit(analysis.positions.range(span.start, span.end), text)
        found.append(
            CodeAction(
                title=f"Change '{span.text}' to '{text}'",
                kind=CodeActionKind.QuickFix,
                diagnostics=[diagnostic],
                is_preferred=True,
                edit=WorkspaceEdit(changes={uri: [edit]}),
            )
        )
    return found


def _overlap(left: Range, right: Range) -> bool:
    starts = (left.start.line, left.start.character), (right.start.line, right.start.character)
    ends = (left.end.line, left.end.character), (right.end.line, right.end.character)
    return max(starts) <= min(ends)

"""Where a name is defined and used, and how it is changed everywhere."""

from __future__ import annotations

from pathlib import Path

from lsprotocol.types import Location, Range, TextEdit, WorkspaceEdit

from specc.diagnostics import SpecError
from specc.frontend.configure import Reporter
from specc.frontend.declarations import check_name, check_parameter
from specc.frontend.tree import Scalar
from specc.lsp.analysis import Analysis, analyse
from specc.lsp.locate import find_scalar
from specc.lsp.problems import location
from specc.lsp.reading import Buffers
from specc.lsp.symbols import Names, Symbol

_PARAMETERS = ("parameter", "index")


class RenameProblem(Exception):  # noqa: N818  (it becomes the answer to the request)
    """Why a name cannot be changed, in the user's words."""


def definition(analysis: Analysis, offset: int) -> list[Location]:
    """Where the name at an offset is defined; of the name of a file, the file."""
    found = analysis.symbols.at(offset, analysis.source.name)
    if found is not None:
        return [location(analysis, span) for span in found[0].definitions]
    scalar = find_scalar(analysis, offset)
    if scalar is None or scalar.is_key or scalar.path[:1] not in (("includes",), ("data",)):
        return []
    target = _file(analysis.path.parent, str(scalar.scalar.value))
    if target is None:
        return []
    start = Range(analysis.positions.position(0), analysis.positions.position(0))
    return [Location(target.as_uri(), start)]


def _file(folder: Path, name: str) -> Path | None:
    """The file of that name, if there is one."""
    try:
        target = (folder / name).resolve()
        return target if target.is_file() else None
    except (OSError, RuntimeError, ValueError):  # no file can be called so
        return None


def references(analysis: Analysis, offset: int, with_definition: bool) -> list[Location]:
    """Where the name at an offset is used in the document."""
    found = analysis.symbols.at(offset, analysis.source.name)
    if found is None:
        return []
    spans = found[0].places if with_definition else found[0].uses
    return [location(analysis, span) for span in sorted(spans, key=lambda span: span.start)]


def renamable(analysis: Analysis, offset: int) -> Range:
    """The range of the name at an offset. Raises RenameProblem where there is none to change."""
    found = analysis.symbols.at(offset, analysis.source.name)
    if found is None:
        raise RenameProblem("there is no name here that this spec defines")
    symbol, span = found
    _own(analysis, symbol)
    return analysis.positions.of(span)


def rename(analysis: Analysis, offset: int, new: str, buffers: Buffers) -> WorkspaceEdit:
    """The changes that give the name at an offset another one, wherever the document has it.

    Raises RenameProblem for a name that cannot be, that is taken, or that would change what the
    spec means.
    """
    found = analysis.symbols.at(offset, analysis.source.name)
    if found is None:
        raise RenameProblem("there is no name here that this spec defines")
    symbol, _ = found
    _own(analysis, symbol)
    if new != symbol.name:
        _check(analysis, symbol, new)
        _try(analysis, symbol, new, buffers)
    edits = [TextEdit(analysis.positions.of(span), new) for span in symbol.places]
    return WorkspaceEdit(changes={analysis.uri: edits})


def _own(analysis: Analysis, symbol: Symbol) -> None:
    for span in symbol.definitions:
        if not analysis.here(span):
            raise RenameProblem(f"'{symbol.name}' is defined in {span.source.name}")
    if not symbol.definitions:
        raise RenameProblem(f"'{symbol.name}' has no definition to rename")


def _check(analysis: Analysis, symbol: Symbol, new: str) -> None:
    """Whether the name may be one of its kind, and nothing else is called so."""
    reporter = Reporter()
    span = symbol.definitions[0]
    try:
        if symbol.kind in _PARAMETERS:
            check_parameter(Scalar(new, span), reporter)
        else:
            check_name(new, span, reporter)
    except SpecError as error:
        reporter.extend(error)
    if reporter.diagnostics:
        problem = reporter.diagnostics[0]
        raise RenameProblem(
            f"{problem.message}; {problem.help}" if problem.help else problem.message
        )
    for table in _tables(analysis, symbol):
        if new in table:
            raise RenameProblem(f"the name '{new}' is taken ({table[new].kind})")


def _tables(analysis: Analysis, symbol: Symbol) -> list[Names]:
    """The names that the symbol's new one may not be: those that stand beside it."""
    symbols = analysis.symbols
    scopes = [
        table
        for each in symbols.scopes
        for table in (each.values, each.parameters)
        if table.get(symbol.name) is symbol
    ]
    tables = [table for table in (symbols.targets, symbols.blocks) if symbol.name in table]
    tables += [table for table in symbols.formals.values() if table.get(symbol.name) is symbol]
    if symbol.kind in ("input", "target"):
        tables += [symbols.scopes[0].values, symbols.targets]
    return [*scopes, *tables]


def _try(analysis: Analysis, symbol: Symbol, new: str, buffers: Buffers) -> None:
    """Whether the changed document has the same mistakes as before, and no more."""
    text = analysis.text
    for span in sorted(symbol.places, key=lambda span: -span.start):
        text = text[: span.start] + new + text[span.end :]
    changed = analyse(analysis.path, text, buffers, analysis.positions.encoding)
    before = sorted(problem.code for problem in analysis.diagnostics)
    if sorted(problem.code for problem in changed.diagnostics) != before:
        raise RenameProblem(f"with '{new}' the spec would not mean the same")

"""What can be read of a document that is being typed, and of the files that it includes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from specc.diagnostics import Diagnostic, Source, SpecError
from specc.frontend.includes import Includes
from specc.frontend.reader import read_file
from specc.frontend.sources import SUFFIXES, load_source
from specc.frontend.tree import Mapping, Scalar
from specc.records import dataclass

MAX_REPAIRS = 8
"""As many broken lines of YAML, or open braces of the language, are passed over."""

Buffers = Callable[[Path], str | None]
"""The text of a file that is open in the editor, saved or not; None for one that is not."""


@dataclass(frozen=True)
class Reading:
    """A document as far as it can be read: the tree with what it includes, what is wrong with its
    form, and the files that were read beside it."""

    tree: Mapping | None
    diagnostics: tuple[Diagnostic, ...]
    files: frozenset[Path]


def read_document(path: Path, source: Source, buffers: Buffers) -> Reading:
    """Reads a document whose text is ``source``; included files come from ``buffers`` first."""
    found: list[Diagnostic] = []
    own: list[Mapping] = []
    files: set[Path] = set()

    def read(file: Path, name: str, include: Callable[[Scalar], Mapping]) -> Mapping:
        if file != path:
            files.add(file)
            return read_file(file, name, include, lambda at, called: _load(at, called, buffers))
        tree, diagnostics = recover(source, include)
        found.extend(diagnostics)
        if tree is None:
            raise SpecError(())
        own.append(tree)
        return tree

    try:
        tree: Mapping | None = Includes(path.parent, read).spec(path, source.name)
    except SpecError as error:
        found += error.diagnostics
        tree = own[0] if own else None
    return Reading(tree, tuple(dict.fromkeys(found)), frozenset(files))


def _load(path: Path, name: str | None, buffers: Buffers) -> Source:
    text = buffers(path)
    return load_source(path, name) if text is None else Source(name or str(path), text)


def recover(
    source: Source, include: Callable[[Scalar], Mapping]
) -> tuple[Mapping | None, tuple[Diagnostic, ...]]:
    """What can be read of a text, and what is wrong with it; no place in the text moves."""
    if source.name.endswith(SUFFIXES[-1]):
        return _recover_dsl(source, include)
    return _recover_yaml(source)


def _recover_dsl(
    source: Source, include: Callable[[Scalar], Mapping]
) -> tuple[Mapping | None, tuple[Diagnostic, ...]]:
    """A brace that is still open is closed at the end of the text."""
    from specc.frontend.dsl_reader import recover_dsl

    first: tuple[Diagnostic, ...] = ()
    text = source.text
    for _ in range(MAX_REPAIRS):
        try:
            tree, diagnostics = recover_dsl(Source(source.name, text), include=include)
        except SpecError as error:
            first = first or error.diagnostics
            text += "\n}"
        else:
            return tree, first or tuple(diagnostics)
    return None, first


def _recover_yaml(source: Source) -> tuple[Mapping | None, tuple[Diagnostic, ...]]:
    """A line at which YAML ends is blanked, then the one above it, and reading tried again."""
    from specc.frontend.yaml_reader import recover_yaml

    first: tuple[Diagnostic, ...] = ()
    text = source.text
    for _ in range(MAX_REPAIRS):
        try:
            tree, diagnostics = recover_yaml(Source(source.name, text))
        except SpecError as error:
            first = first or error.diagnostics
            span = error.diagnostics[0].span
            repaired = _without_line(text, span.start) if span is not None else None
            if repaired is None:
                return None, first
            text = repaired
        else:
            return tree, first or tuple(diagnostics)
    return None, first


def _without_line(text: str, offset: int) -> str | None:
    """The text with the line at that offset blanked, or the nearest above that is not blank."""
    end = text.find("\n", offset)
    end = len(text) if end < 0 else end
    while end >= 0:
        start = text.rfind("\n", 0, end) + 1
        if text[start:end].strip():
            return text[:start] + " " * (end - start) + text[end:]
        end = start - 1
    return None

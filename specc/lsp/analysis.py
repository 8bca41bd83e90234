"""All that the features know of one version of a document."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol.types import PositionEncodingKind

from specc.diagnostics import Diagnostic, Source, Span, SpecError
from specc.frontend.sources import MAX_SIZE, SUFFIXES, decode, normalize_newlines
from specc.frontend.tree import Mapping
from specc.ir.graph import Graph, Node, Parameter, Value
from specc.lsp.positions import Positions
from specc.lsp.reading import Buffers, read_document
from specc.records import dataclass

if TYPE_CHECKING:
    from specc.lsp.symbols import Symbols

_PARTS = frozenset({"parameters", "blocks", "includes"})
"""What a file holds that others include."""
_PARTS_IN_YAML = re.compile(r"\b(?:specc|parameters|blocks|includes)\b")
"""What a spec or a part of one has somewhere: other YAML files are not even read."""


@dataclass(frozen=True)
class Use:
    """A layer in one graph: its nodes, which are several where it has an activation or a mask."""

    nodes: tuple[Node, ...]

    @property
    def outputs(self) -> list[Value]:
        """The values that it gives, the one that it is named after first."""
        values = [v for node in self.nodes for v in node.outputs if not v.internal]
        return sorted(values, key=lambda value: value.name != self.nodes[0].path)

    @property
    def inputs(self) -> list[Value]:
        return [v for v in self.nodes[0].inputs if v is not None and not v.internal]

    @property
    def parameters(self) -> list[tuple[str, Parameter]]:
        """What it trains and keeps, by path."""
        graph = Graph("", (), (), self.nodes)
        return list(graph.parameters())


@dataclass
class Analysis:
    """A document: its text, its tree as far as it can be read, what is wrong with it, and what
    the compiler knows of its layers.

    ``tree`` has the blocks and parameters of included files too; ``uses`` are by the offset of
    their layer in this document; ``values`` are those of the network by name, ``parameters`` those
    of the spec with what they are.
    """

    path: Path
    uri: str
    source: Source
    positions: Positions
    tree: Mapping | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    files: frozenset[Path] = frozenset()
    uses: dict[int, list[Use]] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.source.text

    @property
    def in_language(self) -> bool:
        return self.source.name.endswith(SUFFIXES[-1])

    @property
    def is_spec(self) -> bool:
        """Whether the document is a spec or a part of one, rather than another YAML file."""
        if self.in_language or not self.text.strip():
            return True
        keys = set(self.tree.keys()) if self.tree is not None else set()
        return "specc" in keys or bool(keys) and keys <= _PARTS or "specc:" in self.text

    @cached_property
    def symbols(self) -> Symbols:
        from specc.lsp.symbols import find_symbols

        return find_symbols(self)

    def here(self, span: Span | None) -> bool:
        """Whether a place is in this document, and not in an included one."""
        return span is not None and span.source.name == self.source.name

    def word(self, offset: int) -> str:
        """The name that an offset stands in or at the end of."""
        start, end = offset, offset
        while start and _in_word(self.text[start - 1]):
            start -= 1
        while end < len(self.text) and _in_word(self.text[end]):
            end += 1
        return self.text[start:end]


def _in_word(character: str) -> bool:
    return character == "_" or (character.isascii() and character.isalnum())


def analyse(
    path: Path,
    text: str,
    buffers: Buffers,
    encoding: PositionEncodingKind = PositionEncodingKind.Utf16,
    uri: str = "",
) -> Analysis:
    """Reads and checks a document; ``path`` may be one that no file has yet, ``uri`` is how the
    editor calls it."""
    source = Source(str(path), normalize_newlines(text.removeprefix("\ufeff")))
    found = Analysis(path, uri or path.as_uri(), source, Positions(source.text, encoding))
    if len(source.text) > MAX_SIZE:
        found.diagnostics = _too_large(source)
    elif found.in_language or _PARTS_IN_YAML.search(source.text):
        _analyse(found, buffers)
    return found


def _analyse(found: Analysis, buffers: Buffers) -> None:
    reading = read_document(found.path, found.source, buffers)
    found.tree, found.files = reading.tree, reading.files
    problems: tuple[Diagnostic, ...] = ()
    if found.tree is not None:
        is_part = set(found.tree.keys()) <= _PARTS and bool(found.tree.entries)
        problems = _check_part(found.tree) if is_part else _build(found.tree, found)
    # A name that a broken line defines is missing to the others: form first, then meaning.
    found.diagnostics = reading.diagnostics or problems


def _too_large(source: Source) -> tuple[Diagnostic, ...]:
    try:
        decode(source.text.encode(errors="replace"), source.name)
    except SpecError as error:
        return error.diagnostics
    return ()


def _check_part(tree: Mapping) -> tuple[Diagnostic, ...]:
    from specc.frontend.configure import Reporter, TooManyErrors
    from specc.frontend.declarations import check_blocks

    reporter = Reporter()
    with suppress(TooManyErrors):  # they are all in the reporter
        check_blocks(tree, reporter)
    return reporter.in_order(tree.span)


def _build(tree: Mapping, found: Analysis) -> tuple[Diagnostic, ...]:
    """What is wrong with a spec; notes the nodes and values of the layers that are right."""
    from specc.frontend.build import ProgramBuilder
    from specc.frontend.configure import TooManyErrors

    builder = ProgramBuilder(tree, str(found.path))
    try:
        with suppress(TooManyErrors):  # they are all in the reporter
            builder.build()
    except SpecError as error:
        return (*builder.reporter.in_order(tree.span), *error.diagnostics)
    for graph in _graphs(builder.scope.nodes):
        for start, nodes in _by_place(graph, found).items():
            found.uses.setdefault(start, []).append(Use(tuple(nodes)))
    values = {**builder.scope.values, **builder.target_scope.values}
    found.values = {name: value for name, value in values.items() if value is not None}
    found.parameters = dict(builder.environment)
    return builder.reporter.in_order(tree.span)


def _graphs(nodes: list[Node]) -> Iterator[Sequence[Node]]:
    """The nodes of the network and of every body in it; a body that several uses share once."""
    seen: set[int] = set()
    waiting: deque[Sequence[Node]] = deque([nodes])
    while waiting:
        graph = waiting.popleft()
        yield graph
        inner = [body for node in graph for body in node.bodies if id(body) not in seen]
        seen.update(map(id, inner))
        waiting.extend(body.nodes for body in dict.fromkeys(inner))


def _by_place(nodes: Sequence[Node], found: Analysis) -> dict[int, list[Node]]:
    """The nodes of each layer that stands in the document, by its offset."""
    places: dict[int, list[Node]] = {}
    for node in nodes:
        if node.span is not None and found.here(node.span):
            places.setdefault(node.span.start, []).append(node)
    return places

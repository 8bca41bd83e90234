"""The names that a place in a document can use, as words."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import field
from functools import cached_property
from pathlib import Path

from specc.frontend.tree import Mapping, Scalar, Tree
from specc.ir.dims import format_shape
from specc.ir.graph import Value
from specc.lsp.analysis import Analysis
from specc.lsp.context import Place
from specc.lsp.symbols import Names, Scope, Symbol
from specc.lsp.words import Word
from specc.ops.attributes import show
from specc.records import dataclass

MAX_FILES = 500
"""As many files of the spec's folder are looked at for completion."""
MAX_DEPTH = 3
"""As far below that folder."""


@dataclass
class View:
    """A document as one place in it sees it."""

    analysis: Analysis
    offset: int = 0
    block: str = ""
    depth: int = 0
    siblings: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, analysis: Analysis, place: Place) -> View:
        return cls(analysis, place.start, place.block, place.depth, place.siblings)

    @cached_property
    def scope(self) -> Scope:
        return self.analysis.symbols.scope(self.block, self.depth, self.offset)

    @property
    def conventions(self) -> str:
        tree = self.analysis.tree
        found = tree.get("conventions") if tree is not None else None
        return "pytorch" if isinstance(found, Scalar) and found.value == "pytorch" else "keras"

    def value_words(self) -> list[Word]:
        """The values that are computed above the place."""
        return [
            self.value_word(symbol)
            for symbol in self.scope.values.values()
            if symbol.kind != "layer" and self._above(symbol)
        ]

    def layer_words(self) -> list[Word]:
        """The layers that can be called again."""
        return [
            self.value_word(symbol)
            for symbol in self.scope.values.values()
            if symbol.kind != "input" and self._above(symbol)
        ]

    def input_words(self) -> list[Word]:
        values = self.analysis.symbols.scopes[0].values
        return [self.value_word(each) for each in values.values() if each.kind == "input"]

    def target_words(self) -> list[Word]:
        return [self.value_word(each) for each in self.analysis.symbols.targets.values()]

    def _above(self, symbol: Symbol) -> bool:
        defined = symbol.definitions
        return not defined or any(span.start < self.offset for span in defined)

    def value_word(self, symbol: Symbol) -> Word:
        """A value with its shape, where the compiler knows it."""
        value = self._value(symbol)
        detail = f"{symbol.kind} {value.type}" if value is not None else symbol.kind
        doc = f"`{format_shape(value.type.shape)}`" if value is not None else ""
        return Word(symbol.name, "value", detail, doc)

    def _value(self, symbol: Symbol) -> Value | None:
        found = self.analysis.values.get(symbol.name)
        return found if not self.block and not self.depth else None

    def parameter_words(self) -> list[Word]:
        return [self.parameter_word(each) for each in self.scope.parameters.values()]

    def parameter_word(self, symbol: Symbol) -> Word:
        given = self.analysis.parameters.get(symbol.name)
        own = self.analysis.symbols.scopes[0].parameters.get(symbol.name) is symbol
        detail = f"= {show(given)}" if own and given is not None else _default(symbol.tree)
        return Word(symbol.name, "parameter", f"{symbol.kind} {detail}".rstrip())

    def block_words(self) -> list[Word]:
        return [self.block_word(each) for each in self.analysis.symbols.blocks.values()]

    def block_word(self, symbol: Symbol) -> Word:
        formals = ", ".join(
            f"{each.name}{_default(each.tree).replace(' ', '')}"
            for each in self._formals(symbol.name).values()
        )
        takes = bool(self._formals(symbol.name))
        return Word(symbol.name, "block", f"block {symbol.name}({formals})", takes=takes)

    def formal_words(self, block: str) -> list[Word]:
        return [self.parameter_word(each) for each in self._formals(block).values()]

    def _formals(self, block: str) -> Names:
        return self.analysis.symbols.formals.get(block, {})

    def files(self, suffixes: tuple[str, ...]) -> list[Word]:
        """Files with these endings in the spec's folder and below it, but not the spec itself."""
        folder = self.analysis.path.parent
        found = itertools.islice(_files(folder, MAX_DEPTH), MAX_FILES)
        return [
            Word(path.relative_to(folder).as_posix(), "file")
            for path in found
            if path.suffix in suffixes and path != self.analysis.path
        ]


def _files(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(each for each in folder.iterdir() if not each.name.startswith("."))
    except OSError:  # a folder that may not be read has nothing to offer
        return
    yield from (each for each in entries if each.is_file())
    for each in entries if depth else ():
        if each.is_dir():
            yield from _files(each, depth - 1)


def _default(tree: Tree | None) -> str:
    """The default of a parameter, as text."""
    if isinstance(tree, Mapping) or tree is None:
        return ""
    if isinstance(tree, Scalar) and tree.value is None:
        return ""
    return f"= {tree.span.text}"

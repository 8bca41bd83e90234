"""The names of a document: where each is defined, and where it is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import field
from typing import TYPE_CHECKING

from specc.diagnostics import Span
from specc.frontend.declarations import input_names
from specc.frontend.expressions import Expression, Name, walk
from specc.frontend.tree import Mapping, Scalar, Sequence, Tree
from specc.records import dataclass

if TYPE_CHECKING:
    from specc.lsp.analysis import Analysis

_ITEM_KEYS = frozenset({"name", "from", "outputs", "use", "with", "layer", "repeat"})


@dataclass
class Symbol:
    """A name: ``kind`` is input, target, value, layer, parameter, index or block. A definition may
    stand in an included file; ``uses`` are in the document, and so is each of ``definitions`` else.
    """

    name: str
    kind: str
    definitions: list[Span] = field(default_factory=list)
    uses: list[Span] = field(default_factory=list)
    # What it is bound to: the declaration of a block or parameter, the layer that gives a value.
    tree: Tree | None = None

    @property
    def places(self) -> list[Span]:
        return [*self.definitions, *self.uses]


Names = dict[str, Symbol]


@dataclass
class Scope:
    """The names that a body sees. ``block`` is empty outside of blocks, ``depth`` counts the
    repeats around it, ``start`` is where the body begins."""

    block: str
    depth: int
    start: int
    values: Names = field(default_factory=dict)
    parameters: Names = field(default_factory=dict)


@dataclass
class Symbols:
    """All names of a document, by scope; targets and blocks are known in the whole of it."""

    scopes: list[Scope]
    targets: Names
    blocks: Names
    # The parameters of each block.
    formals: dict[str, Names]

    def __iter__(self) -> Iterator[Symbol]:
        tables = [self.targets, self.blocks, *self.formals.values()]
        for scope in self.scopes:
            tables += [scope.values, scope.parameters]
        seen: set[int] = set()
        for table in tables:
            for symbol in table.values():
                if id(symbol) not in seen:
                    seen.add(id(symbol))
                    yield symbol

    def at(self, offset: int, source_name: str) -> tuple[Symbol, Span] | None:
        """The symbol that a name at the offset stands for, and that name's place."""
        for symbol in self:
            for span in symbol.places:
                if span.source.name == source_name and span.start <= offset <= span.end:
                    return symbol, span
        return None

    def scope(self, block: str, depth: int, offset: int) -> Scope:
        """The scope of an offset that lies in a block (or none) and so many repeats."""
        fitting = [
            each
            for each in self.scopes
            if each.block == block and each.depth == depth and each.start <= offset
        ]
        return fitting[-1] if fitting else self.scopes[0]


def find_symbols(analysis: Analysis) -> Symbols:
    """The names of a document whose tree may be incomplete."""
    finder = _Finder(analysis)
    if analysis.tree is not None:
        finder.spec(analysis.tree)
    return finder.found


class _Finder:
    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self.top = Scope("", 0, 0)
        self.found = Symbols([self.top], {}, {}, {})

    def spec(self, tree: Mapping) -> None:
        for key, value in _entries(tree.get("blocks")):
            self._define(key, "block", self.found.blocks, value)
            formals = value.get("parameters") if isinstance(value, Mapping) else None
            self.found.formals[str(key.value)] = {}
            for name, default in _entries(formals):
                self._define(name, "parameter", self.found.formals[str(key.value)], default)
        for key, value in _entries(tree.get("parameters")):
            self._define(key, "parameter", self.top.parameters, value)
            self._values(value, self.top)
        for section, kind in (("inputs", "input"), ("targets", "target")):
            table = self.top.values if kind == "input" else self.found.targets
            for key, value in _entries(tree.get(section)):
                self._define(key, kind, table, value)
                self._values(value, self.top)
        for key, value in _entries(tree.get("blocks")):
            if isinstance(value, Mapping) and self.analysis.here(key.span):
                scope = Scope(str(key.value), 0, key.span.start)
                scope.parameters = self.found.formals[scope.block]
                self.found.scopes.append(scope)
                for _, default in _entries(value.get("parameters")):
                    self._values(default, scope)
                self._inputs(value, scope)
                self._body(value, scope)
        self._body(tree, self.top)
        self._training(tree.get("training"))
        self._data(tree.get("data"))

    # Definitions and uses

    def _place(self, scalar: Scalar, name: str) -> Span | None:
        """Where the name itself stands within its scalar, which may be quoted."""
        span = scalar.span
        at = span.text.find(name)
        plain = span.text.strip("\"'") == name
        return Span(span.source, span.start + at, span.start + at + len(name)) if plain else None

    def _define(self, scalar: Scalar, kind: str, table: Names, tree: Tree | None = None) -> None:
        name = str(scalar.value)
        symbol = table.setdefault(name, Symbol(name, kind, tree=tree))
        span = self._place(scalar, name)
        if span is not None and span not in symbol.places:
            symbol.definitions.append(span)

    def _use(self, tree: Tree | None, table: Names) -> None:
        """A name, or a list or mapping of names."""
        if isinstance(tree, Scalar):
            symbol = table.get(str(tree.value))
            span = self._place(tree, symbol.name) if symbol is not None else None
            if symbol is not None and span is not None and span not in symbol.places:
                symbol.uses.append(span)
        elif isinstance(tree, Sequence):
            for item in tree.items:
                self._use(item, table)
        elif tree is not None:
            for _, value in tree.entries:
                self._use(value, table)

    def _values(self, tree: Tree, scope: Scope) -> None:
        """The parameters that expressions read."""
        if isinstance(tree, Scalar):
            if isinstance(tree.value, Expression) and self.analysis.here(tree.span):
                for part in walk(tree.value):
                    if isinstance(part, Name):
                        self._use(Scalar(part.name, part.span), scope.parameters)
        elif isinstance(tree, Sequence):
            for item in tree.items:
                self._values(item, scope)
        else:
            for _, value in tree.entries:
                self._values(value, scope)

    # Bodies

    def _names(self, tree: Tree | None, kind: str, scope: Scope, item: Tree | None = None) -> None:
        for each in _items(tree):
            if isinstance(each, Scalar) and isinstance(each.value, str):
                self._define(each, kind, scope.values, item)

    def _inputs(self, tree: Mapping, scope: Scope) -> None:
        """The inputs of a block or repeat; the one that it has without saying so is not defined."""
        self._names(tree.get("inputs"), "input", scope)
        for name in input_names(tree):
            scope.values.setdefault(name, Symbol(name, "input"))

    def _body(self, tree: Mapping, scope: Scope) -> None:
        for key, value in _entries(tree.get("shared")):
            self._define(key, "layer", scope.values)
            self._values(value, scope)
        items = _items(tree.get("layers"))
        for item in items:
            if isinstance(item, Mapping):
                self._names(item.get("name"), "value", scope, item)
                self._names(item.get("outputs"), "value", scope, item)
        for item in items:
            if isinstance(item, Mapping):
                self._layer(item, scope)
        self._use(tree.get("outputs"), scope.values)

    def _layer(self, item: Mapping, scope: Scope) -> None:
        self._use(item.get("from"), scope.values)
        self._use(item.get("layer"), scope.values)
        block = item.get("use")
        self._use(block, self.found.blocks)
        formals = self.found.formals.get(str(block.value), {}) if isinstance(block, Scalar) else {}
        for key, value in _entries(item.get("with")):
            self._use(key, formals)
            self._values(value, scope)
        repeat = item.get("repeat")
        if isinstance(repeat, Mapping):
            self._repeat(repeat, scope)
        for key, value in item.entries:
            if key.value not in _ITEM_KEYS:
                self._values(value, scope)

    def _repeat(self, tree: Mapping, outer: Scope) -> None:
        scope = Scope(outer.block, outer.depth + 1, tree.span.start)
        scope.parameters = dict(outer.parameters)
        self.found.scopes.append(scope)
        times, index = tree.get("times"), tree.get("index")
        if times is not None:
            self._values(times, outer)
        if isinstance(index, Scalar):
            scope.parameters.pop(str(index.value), None)
            self._define(index, "index", scope.parameters)
        self._inputs(tree, scope)
        self._body(tree, scope)

    # Sections

    def _training(self, tree: Tree | None) -> None:
        for _, value in _entries(tree):
            for each in _items(value):
                for _, attributes in _entries(each):
                    if isinstance(attributes, Mapping):
                        self._use(attributes.get("prediction"), self.top.values)
                        self._use(attributes.get("target"), self.found.targets)
            self._values(value, self.top)

    def _data(self, tree: Tree | None) -> None:
        tables = {
            "inputs": (self.top.values,),
            "targets": (self.found.targets,),
            "test": (self.top.values, self.found.targets),
            "prepare": (self.top.values, self.found.targets),
        }
        for key, value in _entries(tree):
            for table in tables.get(str(key.value), ()):
                for name, _ in _entries(value):
                    self._use(name, table)
            self._values(value, self.top)


def _entries(tree: Tree | None) -> tuple[tuple[Scalar, Tree], ...]:
    return tree.entries if isinstance(tree, Mapping) else ()


def _items(tree: Tree | None) -> Iterable[Tree]:
    """The items of a list; anything else is the only one."""
    if tree is None:
        return ()
    return tree.items if isinstance(tree, Sequence) else (tree,)

"""The outline of a document: inputs, blocks, layers, training and data."""

from __future__ import annotations

from collections.abc import Iterable

from lsprotocol.types import DocumentSymbol, SymbolKind

from specc.diagnostics import Span
from specc.frontend.tree import Mapping, Scalar, Sequence, Tree
from specc.ir.dims import format_shape
from specc.lsp.analysis import Analysis

_WIRING = frozenset({"name", "from", "outputs", "with"})
_DECLARED = {
    "parameters": SymbolKind.Constant,
    "inputs": SymbolKind.Variable,
    "targets": SymbolKind.Variable,
    "shared": SymbolKind.Class,
}


def outline(analysis: Analysis) -> list[DocumentSymbol]:
    """The symbols of a document, those of bodies below their block or repeat."""
    if analysis.tree is None or not analysis.is_spec:
        return []
    return list(_Outline(analysis).body(analysis.tree))


class _Outline:
    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis

    def body(self, tree: Mapping) -> Iterable[DocumentSymbol]:
        for key, value in tree.entries:
            name = str(key.value)
            if name in _DECLARED and isinstance(value, Mapping):
                for each, inner in value.entries:
                    yield from self._symbol(each, each.span, inner.span, _DECLARED[name])
            elif name == "blocks" and isinstance(value, Mapping):
                for each, block in value.entries:
                    children = list(self.body(block)) if isinstance(block, Mapping) else []
                    kind = SymbolKind.Function
                    yield from self._symbol(each, each.span, block.span, kind, children)
            elif name == "layers" and isinstance(value, Sequence):
                for item in value.items:
                    yield from self._layer(item)
            elif name in ("training", "data") and isinstance(value, Mapping):
                yield from self._section(key, value)

    def _section(self, key: Scalar, value: Mapping) -> Iterable[DocumentSymbol]:
        children: list[DocumentSymbol] = []
        for each, inner in value.entries:
            children += self._symbol(each, each.span, inner.span, SymbolKind.Property)
        yield from self._symbol(key, key.span, value.span, SymbolKind.Namespace, children)

    def _layer(self, item: Tree) -> Iterable[DocumentSymbol]:
        if isinstance(item, Scalar):
            yield from self._symbol(item, item.span, item.span, SymbolKind.Class, place=item.span)
            return
        if not isinstance(item, Mapping):
            return
        kinds = [(key, value) for key, value in item.entries if key.value not in _WIRING]
        if len(kinds) != 1:
            return
        kind, value = kinds[0]
        named = kind.value in ("use", "layer") and isinstance(value, Scalar)
        shown = value if named and isinstance(value, Scalar) else kind
        label = _label(item)
        children = (
            list(self.body(value)) if isinstance(value, Mapping) and kind.value == "repeat" else []
        )
        yield from self._symbol(
            label or shown, (label or shown).span, item.span, SymbolKind.Class, children,
            detail=str(shown.value) if label is not None else "", place=shown.span,
        )  # fmt: skip

    def _symbol(
        self,
        name: Scalar,
        selection: Span,
        whole: Span,
        kind: SymbolKind,
        children: list[DocumentSymbol] | None = None,
        detail: str = "",
        place: Span | None = None,
    ) -> Iterable[DocumentSymbol]:
        """A symbol of the document itself; one of an included file is not shown."""
        if not self.analysis.here(selection) or not str(name.value):
            return
        positions = self.analysis.positions
        start, end = min(selection.start, whole.start), max(selection.end, whole.end)
        shape = self._shape(place)
        yield DocumentSymbol(
            name=str(name.value),
            detail=" ".join(part for part in (detail, shape) if part) or None,
            kind=kind,
            range=positions.range(start, end),
            selection_range=positions.of(selection),
            children=children or None,
        )

    def _shape(self, place: Span | None) -> str:
        uses = self.analysis.uses.get(place.start, []) if place is not None else []
        outputs = uses[0].outputs[:1] if uses else []
        return ", ".join(format_shape(value.type.shape) for value in outputs)


def _label(item: Mapping) -> Scalar | None:
    """The name that a layer is given."""
    name, outputs = item.get("name"), item.get("outputs")
    if name is None and isinstance(outputs, Sequence) and outputs.items:
        name = outputs.items[0]
    return name if isinstance(name, Scalar) and isinstance(name.value, str) else None

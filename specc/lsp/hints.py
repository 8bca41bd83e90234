"""Inlay hints: what each layer gives, behind it."""

from __future__ import annotations

from collections.abc import Iterator

from lsprotocol.types import InlayHint, InlayHintKind, Range

from specc.frontend.tree import Mapping, Scalar, Sequence, Tree
from specc.ir.dims import format_shape
from specc.lsp.analysis import Analysis, Use

_WIRING = frozenset({"name", "from", "outputs", "with"})


def hints(analysis: Analysis, wanted: Range) -> list[InlayHint]:
    """The shapes of the layers within a range."""
    if analysis.tree is None:
        return []
    start, end = map(analysis.positions.offset, (wanted.start, wanted.end))
    found: list[InlayHint] = []
    for item, kind in _layers(analysis.tree):
        uses = analysis.uses.get(kind.span.start, [])
        at = _end(analysis, item)
        if uses and analysis.here(kind.span) and start <= at <= end:
            found.append(
                InlayHint(
                    position=analysis.positions.position(at),
                    label=_label(uses),
                    kind=InlayHintKind.Type,
                    padding_left=True,
                    tooltip=f"{uses[0].nodes[0].path}: " + " or ".join(_shapes(uses)),
                )
            )
    return sorted(found, key=lambda hint: (hint.position.line, hint.position.character))


def _label(uses: list[Use]) -> str:
    shapes = _shapes(uses)
    return shapes[0] if len(shapes) == 1 else f"{shapes[0]} ..."


def _shapes(uses: list[Use]) -> list[str]:
    """What the layer gives; in a block that is used for several shapes, each of them."""
    shapes = [", ".join(format_shape(v.type.shape) for v in use.outputs) for use in uses]
    return list(dict.fromkeys(shapes))


def _end(analysis: Analysis, item: Tree) -> int:
    """Where the hint of a layer stands: behind it, or behind its first line in YAML."""
    if analysis.in_language:
        return item.span.end
    return min(item.span.end, analysis.positions.line_end(item.span.start))


def _layers(tree: Mapping) -> Iterator[tuple[Tree, Scalar]]:
    """Every layer with the part of it that says what it is, those of bodies too."""
    blocks = tree.get("blocks")
    for _, block in blocks.entries if isinstance(blocks, Mapping) else ():
        if isinstance(block, Mapping):
            yield from _layers(block)
    layers = tree.get("layers")
    for item in layers.items if isinstance(layers, Sequence) else ():
        if isinstance(item, Scalar):
            yield item, item
        elif isinstance(item, Mapping):
            for key, value in item.entries:
                if key.value not in _WIRING:
                    named = key.value in ("use", "layer") and isinstance(value, Scalar)
                    yield item, value if named and isinstance(value, Scalar) else key
                if key.value == "repeat" and isinstance(value, Mapping):
                    yield from _layers(value)

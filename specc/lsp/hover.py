"""Hover: the shape and the parameters of a layer, and what a word of the language means."""

from __future__ import annotations

import math

from lsprotocol.types import Hover, MarkupContent, MarkupKind

from specc.ir.dims import format_shape
from specc.ir.graph import Value
from specc.lsp.analysis import Analysis, Use
from specc.lsp.locate import Found, find_scalar
from specc.lsp.symbols import Symbol
from specc.lsp.view import View
from specc.lsp.vocabulary import slot_at
from specc.lsp.words import Word

MAX_LISTED = 6
"""As many parameters, or shapes of different uses, as a hover lists."""


def hover(analysis: Analysis, offset: int) -> Hover | None:
    """What there is to say of the word at an offset."""
    found = find_scalar(analysis, offset)
    symbol = analysis.symbols.at(offset, analysis.source.name)
    parts: list[str] = []
    span = found.scalar.span if found is not None else None
    if symbol is not None:
        parts.append(_symbol(analysis, symbol[0], found))
        span = symbol[1]
    if found is not None:
        uses = analysis.uses.get(found.scalar.span.start, [])
        if uses and (symbol is None or symbol[0].kind == "block"):
            parts += _layer(uses)
        word = _word(analysis, found) if symbol is None else None
        if word is not None:
            parts += _explained(word)
    text = "\n\n".join(part for part in parts if part)
    if not text or span is None:
        return None
    return Hover(MarkupContent(MarkupKind.Markdown, text), analysis.positions.of(span))


def _word(analysis: Analysis, found: Found) -> Word | None:
    """What the vocabulary says of a key or value at its place."""
    place = found.place
    slot = slot_at(place.path, View.of(analysis, place))
    if slot is None:
        return None
    words = slot.key_words() if found.is_key else slot.value_words()
    name = str(found.scalar.value)
    return next((word for word in words if word.name == name), _alias(name, place.path))


def _alias(name: str, path: tuple[str, ...]) -> Word | None:
    """A layer by another framework's name."""
    from specc.lsp.vocabulary import row_word
    from specc.ops.registry import find

    op = find(name) if path[-2:] == ("layers", "-") else None
    return row_word(op.kind, op, "layer") if op is not None and not op.internal else None


def _explained(word: Word) -> list[str]:
    head = f"**{word.name}**"
    return [f"{head} ({word.detail})" if word.detail else head, word.prose]


def _symbol(analysis: Analysis, symbol: Symbol, found: Found | None) -> str:
    """A name of the spec: what it is, and what it stands for here."""
    place = found.place if found is not None else None
    view = View.of(analysis, place) if place is not None else View(analysis)
    if symbol.kind == "block":
        return f"```specc\n{view.block_word(symbol).detail}\n```"
    if symbol.kind in ("parameter", "index"):
        return f"**{symbol.name}**: {view.parameter_word(symbol).detail}"
    types = _types(analysis, symbol)
    lines = [f"**{symbol.name}**: {symbol.kind}", ", ".join(f"`{each}`" for each in types)]
    uses = _uses_of(analysis, symbol)
    where = " in the first use" if len(types) > 1 else ""
    return "\n\n".join([*lines, *(_parameters(uses[0], where) if uses else [])])


def _types(analysis: Analysis, symbol: Symbol) -> list[str]:
    """The shapes that a value has, in the order of the uses of its block."""
    values: list[Value] = []
    for use in _uses_of(analysis, symbol):
        own = [value for value in use.outputs if value.name == symbol.name]
        values += own or use.outputs[:1]
    top = analysis.values.get(symbol.name)
    in_top = analysis.symbols.scopes[0].values.get(symbol.name) is symbol
    if not values and top is not None and (in_top or symbol.kind == "target"):
        values.append(top)
    return list(dict.fromkeys(format_shape(value.type.shape) for value in values))[:MAX_LISTED]


def _uses_of(analysis: Analysis, symbol: Symbol) -> list[Use]:
    """The layer that gives a value, once for each use of its block."""
    if symbol.tree is None:
        return []
    item = symbol.tree.span
    inside = (
        use
        for start, uses in analysis.uses.items()
        if item.start <= start < item.end
        for use in uses
    )
    return [
        use
        for use in inside
        if symbol.name in (use.nodes[0].path, *(value.name for value in use.outputs))
    ]


def _layer(uses: list[Use]) -> list[str]:
    """The shapes of a layer and what it trains."""
    first = uses[0]
    shapes = dict.fromkeys(_flow(use) for use in uses)
    listed = [*shapes][:MAX_LISTED]
    more = f"\n\nand {len(shapes) - MAX_LISTED} more" if len(shapes) > MAX_LISTED else ""
    where = " in the first use" if len(shapes) > 1 else ""
    return ["\n\n".join(listed) + more, *_parameters(first, where)]


def _flow(use: Use) -> str:
    """``(batch, 28, 28, 1)`` → ``(batch, 26, 26, 32)``."""
    came = ", ".join(format_shape(value.type.shape) for value in use.inputs)
    gives = ", ".join(format_shape(value.type.shape) for value in use.outputs)
    return f"`{came}` → `{gives}`"


def _parameters(use: Use, where: str = "") -> list[str]:
    """How many numbers a layer trains and keeps, and in which arrays."""
    parameters = use.parameters
    if not parameters:
        return []
    trained = sum(math.prod(p.shape) for _, p in parameters if p.trainable)
    kept = sum(math.prod(p.shape) for _, p in parameters if not p.trainable)
    kept_text = f", {kept:,} running statistics" if kept else ""
    head = f"{trained:,} parameters{kept_text}{where}"
    rows = [f"- `{path}` {format_shape(p.shape)}" for path, p in parameters[:MAX_LISTED]]
    rest = len(parameters) - MAX_LISTED
    return [head, "\n".join([*rows, *([f"- and {rest} more"] if rest > 0 else [])])]

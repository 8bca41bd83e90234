"""Completion: layers, attributes, values, names and files, also in a text that does not parse."""

from __future__ import annotations

from collections.abc import Iterable

from lsprotocol.types import (
    CompletionItem,
    CompletionItemKind,
    CompletionList,
    MarkupContent,
    MarkupKind,
    TextEdit,
)

from specc.lsp.analysis import Analysis
from specc.lsp.context import Place
from specc.lsp.dsl_context import dsl_place
from specc.lsp.view import View
from specc.lsp.vocabulary import Slot, slot_at
from specc.lsp.words import Word
from specc.lsp.yaml_context import yaml_place

_KINDS = {
    "layer": CompletionItemKind.Class,
    "attribute": CompletionItemKind.Property,
    "choice": CompletionItemKind.EnumMember,
    "section": CompletionItemKind.Keyword,
    "wiring": CompletionItemKind.Keyword,
    "constant": CompletionItemKind.Constant,
    "value": CompletionItemKind.Variable,
    "parameter": CompletionItemKind.Constant,
    "block": CompletionItemKind.Function,
    "file": CompletionItemKind.File,
}
_STATEMENTS = {
    "": (
        "spec conventions layout dtype seed allow include parameter input target block layer output"
        " training data"
    ).split(),
    "body": ["input", "layer", "output"],
}


def place_at(analysis: Analysis, offset: int) -> Place | None:
    """The place of a cursor."""
    if analysis.in_language:
        return dsl_place(analysis.text, offset, frozenset(analysis.symbols.blocks))
    return yaml_place(analysis.text, offset)


def complete(analysis: Analysis, offset: int) -> CompletionList:
    """What may be written at an offset."""
    place = place_at(analysis, offset) if analysis.is_spec else None
    if place is None:
        return CompletionList(is_incomplete=False, items=[])
    view = View.of(analysis, place)
    writer = _Language(place) if analysis.in_language else _Yaml(place)
    items: dict[str, CompletionItem] = {}
    for word, text in writer.texts(view):
        if word.name not in items:
            items[word.name] = _item(word, text, analysis, place.start, offset, len(items))
    return CompletionList(is_incomplete=False, items=list(items.values()))


def _item(
    word: Word, text: str, analysis: Analysis, start: int, offset: int, rank: int
) -> CompletionItem:
    return CompletionItem(
        label=word.name,
        kind=_KINDS[word.what],
        detail=word.detail or None,
        documentation=MarkupContent(MarkupKind.Markdown, word.prose) if word.doc else None,
        sort_text=f"{rank:04}",
        filter_text=word.name,
        text_edit=TextEdit(analysis.positions.range(start, offset), text),
    )


class _Yaml:
    def __init__(self, place: Place) -> None:
        self.place = place

    def texts(self, view: View) -> Iterable[tuple[Word, str]]:
        """The words, each with what is written for it."""
        place = self.place
        keys = slot_at(place.keys, view) if place.keys is not None else None
        values = slot_at(place.values, view) if place.values is not None else None
        if values is not None:
            # A layer without attributes stands alone, and so do names and choices.
            for word in values.value_words():
                if not (keys is not None and word.required):
                    yield word, self._value(word)
        for word in keys.key_words() if keys is not None else ():
            if word.name not in place.used:
                yield word, word.name if place.quoted else f"{word.name}: "

    def _value(self, word: Word) -> str:
        return f"${word.name}" if word.what == "parameter" and not self.place.quoted else word.name


class _Language:
    def __init__(self, place: Place) -> None:
        self.place = place

    def texts(self, view: View) -> Iterable[tuple[Word, str]]:
        """The words, each with what is written for it."""
        place = self.place
        if place.statement:
            names = _STATEMENTS["body" if place.path else ""]
            for name in names:
                yield Word(name, "section"), f"{name} "
        keys = slot_at(place.keys, view) if place.keys is not None and not place.statement else None
        values = slot_at(place.values, view) if place.values is not None else None
        for word in values.value_words() if values is not None else ():
            yield word, self._value(word)
        if keys is None:
            return
        is_step = place.path[-2:] == ("layers", "-")
        for word in self._steps(view, keys) if is_step else self._keys(keys):
            yield word, self._key(word, is_step)

    def _keys(self, slot: Slot) -> Iterable[Word]:
        return (word for word in slot.key_words() if word.name not in self.place.used)

    def _steps(self, view: View, slot: Slot) -> Iterable[Word]:
        yield from view.block_words()
        yield from (word for word in view.layer_words() if word.name in _shared(view))
        yield Word("repeat", "wiring", "", "Layers that follow each other several times.", True)
        yield from (word for word in slot.key_words() if word.what == "layer")

    def _key(self, word: Word, is_step: bool) -> str:
        if is_step:
            return f"{word.name}(" if word.required or word.name == "repeat" else word.name
        if self.place.path in (("training",), ("data",)):
            return f"{word.name} "
        return word.name if word.what in ("choice", "layer") else f"{word.name}="

    def _value(self, word: Word) -> str:
        if word.what == "file" and not self.place.quoted:
            return f'"{word.name}"'
        return word.name


def _shared(view: View) -> set[str]:
    """The layers that are declared to be called."""
    return {symbol.name for symbol in view.scope.values.values() if symbol.kind == "layer"}

"""The words that have a meaning at a place of a spec: what completion offers and hover explains.

A ``Slot`` is a place. Its keys and values are computed when they are asked for, and its children
are the slots below its keys; the two forms of a spec have the same slots.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from specc.lsp.context import Path
from specc.lsp.view import View
from specc.lsp.words import Word
from specc.ops.attributes import Attribute, Boolean, Kind, Optional, show
from specc.records import dataclass

Words = Callable[[], Iterable[Word]]


def _nothing() -> Iterable[Word]:
    return ()


def _nowhere(key: str) -> Slot | None:
    return None


@dataclass(frozen=True)
class Slot:
    """What may stand at a place. ``names`` are the attributes in the order of positions."""

    key_words: Words = _nothing
    value_words: Words = _nothing
    child: Callable[[str], Slot | None] = _nowhere
    names: tuple[str, ...] = ()


def slot_at(path: Path, view: View) -> Slot | None:
    """The slot at a path; None where anything may stand."""
    slot: Slot | None = spec_slot(view)
    for key in path:
        if slot is None:
            return None
        if key[:1] == "#" and key[1:].isdecimal():  # a value by its position
            position = int(key[1:])
            key = slot.names[position] if position < len(slot.names) else ""
        slot = slot.child(key)
    return slot


def _fixed(words: Iterable[Word], children: Mapping[str, Callable[[], Slot]]) -> Slot:
    """A mapping whose keys are known."""
    listed = tuple(words)

    def child(key: str) -> Slot | None:
        return children[key]() if key in children else None

    return Slot(lambda: listed, child=child)


def _each(item: Callable[[], Slot], keys: Words = _nothing) -> Slot:
    """A list, or a mapping, whose entries are alike."""
    return Slot(keys, child=lambda key: item())


def _names(words: Words) -> Slot:
    """A name, or a list or mapping of names."""
    return Slot(value_words=words, child=lambda key: _names(words))


def _choice(*names: str) -> Slot:
    """One of some words, and no expression."""
    return Slot(value_words=lambda: [Word(name, "choice") for name in names])


# Attributes and choices


def attribute_word(attribute: Attribute, view: View) -> Word:
    default = "required" if attribute.required else f"default {_default(attribute, view)}"
    return Word(attribute.name, "attribute", f"{attribute.kind.wants()}; {default}", attribute.doc)


def _default(attribute: Attribute, view: View) -> str:
    value = attribute.default_for(view.conventions)
    return show(
        value if value is None or isinstance(value, bool | int | float | str) else str(value)
    )


def attributes_slot(attributes: Iterable[Attribute], view: View) -> Slot:
    """The attributes of a layer, or of a choice from a registry."""
    table = {attribute.name: attribute for attribute in attributes}
    words = [attribute_word(attribute, view) for attribute in table.values()]
    first = next(iter(table.values()), None)

    def child(key: str) -> Slot | None:
        return kind_slot(table[key].kind, view) if key in table else None

    # `dense: 32` is the first attribute.
    values = kind_slot(first.kind, view).value_words if first is not None else _nothing
    return Slot(lambda: words, values, child, tuple(table))


def kind_slot(kind: Kind, view: View) -> Slot:
    """The value of an attribute."""
    inner = kind.kind if isinstance(kind, Optional) else kind
    wants = kind.wants()
    extra = [Word("null", "constant", wants)] if isinstance(kind, Optional) else []
    registry = getattr(inner, "registry", None)
    if registry is not None:
        return registry_slot(registry(), view, extra)
    fixed = ["true", "false"] if isinstance(inner, Boolean) else _choices(inner.schema())
    words = [*(Word(each, "choice", wants) for each in fixed), *extra]
    return _names(lambda: [*words, *view.parameter_words()])


def _choices(schema: dict[str, Any]) -> list[str]:
    """The words that a schema lists."""
    own = [each for each in schema.get("enum", ()) if isinstance(each, str)]
    return own + [each for part in schema.get("anyOf", ()) for each in _choices(part)]


def registry_slot(registry: Mapping[str, Any], view: View, extra: Iterable[Word] = ()) -> Slot:
    """A choice from a registry: its name, or its name with attributes."""
    words = [row_word(name, row) for name, row in sorted(registry.items())]

    def child(key: str) -> Slot | None:
        row = row_of(registry, key)
        if key == "-":
            return registry_slot(registry, view, extra)
        return None if row is None else attributes_slot(row.attributes, view)

    return Slot(lambda: words, lambda: [*words, *extra, *view.parameter_words()], child)


def row_of(registry: Mapping[str, Any], name: str) -> Any:
    """The row of that name or alias; None if there is none."""
    if name in registry:
        return registry[name]
    return next((row for row in registry.values() if name in getattr(row, "aliases", ())), None)


def row_word(name: str, row: Any, what: str = "choice") -> Word:
    doc = inspect.getdoc(row if isinstance(row, type) else type(row)) or ""
    required = any(attribute.required for attribute in row.attributes)
    return Word(name, what, "", doc, takes=bool(row.attributes), required=required)


# The spec


def spec_slot(view: View) -> Slot:
    """A whole spec."""
    from specc.frontend.build import SECTIONS

    def choice(*names: str) -> Callable[[], Slot]:
        return lambda: _choice(*names)

    children: dict[str, Callable[[], Slot]] = {
        "conventions": choice("keras", "pytorch"),
        "layout": choice("channels_last", "channels_first"),
        "dtype": choice("float32", "float64"),
        "includes": lambda: _names(lambda: view.files((".yaml", ".yml", ".specc"))),
        "allow": lambda: _names(_warnings),
        "parameters": lambda: _each(lambda: Slot(value_words=view.parameter_words)),
        "inputs": lambda: _each(lambda: _declared(view)),
        "targets": lambda: _each(lambda: _declared(view)),
        "blocks": lambda: _each(lambda: body_slot(view)),
        "training": lambda: training_slot(view),
        "data": lambda: data_slot(view),
    }
    body = body_slot(view)
    words = [Word(name, "section", "", doc) for name, doc in SECTIONS.items()]

    def child(key: str) -> Slot | None:
        return children[key]() if key in children else body.child(key)

    return Slot(lambda: words, child=child)


def _warnings() -> list[Word]:
    from specc.diagnostics import WARNINGS
    from specc.diagnostics.catalogue import page

    return [Word(name, "choice", code, page(code).title) for code, name in WARNINGS.items()]


def _declared(view: View) -> Slot:
    words = [
        Word("shape", "attribute", "a list without the batch", "The sizes of the axes."),
        Word("dtype", "attribute", "float, int or bool; default float", "The type of an element."),
    ]
    shape, dtype = _names(view.parameter_words), _choice("float", "int", "bool")
    return _fixed(words, {"shape": lambda: shape, "dtype": lambda: dtype})


def body_slot(view: View) -> Slot:
    """A block, a repeat or the network itself."""
    words = [
        Word("parameters", "section", "", "What each use gives; ~ for no default."),
        Word("inputs", "section", "", "The names of what comes in."),
        Word("shared", "section", "", "Layers declared once and called by name."),
        Word("layers", "section", "", "Its layers."),
        Word("outputs", "section", "", "What it gives; else the output of the last layer."),
    ]
    return _fixed(
        words,
        {
            "parameters": lambda: _each(Slot),
            "inputs": Slot,
            "shared": lambda: _each(lambda: layer_slot(view)),
            "layers": lambda: _each(lambda: layer_slot(view)),
            "outputs": lambda: _names(view.value_words),
        },
    )


def layer_slot(view: View) -> Slot:
    """One layer."""
    from specc.ops.registry import find, visible

    def kinds() -> list[Word]:
        return [row_word(name, op, "layer") for name, op in visible().items()]

    def keys() -> list[Word]:
        return [*_WIRING, *kinds()]

    def child(key: str) -> Slot | None:
        name, _, block = key.partition(":")
        op = find(key)
        match name:
            case "from":
                return _names(view.value_words)
            case "use":
                return Slot(value_words=view.block_words)
            case "with":
                return _formals(block, view)
            case "layer":
                return Slot(value_words=view.layer_words)
            case "repeat":
                return _repeat(view)
        return None if op is None or op.internal else attributes_slot(op.attributes, view)

    return Slot(keys, kinds, child)


_WIRING = (
    Word("name", "wiring", "", "The path of the layer and the name of its output."),
    Word("from", "wiring", "", "What it takes: the output of the layer above when not given."),
    Word("outputs", "wiring", "", "Names for what it gives."),
    Word("use", "wiring", "", "A block to use."),
    Word("with", "wiring", "", "What the use of a block gives its parameters."),
    Word("layer", "wiring", "", "A layer to call again, with the same parameters."),
    Word("repeat", "wiring", "", "Layers that follow each other several times."),
)


def _formals(block: str, view: View) -> Slot:
    words = view.formal_words(block)
    value = Slot(value_words=view.parameter_words)
    return Slot(lambda: words, child=lambda key: value, names=tuple(word.name for word in words))


def _repeat(view: View) -> Slot:
    body = body_slot(view)
    words = [
        Word("times", "attribute", "a positive integer; required", "How often."),
        Word("index", "attribute", "a name", "What expressions call the number of the time."),
        *(word for word in body.key_words() if word.name != "parameters"),
    ]

    def child(key: str) -> Slot | None:
        return Slot(value_words=view.parameter_words) if key == "times" else body.child(key)

    return Slot(lambda: words, child=child, names=("times", "index"))


# Training and data


def training_slot(view: View) -> Slot:
    from specc.frontend.training import TRAINING
    from specc.training.clipping import CLIPPINGS
    from specc.training.metrics import METRICS
    from specc.training.optimizers import OPTIMIZERS

    words = [
        Word("loss", "section", "", "What is made small; several add up."),
        Word("optimizer", "section", "", "How the parameters follow their gradients."),
        Word("metrics", "section", "", "What an epoch is judged by, beside its loss."),
        Word("clip", "section", "", "How gradients are limited."),
        *(attribute_word(attribute, view) for attribute in TRAINING),
    ]
    plain = attributes_slot(TRAINING, view)

    def child(key: str) -> Slot | None:
        match key:
            case "loss":
                return losses_slot(view)
            case "optimizer":
                return registry_slot(OPTIMIZERS, view)
            case "metrics":
                return _wired(registry_slot(METRICS, view), view)
            case "clip":
                return registry_slot(CLIPPINGS, view)
        return plain.child(key)

    return Slot(lambda: words, child=child)


def losses_slot(view: View) -> Slot:
    from specc.ops.losses import LOSSES

    return _wired(registry_slot(LOSSES, view), view, ("prediction", "target"), ("weight",))


def _wired(
    slot: Slot, view: View, before: tuple[str, ...] = (), after: tuple[str, ...] = ()
) -> Slot:
    """Choices of a registry that compare a prediction with a target."""
    wires = {
        "prediction": (Word("prediction", "attribute", "the name of a value"), view.value_words),
        "target": (Word("target", "attribute", "the name of a target"), view.target_words),
        "weight": (Word("weight", "attribute", "a number; default 1.0", "Its share."), _nothing),
    }

    def row(inner: Slot) -> Slot:
        def child(key: str) -> Slot | None:
            return Slot(value_words=wires[key][1]) if key in wires else inner.child(key)

        words = [*(wires[name][0] for name in (*before, *after)), *inner.key_words()]
        return Slot(lambda: words, child=child, names=(*before, *inner.names, *after))

    def choice(key: str) -> Slot | None:
        inner = slot.child(key)
        if key == "-":
            return _wired(slot, view, before, after)
        return None if inner is None else row(inner)

    return Slot(slot.key_words, slot.key_words, choice)


def data_slot(view: View) -> Slot:
    from specc.data.spec import SOURCES
    from specc.data.split import SPLIT
    from specc.data.steps import STEPS

    source = view.siblings.get("source", "")
    own = SOURCES.get(source) or {a.name: a for row in SOURCES.values() for a in row}.values()
    attributes = attributes_slot(own, view)
    words = [
        Word("source", "attribute", "where the examples come from", ", ".join(SOURCES)),
        Word("inputs", "section", "", "The array or column of each input."),
        Word("targets", "section", "", "The array or column of each target."),
        Word("test", "section", "", "The arrays of a test part that the file brings."),
        Word("split", "section", "", "How the rows are divided."),
        Word("prepare", "section", "", "The steps that prepare each array."),
        *attributes.key_words(),
    ]
    steps = registry_slot(STEPS, view)
    names = (*view.input_words(), *view.target_words())
    fixed: dict[str, Slot] = {
        "source": _choice(*SOURCES),
        "inputs": Slot(view.input_words),
        "targets": Slot(view.target_words),
        "test": Slot(lambda: names),
        "split": attributes_slot(SPLIT, view),
        "prepare": Slot(lambda: names, child=lambda key: steps),
        "path": Slot(value_words=lambda: view.files((".npz", ".csv"))),
    }

    def child(key: str) -> Slot | None:
        return fixed[key] if key in fixed else attributes.child(key)

    return Slot(lambda: words, child=child)

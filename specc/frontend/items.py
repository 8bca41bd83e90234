"""A layer as written: its kind, its attributes, its names and its wiring."""

from __future__ import annotations

from specc.diagnostics import Span
from specc.frontend.configure import Reporter
from specc.frontend.tree import Mapping, Scalar, Sequence, Tree
from specc.ops.registry import find
from specc.records import dataclass

SPECIAL = ("use", "repeat", "layer")
"""Kinds of layers that are no ops."""
_RESERVED = ("name", "from", "outputs")


@dataclass(frozen=True)
class Item:
    """One item of a list of layers. ``extra`` is what stands under ``with``."""

    kind: Scalar
    attributes: Tree | None
    name: Scalar | None = None
    source: Tree | None = None
    outputs: Tree | None = None
    extra: Tree | None = None

    @property
    def in_language(self) -> bool:
        """Whether it is written in the language, for help that shows what to write."""
        return self.kind.span.source.name.endswith(".specc")

    @property
    def span(self) -> Span:
        """What to underline: the op, or the name of the block or layer that is used."""
        named = self.kind.value in ("use", "layer") and isinstance(self.attributes, Scalar)
        return self.attributes.span if named and self.attributes else self.kind.span

    @property
    def output_names(self) -> list[Scalar]:
        """The names that the spec gives the outputs."""
        if isinstance(self.outputs, Sequence):
            return [each for each in self.outputs.items if isinstance(each, Scalar)]
        return [self.outputs] if isinstance(self.outputs, Scalar) else []

    @property
    def own_names(self) -> list[Scalar]:
        """The names that the spec gives the layer and its outputs."""
        return [*([self.name] if self.name else []), *self.output_names]


def read_item(tree: Tree, reporter: Reporter) -> Item | None:
    """The layer of an item of a list; None for what is no layer, which is reported."""
    if isinstance(tree, Scalar) and isinstance(tree.value, str):
        return Item(tree, None)
    if not isinstance(tree, Mapping):
        message = "a layer is a name or a mapping with its kind as key"
        reporter.error("E0402", message, tree.span, "e.g. relu, or dense: {units: 10}")
        return None
    kinds = [(k, v) for k, v in tree.entries if k.value not in (*_RESERVED, "with")]
    if len(kinds) != 1:
        _report_kinds([key for key, _ in kinds], tree.span, reporter)
        return None
    kind, attributes = kinds[0]
    name = tree.get("name")
    if name is not None and not (isinstance(name, Scalar) and isinstance(name.value, str)):
        help_ = "use letters, digits and underscores, starting with a letter"
        reporter.error("E0403", "a layer's name is a word", name.span, help_)
        name = None
    with_ = tree.key("with")
    if with_ is not None and kind.value != "use":
        message = "'with' gives a block its parameters, and this is no use of a block"
        help_ = f"attributes go inside {kind.value}: {{...}}"
        reporter.error("E0402", message, with_.span, help_)
        return None
    outputs = tree.get("outputs")
    for each in outputs.items if isinstance(outputs, Sequence) else (outputs,):
        plain_name = isinstance(each, Scalar) and isinstance(each.value, str | None)
        if each is not None and not plain_name:
            message = "outputs is a list of names for what the layer gives"
            reporter.error("E0406", message, each.span, "e.g. outputs: [sequence, state]")
            return None
    return Item(kind, attributes, name, tree.get("from"), outputs, tree.get("with"))


def _report_kinds(kinds: list[Scalar], place: Span, reporter: Reporter) -> None:
    """Says why a layer with these kinds, none or several, is none."""
    if not kinds:
        help_ = "add one, e.g. dense: {units: 10}"
        reporter.error("E0402", "this layer has no kind", place, help_)
        return
    known = [key for key in kinds if find(str(key.value)) or key.value in SPECIAL]
    odd = [key for key in kinds if key not in known]
    if len(known) == 1 and odd:
        message = f"'{odd[0].value}' is not part of a layer"
        help_ = f"attributes go inside {known[0].value}: {{...}}"
        reporter.error("E0402", message, odd[0].span, help_)
        return
    listed = ", ".join(f"'{key.value}'" for key in kinds)
    message = f"a layer has one kind, but this one has {listed}"
    reporter.error("E0402", message, kinds[1].span, "start a new list item for each layer")

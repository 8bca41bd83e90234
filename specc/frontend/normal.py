"""One way to write each thing: what the short forms of YAML stand for.

The language has no short forms, so a tree is normalized before it is written in the language; and
two trees mean the same wiring and attributes when their normal forms are equal.
"""

from __future__ import annotations

from dataclasses import replace

from specc.frontend.signatures import Family, Signature, Signatures, registered
from specc.frontend.tree import SECTIONS, Comments, Mapping, Scalar, Sequence, Tree, with_comments
from specc.records import dataclass

Entries = list[tuple[Scalar, Tree]]
_LAYER_ORDER = ("name", "use", "with", "from", "outputs")
_CHOICES = ("optimizer", "clip", "loss", "metrics")


def normalize(tree: Mapping, signatures: Signatures = registered) -> Mapping:
    """The tree without short forms, comments kept.

    Sections in their usual order; shapes as ``{shape, dtype}`` without the default dtype; a layer
    without attributes as its bare kind; ``from`` written at the start of each chain of layers;
    ``{l2: 1e-4}`` with the attribute's name.
    """
    normal = _Normal(signatures)
    entries: Entries = []
    inputs = tree.get("inputs")
    names = inputs.keys() if isinstance(inputs, Mapping) else []
    for key, value in _body(tree, names, normal):
        if key.value in ("inputs", "targets") and isinstance(value, Mapping):
            value = _entries(value, [(k, _declared(v)) for k, v in value.entries])
        elif key.value == "blocks" and isinstance(value, Mapping):
            value = _entries(value, [(k, normal.block(v)) for k, v in value.entries])
        elif key.value in ("includes", "allow") and isinstance(value, Scalar):
            value = Sequence((value,), value.span)
        elif key.value == "training" and isinstance(value, Mapping):
            value = normal.training(value)
        elif key.value == "data" and isinstance(value, Mapping):
            value = normal.data(value)
        if _says_something(key, value):
            entries.append((key, value))
    order = {name: position for position, name in enumerate(SECTIONS)}
    entries.sort(key=lambda e: order.get(str(e[0].value), len(order)))
    return _entries(tree, entries)


def _entries(tree: Mapping, entries: Entries) -> Mapping:
    return replace(tree, entries=tuple(entries))


def _is_empty(tree: Tree | None) -> bool:
    if isinstance(tree, Mapping):
        return not tree.entries
    return isinstance(tree, Sequence) and not tree.items


def _says_something(key: Scalar, value: Tree) -> bool:
    """Whether a section counts: an empty one does not, unless it is as bad as a missing one, or
    worse."""
    return not _is_empty(value) or key.value in ("training", "data", "outputs")


def _declared(tree: Tree) -> Tree:
    if isinstance(tree, Sequence):
        return Mapping(((Scalar("shape", tree.span), tree),), tree.span)
    if not isinstance(tree, Mapping):
        return tree
    kept = [
        (k, v)
        for k, v in tree.entries
        if not (k.value == "dtype" and isinstance(v, Scalar) and v.value == "float")
    ]
    return _entries(tree, sorted(kept, key=lambda e: e[0].value != "shape"))


def _body(tree: Mapping, inputs: list[str], normal: _Normal) -> Entries:
    """The entries of the spec, a block or a repeat, its layers normalized."""
    entries: Entries = []
    for key, value in tree.entries:
        if key.value == "outputs" and isinstance(value, Scalar) and value.value is not None:
            value = Sequence((value,), value.span)
        elif key.value == "layers" and isinstance(value, Sequence):
            value = normal.layers(value, inputs)
        elif key.value == "shared" and isinstance(value, Mapping):
            value = _entries(value, [(k, normal.shared(v)) for k, v in value.entries])
        entries.append((key, value))
    return entries


@dataclass(frozen=True)
class _Normal:
    signatures: Signatures

    def block(self, tree: Tree) -> Tree:
        """A block or the body of a repeat: its inputs written out."""
        if not isinstance(tree, Mapping):
            return tree
        given = tree.get("inputs")
        if isinstance(given, Scalar) and given.value is not None:
            given = Sequence((given,), given.span)
        if not isinstance(given, Sequence) or not given.items:
            given = Sequence((Scalar("x", tree.span),), tree.span)
        names = [str(item.value) for item in given.items if isinstance(item, Scalar)]
        entries = _body(tree, names, self)
        key = tree.key("inputs") or Scalar("inputs", tree.span)
        kept = [e for e in entries if e[0].value != "inputs" and _says_something(*e)]
        order = {n: i for i, n in enumerate(("parameters", "times", "index", "inputs", *SECTIONS))}
        kept.append((key, given))
        return _entries(tree, sorted(kept, key=lambda e: order.get(str(e[0].value), len(order))))

    def shared(self, tree: Tree) -> Tree:
        """A declared layer, always with its attributes: ``{relu: {}}``."""
        if isinstance(tree, Scalar) and isinstance(tree.value, str):
            tree = Mapping(((tree, Mapping((), tree.span)),), tree.span)
        if not isinstance(tree, Mapping):
            return tree
        return _entries(tree, [(k, self._attributes(str(k.value), v)) for k, v in tree.entries])

    def layers(self, tree: Sequence, inputs: list[str]) -> Sequence:
        items = []
        previous = inputs[0] if len(inputs) == 1 else None
        for item in tree.items:
            items.append(self._layer(item, previous))
            previous = _renamed_output(item)
        return replace(tree, items=tuple(items))

    def _layer(self, item: Tree, source: str | None) -> Tree:
        """A layer. ``source`` is the value to be written as its ``from``, where it takes one
        without saying so."""
        if isinstance(item, Scalar):
            if source is None or not isinstance(item.value, str):
                return item
            kind = replace(item, comments=Comments())
            entry = (kind, Mapping((), item.span))
            item = Mapping((entry,), item.span, item.comments)
        if not isinstance(item, Mapping):
            return item
        entries: Entries = []
        for key, value in item.entries:
            if key.value == "repeat":
                value = self.block(value)
            elif key.value not in (*_LAYER_ORDER, "layer"):
                value = self._attributes(str(key.value), value)
            if not (key.value in ("with", "outputs") and (_is_empty(value) or _is_null(value))):
                entries.append((key, value))
        if source is not None and item.get("from") is None:
            entries.append((Scalar("from", item.span), Scalar(source, item.span)))
        order = {"name": 0, "with": 2, "from": 3, "outputs": 4}
        entries.sort(key=lambda e: order.get(str(e[0].value), 1))
        if len(entries) == 1:
            kind, attributes = entries[0]
            if kind.value not in ("use", "layer", "repeat") and _is_empty(attributes):
                return replace(kind, comments=item.comments or kind.comments)
        return _entries(item, entries)

    def _attributes(self, kind: str, tree: Tree) -> Tree:
        return self._arguments(tree, self.signatures("layers", kind))

    def _arguments(self, tree: Tree, signature: Signature | None) -> Tree:
        """The attributes of one kind by name, the choices among them normalized."""
        if _is_null(tree):
            return Mapping((), tree.span)
        if signature is None:
            return tree
        if not isinstance(tree, Mapping):
            if not signature.names:
                return tree
            tree = Mapping(((Scalar(signature.names[0], tree.span), tree),), tree.span)
        return _entries(
            tree,
            [
                (key, self._choice(value, signature.families.get(str(key.value))))
                for key, value in tree.entries
            ],
        )

    def _choice(self, tree: Tree, family: Family | None) -> Tree:
        """A value that may be a choice: ``{l2: 1e-4}`` as ``{l2: {factor: 1e-4}}``, ``{zeros: {}}``
        as ``zeros``."""
        if family is None or not isinstance(tree, Mapping) or len(tree.entries) != 1:
            return tree
        (key, inner) = tree.entries[0]
        signature = family(str(key.value))
        if signature is None:
            return tree
        arguments = self._arguments(inner, signature)
        if _is_empty(arguments):
            return with_comments(key, tree.comments)
        return _entries(tree, [(key, arguments)])

    def _choices(self, section: str, tree: Tree) -> Tree:
        def family(kind: str) -> Signature | None:
            return self.signatures(section, kind)

        if isinstance(tree, Sequence):
            return replace(tree, items=tuple(self._choice(item, family) for item in tree.items))
        return self._choice(tree, family)

    def training(self, tree: Mapping) -> Mapping:
        entries: Entries = []
        for key, value in tree.entries:
            name = str(key.value)
            if name in _CHOICES:
                value = self._choices(name, value)
            if name == "loss" and isinstance(value, Sequence) and len(value.items) == 1:
                value = value.items[0]
            if name == "metrics" and isinstance(value, Scalar | Mapping) and not _is_null(value):
                value = Sequence((value,), value.span)
            if not (name in ("metrics", "clip") and _is_empty(value)):
                entries.append((key, value))
        return _entries(tree, entries)

    def data(self, tree: Mapping) -> Mapping:
        entries: Entries = []
        for key, value in tree.entries:
            if key.value == "prepare" and isinstance(value, Mapping):
                prepared = [(k, self._choices("prepare", v)) for k, v in value.entries]
                value = _entries(value, prepared)
            entries.append((key, value))
        return _entries(tree, sorted(entries, key=lambda e: e[0].value != "source"))


def _is_null(tree: Tree) -> bool:
    return isinstance(tree, Scalar) and tree.value is None


def _renamed_output(item: Tree) -> str | None:
    """The single name of ``outputs: [h]``, which the next layer takes."""
    outputs = item.get("outputs") if isinstance(item, Mapping) else None
    if isinstance(outputs, Sequence) and len(outputs.items) == 1:
        outputs = outputs.items[0]
    return outputs.value if isinstance(outputs, Scalar) and isinstance(outputs.value, str) else None

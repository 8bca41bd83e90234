"""A spec with nothing left implicit: every default written out, inserted masks said in comments.

The result is a spec again, and compiles to the same program; ``specc resolve`` prints it and a run
keeps it, so that later defaults change nothing in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as Dict
from dataclasses import replace
from typing import Any

from specc.diagnostics import Span
from specc.frontend.normal import normalize
from specc.frontend.tree import Comments, Mapping, Scalar, Sequence, Tree, with_comments
from specc.ir.graph import Configured, Graph, Program
from specc.ops.attributes import Attribute, Optional

Entries = list[tuple[Scalar, Tree]]
_SETTINGS = ("specc", "name", "conventions", "layout", "dtype", "seed")
_NO_ATTRIBUTES = ("use", "layer")


def resolve(tree: Mapping, program: Program) -> Mapping:
    """The tree of ``program`` with every setting and attribute that it leaves out."""
    return _Resolver(tree.span, program).spec(normalize(tree))


class _Resolver:
    def __init__(self, span: Span, program: Program) -> None:
        self.span, self.program = span, program
        self.masks = dict(_inserted_masks(program))

    # Sections

    def spec(self, tree: Mapping) -> Mapping:
        settings = {name: getattr(self.program, name, None) for name in _SETTINGS} | {"specc": 1}
        entries: Entries = []
        for name in _SETTINGS:
            value = tree.get(name)
            key = tree.key(name) or self.word(name)
            entries.append((key, self.literal(settings[name]) if value is None else value))
        for key, value in tree.entries:
            if key.value not in _SETTINGS:
                section = getattr(self, f"section_{key.value}", None)
                entries.append((key, section(value) if section else value))
        return replace(tree, entries=tuple(entries))

    def section_layers(self, tree: Tree) -> Tree:
        return self.each(tree, self.layer)

    def section_shared(self, tree: Tree) -> Tree:
        return self.within(tree, lambda _, value: self.layer(value))

    def section_blocks(self, tree: Tree) -> Tree:
        return self.within(tree, lambda _, block: self.body(block))

    def section_training(self, tree: Tree) -> Tree:
        from specc.frontend.training import TRAINING
        from specc.training.clipping import CLIPPINGS
        from specc.training.metrics import METRICS
        from specc.training.optimizers import OPTIMIZERS

        choices: dict[str, Dict[str, Any]] = {
            "optimizer": OPTIMIZERS,
            "clip": CLIPPINGS,
            "metrics": METRICS,
        }
        training = self.complete(TRAINING, tree)
        if training.get("optimizer") is None:
            optimizer = (self.word("optimizer"), self.word("adam"))
            training = replace(training, entries=(optimizer, *training.entries))

        def choose(key: str, value: Tree) -> Tree:
            if key == "loss":
                return self.each(value, self.loss)
            if key in choices:
                return self.each(value, lambda item: self.choice(choices[key], item))
            return value

        return self.within(training, choose)

    def section_data(self, tree: Tree) -> Tree:
        from specc.data.spec import SOURCES
        from specc.data.split import SPLIT
        from specc.data.steps import STEPS

        if not isinstance(tree, Mapping):
            return tree
        source = tree.get("source")
        options = SOURCES.get(str(source.value), ()) if isinstance(source, Scalar) else ()
        if tree.get("split") is None:
            split: Tree = Mapping((), tree.span)
            tree = replace(tree, entries=(*tree.entries, (self.word("split"), split)))

        def prepare(_: str, steps: Tree) -> Tree:
            return self.each(steps, lambda step: self.choice(STEPS, step))

        def part(key: str, value: Tree) -> Tree:
            if key == "split":
                return self.complete(SPLIT, value)
            return self.within(value, prepare) if key == "prepare" else value

        return self.within(self.complete(options, tree), part)

    # Layers

    def body(self, tree: Tree) -> Tree:
        """A block or the body of a repeat."""

        def part(key: str, value: Tree) -> Tree:
            if key == "layers":
                return self.section_layers(value)
            return self.section_shared(value) if key == "shared" else value

        return self.within(tree, part)

    def layer(self, item: Tree) -> Tree:
        from specc.ops.registry import find

        if isinstance(item, Scalar):
            op = find(str(item.value))
            if op is None:
                return item
            key = replace(item, value=op.kind, comments=Comments())
            entry = (key, self.complete(op.attributes, None))
            return self.noted(item, Mapping((entry,), item.span, item.comments))
        entries: Entries = []
        place: Scalar | None = None
        for key, value in item.entries if isinstance(item, Mapping) else ():
            op = (
                find(str(key.value))
                if key.value not in ("name", "from", "outputs", "with")
                else None
            )
            if key.value == "repeat":
                value = self.body(value)
            elif op is not None and key.value not in _NO_ATTRIBUTES:
                place, key = key, replace(key, value=op.kind)
                value = self.complete(op.attributes, value)
            entries.append((key, value))
        done = Mapping(tuple(entries), item.span, item.comments)
        return self.noted(place, done) if place is not None else done

    def noted(self, place: Scalar, layer: Mapping) -> Mapping:
        """The layer with a remark about the mask that the compiler wires into it."""
        mask = self.masks.get((place.span.source.name, place.span.start))
        if mask is None:
            return layer
        written = layer.comments.after
        remark = f"mask: {mask}"
        if remark not in written:
            written = f"{written}; {remark}" if written else remark
        return with_comments(layer, replace(layer.comments, after=written))

    def loss(self, item: Tree) -> Tree:
        from specc.ops.losses import LOSSES

        if not isinstance(item, Mapping) or len(item.entries) != 1:
            return item
        (key, body) = item.entries[0]
        op = LOSSES.get(str(key.value))
        if op is None or not isinstance(body, Mapping):
            return item
        if body.get("weight") is None:
            weight = (self.word("weight"), self.literal(1.0))
            body = replace(body, entries=(*body.entries, weight))
        return replace(item, entries=((key, self.complete(op.attributes, body)),))

    # Attributes

    def complete(self, declared: tuple[Attribute, ...], tree: Tree | None) -> Mapping:
        """The entries of ``tree`` and every declared attribute that it lacks."""
        given = tree if isinstance(tree, Mapping) else Mapping((), self.span)
        names = {attribute.name: attribute for attribute in declared}
        entries = [
            (key, self.value(names[str(key.value)], value) if key.value in names else value)
            for key, value in given.entries
        ]
        entries += [
            (self.word(attribute.name), self.default(attribute))
            for attribute in declared
            if given.get(attribute.name) is None and not attribute.required
        ]
        return replace(given, entries=tuple(entries))

    def value(self, attribute: Attribute, tree: Tree) -> Tree:
        """What is written, with the attributes of a choice from a registry completed."""
        registry = _registry(attribute)
        return self.choice(registry, tree) if registry is not None else tree

    def choice(self, registry: Dict[str, Any], tree: Tree) -> Tree:
        """``adam`` or ``{adam: {...}}`` with all attributes of the row."""
        if isinstance(tree, Mapping) and len(tree.entries) == 1:
            (key, body) = tree.entries[0]
            row = registry.get(str(key.value))
            if row is None or not row.attributes:
                return tree
            if not isinstance(body, Mapping):
                body = Mapping(((self.word(row.attributes[0].name), body),), body.span)
            return replace(tree, entries=((key, self.complete(row.attributes, body)),))
        row = registry.get(str(tree.value)) if isinstance(tree, Scalar) else None
        if not isinstance(tree, Scalar) or row is None or not row.attributes:
            return tree
        return Mapping(((tree, self.complete(row.attributes, None)),), tree.span)

    def default(self, attribute: Attribute) -> Tree:
        value = attribute.default_for(self.program.conventions)
        if isinstance(value, Configured):
            value = {value.kind: dict(value.attributes)} if value.attributes else value.kind
        return self.value(attribute, self.literal(value))

    # Trees

    def each(self, tree: Tree, change: Any) -> Tree:
        if not isinstance(tree, Sequence):
            return change(tree)  # type: ignore[no-any-return]
        return replace(tree, items=tuple(map(change, tree.items)))

    def within(self, tree: Tree, change: Any) -> Tree:
        if not isinstance(tree, Mapping):
            return tree
        entries = tuple((key, change(str(key.value), value)) for key, value in tree.entries)
        return replace(tree, entries=entries)

    def word(self, text: str) -> Scalar:
        return Scalar(text, self.span)

    def literal(self, value: Any) -> Tree:
        if isinstance(value, dict):
            entries = tuple((self.word(key), self.literal(each)) for key, each in value.items())
            return Mapping(entries, self.span)
        if isinstance(value, tuple | list):
            return Sequence(tuple(map(self.literal, value)), self.span)
        return Scalar(value, self.span)


def _registry(attribute: Attribute) -> Dict[str, Any] | None:
    kind = attribute.kind.kind if isinstance(attribute.kind, Optional) else attribute.kind
    registry = getattr(kind, "registry", None)
    return registry() if registry is not None else None


def _inserted_masks(program: Program) -> Iterator[tuple[tuple[str, int], str]]:
    """(where the layer stands, the mask that flows into it) of every layer that takes one."""
    from specc.ops.registry import find

    graphs: list[Graph] = [program.graph]
    while graphs:
        for node in graphs.pop().nodes:
            graphs += node.bodies
            op = find(node.op)
            for port, value in zip(op.ports if op else (), node.inputs, strict=False):
                if port.name == "mask" and value is not None and value.internal and node.span:
                    yield (node.span.source.name, node.span.start), value.name

"""``--set path=value``: one value of a located tree replaced, found by its dotted path."""

from __future__ import annotations

from collections.abc import Mapping as Dict
from dataclasses import replace

from specc.diagnostics import Diagnostic, Source, Span, SpecError, did_you_mean, nearest
from specc.frontend.tree import SECTIONS, Mapping, Scalar, Sequence, Tree

LAYER_KEYS = ("name", "from", "outputs", "with")
"""The keys of a layer beside its kind."""


def apply_sets(tree: Mapping, sets: Dict[str, str]) -> Mapping:
    """The tree with each value of ``sets`` at its path.

    A path goes through mappings by key and through lists by position, or by the name (or default
    name) of a layer, whose attributes stand right below it:
    ``training.optimizer.adam.learning_rate``, ``layers.conv1.filters``. A value is read as YAML. A
    last key that is new is added. Raises SpecError: E0010 for a path that leads nowhere.
    """
    diagnostics: list[Diagnostic] = []
    for path, value in sets.items():
        try:
            tree = _apply(tree, path, value)
        except SpecError as error:
            diagnostics.extend(error.diagnostics)
    if diagnostics:
        raise SpecError(diagnostics)
    return tree


def _apply(tree: Mapping, path: str, text: str) -> Mapping:
    from specc.frontend.yaml_reader import read_yaml

    source = Source("--set", f"{path}: {text}")
    segments = path.split(".")
    if segments[0] == "includes":
        message = "includes are read before any value is set"
        raise SpecError(Diagnostic("E0010", message, help="write them in the spec"))
    if "\n" in source.text or not all(
        s.replace("@", "_").replace("-", "_").isidentifier() or _is_position(s) for s in segments
    ):
        message = f"'{path}' is not a path"
        help_text = "a path is names with dots between them, as in training.epochs"
        raise SpecError(Diagnostic("E0010", message, help=help_text))
    read = read_yaml(source)
    key, value = read.entries[0]
    result = _Setter(key.span, value).replaced(tree, segments, ())
    assert isinstance(result, Mapping)
    return result


class _Setter:
    def __init__(self, span: Span, value: Tree) -> None:
        self.span = span
        self.value = value

    def replaced(self, tree: Tree, segments: list[str], done: tuple[str, ...]) -> Tree:
        """The tree with the value put where the remaining ``segments`` lead."""
        if not segments:
            return self.value
        if isinstance(tree, Scalar):
            tree = self._opened(tree, segments, done)
        if isinstance(tree, Sequence):
            return self._in_list(tree, segments, done)
        return self._in_mapping(tree, segments, done)

    def _opened(self, tree: Scalar, segments: list[str], done: tuple[str, ...]) -> Mapping:
        """A bare choice such as ``adam`` as a mapping whose attributes can be set."""
        if tree.value == segments[0] and len(segments) > 1:
            return Mapping(((tree, Mapping((), tree.span)),), tree.span)
        if tree.value is None:
            return Mapping((), tree.span)
        what = ".".join(done)
        message = f"'{what}' has no parts: it is {tree.value!r}"
        help_text = f"set '{what}' itself"
        if isinstance(tree.value, str) and len(segments) == 1:
            help_text = f"write {what}.{tree.value}.{segments[0]} for an attribute of {tree.value}"
        raise SpecError(Diagnostic("E0010", message, self.span, help=help_text))

    def _in_list(self, tree: Sequence, segments: list[str], done: tuple[str, ...]) -> Tree:
        names = item_names(tree)
        first = segments[0]
        if first in names:
            index = names.index(first)
        elif _is_position(first) and int(first) < len(tree.items):
            index = int(first)
        else:
            raise self._unknown(first, done, [n for n in names if n])
        item = tree.items[index]
        if isinstance(item, Scalar) and first == names[index] and len(segments) > 1:
            # A bare layer: what follows its name is one of its attributes.
            item = Mapping(((item, Mapping((), item.span)),), item.span)
        changed = self.replaced(item, segments[1:], (*done, first))
        return replace(tree, items=(*tree.items[:index], changed, *tree.items[index + 1 :]))

    def _in_mapping(self, tree: Mapping, segments: list[str], done: tuple[str, ...]) -> Tree:
        first = segments[0]
        if tree.key(first) is None:
            return self._new_key(tree, segments, done)
        entries = tuple(
            (
                key,
                self.replaced(value, segments[1:], (*done, first)) if key.value == first else value,
            )
            for key, value in tree.entries
        )
        return replace(tree, entries=entries)

    def _new_key(self, tree: Mapping, segments: list[str], done: tuple[str, ...]) -> Tree:
        first = segments[0]
        kind = _kind(tree) if _is_layer(tree, done) else None
        if kind is not None and first not in LAYER_KEYS:
            entries = tuple(
                (key, self.replaced(value, segments, (*done, kind)) if key.value == kind else value)
                for key, value in tree.entries
            )
            return replace(tree, entries=entries)
        fixed = {(): SECTIONS, ("parameters",): tree.keys()}.get(done)
        if len(segments) > 1:
            raise self._unknown(first, done, tree.keys())
        if fixed is not None and first not in fixed:
            raise self._unknown(first, done, fixed)
        return replace(tree, entries=(*tree.entries, (Scalar(first, self.span), self.value)))

    def _unknown(self, name: str, done: tuple[str, ...], choices: object) -> SpecError:
        assert isinstance(choices, list | tuple)
        where = f"'{'.'.join(done)}'" if done else "the spec"
        message = f"{where} has no '{name}'"
        match = nearest(name, choices)
        full = ".".join((*done, match)) if match else ""
        help_text = f"did you mean '{full}'?" if match else did_you_mean(name, choices)
        return SpecError(Diagnostic("E0010", message, self.span, help=help_text))


def _is_position(text: str) -> bool:
    """Whether it may count items; Python reads no number of thousands of digits."""
    return text.isascii() and text.isdigit() and len(text) < 10


def _is_layer(tree: Mapping, done: tuple[str, ...]) -> bool:
    """Whether a mapping is an item of a list of layers, or a declared layer."""
    return "layers" in done[-2:-1] or "shared" in done[-2:-1]


def _kind(tree: Mapping) -> str | None:
    kinds = [str(key.value) for key, _ in tree.entries if key.value not in LAYER_KEYS]
    return kinds[0] if len(kinds) == 1 else None


def item_names(layers: Sequence) -> list[str]:
    """The name of each layer of a list: its own, or its kind, counted from the second on
    (``dense_2``)."""
    counts: dict[str, int] = {}
    names: list[str] = []
    for item in layers.items:
        name = item.get("name") if isinstance(item, Mapping) else None
        if isinstance(name, Scalar):
            names.append(str(name.value))
            continue
        kind = _kind(item) if isinstance(item, Mapping) else str(getattr(item, "value", ""))
        if kind in ("use", "layer") and isinstance(item, Mapping):
            called = item.get(kind)
            kind = str(called.value) if isinstance(called, Scalar) else kind
        kind = kind or ""
        counts[kind] = counts.get(kind, 0) + 1
        names.append(kind if counts[kind] == 1 else f"{kind}_{counts[kind]}")
    return names

"""Specs as plain values (dicts, lists, numbers and words in the YAML shape), and what the front end
says of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from specc.diagnostics import Diagnostic, Source, Span, SpecError
from specc.frontend.build import build_program
from specc.frontend.expressions import Expression
from specc.frontend.formatter import to_yaml
from specc.frontend.tree import SECTIONS, Mapping, Scalar, Sequence, Tree
from specc.frontend.yaml_reader import read_dollars
from specc.ir.graph import Program

Spec = dict[str, Any]
_NOWHERE = Span(Source("drawn.yaml", ""), 0, 0)


def located(value: Any) -> Tree:
    """The tree of a plain value; a text with a dollar sign is read as the YAML form reads it."""
    if isinstance(value, dict):
        entries = ((Scalar(str(key), _NOWHERE), located(each)) for key, each in value.items())
        return Mapping(tuple(entries), _NOWHERE)
    if isinstance(value, list | tuple):
        return Sequence(tuple(map(located, value)), _NOWHERE)
    if isinstance(value, str) and "$" in value:
        return read_dollars(value, _NOWHERE)
    return Scalar(value, _NOWHERE)


def plain(tree: Tree) -> Any:
    """The reverse of `located`: expressions become texts with a dollar sign again."""
    from specc.frontend.expression_text import to_text

    if isinstance(tree, Scalar):
        return f"${{{to_text(tree.value)}}}" if isinstance(tree.value, Expression) else tree.value
    if isinstance(tree, Sequence):
        return [plain(item) for item in tree.items]
    return {str(key.value): plain(value) for key, value in tree.entries}


def tree_of(spec: Spec) -> Mapping:
    """The located tree of a whole spec."""
    tree = located(spec)
    assert isinstance(tree, Mapping)
    return tree


def yaml_of(spec: Spec) -> str:
    """The spec as the text of a YAML file."""
    return to_yaml(tree_of(spec))


class FrontEndCrash(Exception):  # noqa: N818  (it is found in specc, and becomes a failure)
    """The front end raised something else than a diagnostic; ``spec`` made it do so."""

    def __init__(self, spec: Spec) -> None:
        super().__init__("the front end failed")
        self.spec = spec


def accepted(spec: Spec) -> tuple[Program, tuple[Diagnostic, ...]] | None:
    """The program of a spec and its warnings; None if the front end refuses it.

    Raises FrontEndCrash.
    """
    try:
        return build_program(tree_of(spec))
    except SpecError:
        return None
    except Exception as error:
        raise FrontEndCrash(spec) from error


def given_by(layer: Spec) -> list[str]:
    """The names of what a drawn layer computes."""
    outputs = layer.get("outputs", [])
    return [layer["name"], *outputs[1:]] if "name" in layer else list(outputs)


def taken_by(layer: Spec) -> Iterator[str]:
    """The names of the values that a layer takes."""
    source = layer.get("from", ())
    for each in source.values() if isinstance(source, dict) else source:
        yield from each if isinstance(each, list) else (each,)


def pruned(spec: Spec) -> Spec:
    """The spec without what its outputs do not need."""
    needed = set(spec["outputs"])
    layers: list[Spec] = []
    for layer in reversed(spec["layers"]):
        if needed & set(given_by(layer)):
            layers.insert(0, layer)
            needed |= set(taken_by(layer)) | {layer.get("layer")}
    used = {each.get("use") for each in layers}
    kept = {
        "inputs": {name: each for name, each in spec["inputs"].items() if name in needed},
        "shared": {k: v for k, v in spec.get("shared", {}).items() if k in needed},
        "blocks": {k: v for k, v in spec.get("blocks", {}).items() if k in used},
    }
    whole = {**spec, "layers": layers, **kept}
    return {key: whole[key] for key in SECTIONS if whole.get(key, {}) != {}}

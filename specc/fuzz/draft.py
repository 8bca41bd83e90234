"""A spec in the making: every change is put to the front end, and stays if nothing is wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Any

from specc.fuzz.spec import Spec, accepted, given_by, taken_by
from specc.fuzz.values import Values
from specc.ir.dims import Expression, Symbol, evaluate
from specc.ir.graph import Program, Value
from specc.ir.types import TensorType

MAX_ELEMENTS, MAX_PARAMETERS = 400, 2000
"""Larger values (for one sample) and larger networks are refused: small ones are run fast."""
NAMED_SIZES = {"batch": 1, "T": 5, "S": 4}
"""The sizes that a drawn spec leaves open, and what the data of its case have there."""


class Draft:
    """A spec and the values that its next layer can take.

    A ``closed`` draft is the body of a block or repeat: what it takes is given.
    """

    def __init__(
        self,
        random: Random,
        settings: Mapping[str, Any],
        inputs: Mapping[str, TensorType] | None = None,
    ) -> None:
        self.random, self.settings = random, settings
        self.closed = inputs is not None
        self.draw = Values(random, settings["conventions"])
        self.values: dict[str, TensorType] = dict(inputs or {})
        declared = {name: declaration(kind) for name, kind in self.values.items()}
        self.spec: Spec = {"specc": 1, **settings, "inputs": declared, "layers": []}
        self._names = 0

    @property
    def layers(self) -> list[Spec]:
        layers: list[Spec] = self.spec["layers"]
        return layers

    def name(self, prefix: str) -> str:
        """A name that nothing has yet."""
        self._names += 1
        return f"{prefix}{self._names}"

    def loose(self) -> list[str]:
        """The values that no layer has taken."""
        taken = {name for layer in self.layers for name in taken_by(layer)}
        return [name for name in self.values if name not in taken]

    def propose(
        self, layer: Spec, inputs: Mapping[str, TensorType] | None = None, **sections: Spec
    ) -> bool:
        """Adds a named layer, with the new inputs and the entries of sections that it needs, if the
        front end agrees and nothing becomes too large."""
        spec = dict(self.spec)
        new = {name: declaration(kind) for name, kind in (inputs or {}).items()}
        for section, entries in {**sections, "inputs": new}.items():
            spec[section] = {**spec.get(section, {}), **entries}
        spec["layers"] = [*spec["layers"], layer]
        names = [*self.values, *new, *given_by(layer)]
        found = accepted({**spec, "outputs": names})
        if found is None or _too_large(found[0]):
            return False
        count = _results(found[0], found[0].outputs[layer["name"]])
        if count > 1 and "outputs" not in layer:
            results = [f"{layer['name']}_{index}" for index in range(count)]
            return self.propose({**layer, "outputs": results}, inputs, **sections)
        self.spec = spec
        self.values = {name: value.type for name, value in found[0].outputs.items()}
        return True


def declaration(kind: TensorType) -> Spec:
    """A type as a spec declares it."""
    shape = [size if isinstance(size, int) else str(size) for size in kind.shape[1:]]
    return {"shape": shape, "dtype": kind.dtype} if kind.dtype != "float" else {"shape": shape}


def declarable(kind: TensorType) -> bool:
    """Whether an input can have this type: its sizes are numbers or plain names."""
    return all(isinstance(each, int) or _is_symbol(each) for each in kind.shape[1:])


def _is_symbol(size: Expression) -> bool:
    ((atoms, factor), *more) = size.terms
    return not more and factor == 1 and len(atoms) == 1 and isinstance(atoms[0], Symbol)


def elements(kind: TensorType) -> int:
    """How many numbers a value has for one sample, the named sizes filled in."""
    sizes = (evaluate(size, NAMED_SIZES) for size in kind.shape)
    return math.prod(size for size in sizes if isinstance(size, int))


def _too_large(program: Program) -> bool:
    values = (value for node in program.graph.nodes for value in node.outputs)
    trained = sum(math.prod(each.shape) for _, each in program.graph.parameters())
    return trained > MAX_PARAMETERS or any(elements(v.type) > MAX_ELEMENTS for v in values)


def _results(program: Program, value: Value) -> int:
    """How many outputs the layer has that computes a value."""
    for node in program.graph.nodes:
        if any(each is value for each in node.outputs):
            return sum(not each.internal for each in node.outputs)
    return 1

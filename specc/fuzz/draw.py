"""Draws a whole spec: always the same one for a seed and an index."""

from __future__ import annotations

from random import Random
from typing import Any

from specc.fuzz.draft import Draft
from specc.fuzz.layers import OUTSIDE, add_layers
from specc.fuzz.spec import Spec, accepted, pruned
from specc.fuzz.training import add_training
from specc.ir.graph import Program
from specc.ir.text import program_text
from specc.plugins import load_operations

MAX_LAYERS = 6


def draw_spec(seed: int, index: int) -> Spec:
    """A random valid spec with a training section, as plain values."""
    load_operations()
    random = Random(f"{seed}/{index}")
    while True:
        draft = Draft(random, _settings(random))
        add_layers(draft, random.randint(1, MAX_LAYERS), OUTSIDE)
        if add_training(draft):
            return _short(pruned(draft.spec), random)


def _settings(random: Random) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": "case",
        "conventions": random.choice(("keras", "pytorch")),
        "dtype": "float64",
        "seed": random.randint(0, 99),
    }
    if random.random() < 0.3:
        found["layout"] = random.choice(("channels_first", "channels_last"))
    return found


def _short(spec: Spec, random: Random) -> Spec:
    """The spec as people write it: here and there a layer takes the value before it without saying
    so, and a layer that nobody names has no name."""
    for index in range(len(spec["layers"])):
        for key in ("from", "name"):
            layer = dict(spec["layers"][index])
            if random.random() < 0.5 or layer.pop(key, None) is None:
                continue
            layers = [*spec["layers"][:index], layer, *spec["layers"][index + 1 :]]
            shorter = {**spec, "layers": layers}
            if accepted(shorter) and (key == "name" or _means(shorter) == _means(spec)):
                spec = shorter
    return spec


def _means(spec: Spec) -> str:
    return program_text(_program(spec))


def _program(spec: Spec) -> Program:
    found = accepted(spec)
    assert found is not None, "a drawn spec has been accepted"
    return found[0]

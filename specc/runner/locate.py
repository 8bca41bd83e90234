"""Finds the first tensor of a step that differs: in the order in which it is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from specc.runner.comparison import FirstDifference, Step
from specc.runner.measure import Arrays, Pair, pairs, relative_difference
from specc.runner.process import Team


def locate(
    team: Team, step: int, rows: Any, parameters: Arrays, record: Step, tolerance: float
) -> FirstDifference:
    """Repeats ``step`` on every backend from the same ``parameters`` and looks where the backends
    part.

    Values come first, as the forward pass computes them, then the loss, the gradients from the last
    layer to the first as the backward pass does, and then what the optimizer made of them. A common
    start keeps differences that earlier steps piled up within the tolerance out of the search.
    """
    seen = team.ask("inspect", parameters=parameters, rows=rows, step=step)
    for kind, tensor, difference, pair in _computed(seen, record):
        if difference > tolerance:
            return FirstDifference(step, kind, tensor, difference, pair)
    updated = {**record.differences, **record.statistics}
    tensor = next((name for name in updated if updated[name] > tolerance), "")
    kind = "statistic" if tensor in record.statistics else "parameter" if tensor else "loss"
    difference = updated.get(tensor, record.loss_difference)
    return FirstDifference(step, kind, tensor, difference, (team.names[0], team.names[-1]))


def _computed(seen: Mapping[str, Any], record: Step) -> Iterator[tuple[str, str, float, Pair]]:
    def each(kind: str, names: Any, read: Callable[[str, str], Any]) -> Any:
        for tensor in names:
            found = [
                (relative_difference(read(a, tensor), read(b, tensor)), (a, b))
                for a, b in pairs(seen)
            ]
            difference, pair = max(found, default=(0.0, ("", "")))
            yield kind, tensor, difference, pair

    reference = next(iter(seen.values()))
    activations = [
        name
        for name in reference["activations"]
        if all(name in answer["activations"] for answer in seen.values())
    ]
    judged = [name for name in reversed(reference["gradients"]) if name not in record.indifferent]
    missing = np.asarray(math.nan)
    yield from each("activation", activations, lambda b, name: seen[b]["activations"][name])
    yield from each("loss", [""], lambda b, name: np.asarray(seen[b]["loss"]))
    yield from each("gradient", judged, lambda b, name: seen[b]["gradients"].get(name, missing))

"""What a case is fed: inputs, targets and weights of samples that derive from its seed and index.

Numbers come from specc's own counter-based streams, so they are the same everywhere. They are
uniform, so that two of them are never equal by chance, and no maximum is tied.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from specc.backends.prelude_shared import random_uniform, stream_key
from specc.fuzz.draft import NAMED_SIZES
from specc.ir.dims import evaluate
from specc.ir.graph import Loss, Program, Value
from specc.passes.inline_calls import inline_calls
from specc.runner.experiment import bounds

STEPS = 5
Arrays = dict[str, Any]


def batches(rows: int, short: int) -> list[Any]:
    """The rows of each optimizer step: full batches, and a short one among them."""
    full, part = np.arange(rows), np.arange(rows, rows + short)
    return [full, full, part, full, part][:STEPS]


def data_of(program: Program, key: str, rows: int, weighted: bool) -> dict[str, Any]:
    """``rows`` samples: ``{"inputs", "targets"}`` by name, and perhaps ``"sample_weights"``."""
    flat = replace(program, graph=inline_calls(program).graph)
    limits = bounds(flat)
    smallest = min((limits[v.name] for v in flat.inputs if v.name in limits), default=2)
    # An id may reach its table by way of other layers.
    tables = [node["input_dim"] for node in flat.graph.nodes if "input_dim" in node.attributes]
    ids = min([smallest, *tables]) if tables else smallest
    losses = (
        {loss.target.name: loss for loss in program.training.losses} if program.training else {}
    )
    sizes = {**NAMED_SIZES, "batch": rows}
    found: dict[str, Any] = {
        "inputs": {v.name: _input(v, f"{key}/{v.name}", sizes, ids) for v in flat.inputs},
        "targets": {
            v.name: _target(v, f"{key}/{v.name}", sizes, losses.get(v.name), limits)
            for v in flat.targets
        },
    }
    if weighted:
        found["sample_weights"] = 2 * _uniform(f"{key}/weights", (rows,))
    return found


def shape_of(value: Value, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The shape of a value with its named sizes filled in."""
    return tuple(int(str(evaluate(size, sizes))) for size in value.type.shape)


def _uniform(name: str, shape: tuple[int, ...]) -> Any:
    return random_uniform(stream_key(0, name), math.prod(shape)).reshape(shape)


def _integers(name: str, shape: tuple[int, ...], count: int) -> Any:
    return (_uniform(name, shape) * count).astype(np.int64)


def _input(value: Value, name: str, sizes: Mapping[str, int], ids: int) -> Any:
    """Numbers of variance 1, ids from 0 on, or True and False.

    In every sequence one id at least is not 0 and one step is True: the mean over none is no
    number.
    """
    shape = shape_of(value, sizes)
    kept = _uniform(f"{name}/kept", shape)
    kept = kept == kept.max(axis=-1, keepdims=True) if len(shape) > 1 else kept < 0
    if value.type.dtype == "int":
        found = _integers(name, shape, ids)
        return np.where(kept & (found == 0), min(1, ids - 1), found)
    if value.type.dtype == "bool":
        return (_uniform(name, shape) < 0.7) | kept
    return math.sqrt(12) * (_uniform(name, shape) - 0.5)


def _target(
    value: Value, name: str, sizes: Mapping[str, int], loss: Loss | None, limits: Mapping[str, int]
) -> Any:
    """Classes, probabilities that add up to 1 along the axis of the classes, or numbers."""
    shape = shape_of(value, sizes)
    # A loss with an axis of classes and a target of its prediction's shape takes distributions.
    axis = loss.node.attributes.get("axis") if loss is not None else None
    if axis is not None and loss is not None and loss.prediction.type.shape == value.type.shape:
        drawn = _uniform(name, shape)
        if value.type.dtype == "int":
            return (drawn == drawn.max(axis=axis, keepdims=True)).astype(np.int64)
        return drawn / drawn.sum(axis=axis, keepdims=True)
    if value.type.dtype == "int":
        return _integers(name, shape, limits.get(value.name, 2))
    return _uniform(name, shape)

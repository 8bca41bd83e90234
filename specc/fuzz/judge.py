"""Compares what the variants of a case computed, in the order in which it is computed.

Norms are 2-norms over a tensor. A difference is measured as a share of how large it may be: above 1
is a failure. The bounds are those of the project's promises, one per kind of result; a tensor whose
true gradient is zero, as the compiler proves, is not judged by where an optimizer's rounding noise
takes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from specc.fuzz.crew import Variant
from specc.fuzz.data import shape_of
from specc.fuzz.draft import NAMED_SIZES
from specc.ir.graph import Program
from specc.passes.indifferent import indifferent
from specc.passes.inline_calls import inline_calls
from specc.runner.measure import is_statistic, statistics_differences
from specc.training.optimizers import OPTIMIZERS
from specc.training.optimizers_momentum import Sgd

RELATIVE, OF_ALL = 1e-11, 1e-13
"""Values and gradients: ``|a - b| <= 1e-11 |b| + 1e-13 |all of them|``; steps of gradient descent
likewise, by the distance travelled since the start."""
ADAPTIVE = 1e-8
"""Takes the place of 1e-11 in the steps of optimizers that divide by a root of squares."""
EXACT = frozenset({"shape", "initial", "untouched", "resumed"})
_ULP = float(np.finfo(np.float64).eps)

Results = Mapping[str, Any]
Arrays = Mapping[str, Any]
Bound = Callable[[str, Any, Any, float], float]


@dataclass(frozen=True)
class Finding:
    """One tensor of two variants (or of one, computed twice): how far apart, how far allowed."""

    check: str
    tensor: str
    difference: float
    bound: float
    variants: tuple[str, ...]
    message: str = ""

    @property
    def exact(self) -> bool:
        """Whether there is nothing to be measured: it is right or wrong."""
        return self.check in EXACT or not math.isfinite(self.difference)

    @property
    def share(self) -> float:
        """The difference as a share of its bound."""
        if self.difference == 0:
            return 0.0
        return self.difference / self.bound if self.bound else math.inf


def judge(
    program: Program, results: Mapping[Variant, Results], inputs: Arrays
) -> Iterator[Finding]:
    """Every comparison of a case, in the order in which its results come about.

    ``inputs`` are values too, beside which that of a norm of one number is 0.
    """
    yield from _shapes(program, results)
    given = _size(inputs)

    def near(name: str, a: Any, b: Any, of_all: float) -> float:
        return _relative(name, a, b, math.hypot(of_all, given))

    yield from _between("initial", results, lambda r: r["initial"], _nothing)
    yield from _between("inference", results, lambda r: r["inference"], near)
    for variant, found in results.items():
        traced = {name: found["inference"].get(name) for name in found["prediction"]}
        for other in (traced, found["parts"]):
            yield from _pair("prediction", (variant, variant), found["prediction"], other, near)
    yield from _between("training", results, lambda r: r["training"], near)
    yield from _between("loss", results, lambda r: {"loss": r["loss"]}, _alone)
    if not any(math.isfinite(found["loss"]) for found in results.values()):
        return  # what has a derivative of no number, and what is 0 times it, is nobody's promise
    # From the last layer to the first, as the backward pass goes.
    noise = set(indifferent(program))
    yield from _between("gradient", results, lambda r: _judged(r["gradients"], noise), _relative)
    yield from _between("score", results, lambda r: r["scores"], _alone)
    for variant, found in results.items():
        pair = (variant, variant)
        yield from _pair("untouched", pair, found["untouched"], found["initial"], _nothing)
    yield from _steps(program, results, noise)
    for variant, found in results.items():
        pair = (variant, variant)
        yield from _pair("resumed", pair, found["resumed"], found["steps"][-1], _nothing)


def _judged(gradients: Arrays, noise: set[str]) -> Arrays:
    """Gradients from the last layer to the first, without those that are rounding noise."""
    return {name: each for name, each in reversed(list(gradients.items())) if name not in noise}


# Bounds


def _nothing(name: str, a: Any, b: Any, of_all: float) -> float:
    return 0.0


def _alone(name: str, a: Any, b: Any, of_all: float) -> float:
    return RELATIVE * _norm(b)


def _relative(name: str, a: Any, b: Any, of_all: float) -> float:
    return RELATIVE * _norm(b) + OF_ALL * of_all


# Comparisons


def _shapes(program: Program, results: Mapping[Variant, Results]) -> Iterator[Finding]:
    """Every named value is traced, with the shape that was inferred."""
    flat = inline_calls(program).graph
    values = {v.name: v for node in flat.nodes for v in node.outputs if not v.internal}
    for variant, found in results.items():
        for part in ("inference", "training"):
            rows = len(next(iter(found[part].values())))
            for name, value in values.items():
                wanted = shape_of(value, {**NAMED_SIZES, "batch": rows})
                shape = np.shape(found[part][name]) if name in found[part] else None
                if shape != wanted:
                    message = f"{shape or 'nothing'} in {part} where {wanted} was inferred"
                    yield Finding("shape", name, math.inf, 0.0, (str(variant),), message)


def _between(
    check: str, results: Mapping[Variant, Results], read: Callable[[Results], Arrays], bound: Bound
) -> Iterator[Finding]:
    """Each tensor, for every pair of variants."""
    for one, other in combinations(results, 2):
        yield from _pair(check, (one, other), read(results[one]), read(results[other]), bound)


def _pair(
    check: str, variants: tuple[Variant, Variant], one: Arrays, other: Arrays, bound: Bound
) -> Iterator[Finding]:
    labels = tuple(dict.fromkeys(map(str, variants)))
    for name in [*one, *(name for name in other if name not in one)]:
        if name not in one or name not in other:
            yield Finding(check, name, math.inf, 0.0, labels, "only one of them has it")
    of_all = _size(other)
    for name in (name for name in one if name in other):
        a, b = np.asarray(one[name]), np.asarray(other[name])
        yield Finding(check, name, distance(a, b), bound(name, a, b, of_all), labels)


def _steps(
    program: Program, results: Mapping[Variant, Results], noise: set[str]
) -> Iterator[Finding]:
    """Losses, parameters and running statistics after each optimizer step."""
    assert program.training is not None
    descent = isinstance(OPTIMIZERS[program.training.optimizer.kind], Sgd)
    tolerance = RELATIVE if descent else ADAPTIVE
    # Where a penalty is on what noise moves, it takes the loss along.
    parameters = inline_calls(program).graph.parameters()
    penalised = any(path in noise and (each.l1 or each.l2) for path, each in parameters)
    for one, other in combinations(results, 2):
        labels = (str(one), str(other))
        first, second = results[one], results[other]
        start = second["initial"]
        for step, (a, b) in enumerate(zip(first["steps"], second["steps"], strict=True)):
            check = f"step {step}"
            losses = first["losses"][step], second["losses"][step]
            apart, allowed = distance(*map(np.asarray, losses)), tolerance * abs(losses[1])
            if step == 0 or not penalised:
                yield Finding(check, "loss", apart, allowed, labels)
            trained = [name for name in b if not is_statistic(name) and name not in noise]
            ways = {name: _norm(b[name] - start[name]) for name in trained}
            whole = math.hypot(*ways.values())
            for name in trained:
                # A parameter is stored to half a unit in its last place at every step.
                stored = (step + 1) * _ULP * _norm(b[name])
                allowed = tolerance * ways[name] + OF_ALL * whole + stored
                yield Finding(check, name, distance(a[name], b[name]), allowed, labels)
            for name, apart in statistics_differences(a, b).items():
                if name not in noise:
                    yield Finding(check, name, apart, tolerance, labels)


def distance(a: Any, b: Any) -> float:
    """``|a - b|``; infinite for other shapes, or where only one of them left the numbers."""
    if a.shape != b.shape:
        return math.inf
    same = (a == b) | (np.isnan(a) & np.isnan(b)) if a.dtype.kind == "f" else a == b
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.where(same, 0.0, np.asarray(a, np.float64) - np.asarray(b, np.float64))
        size = float(np.linalg.norm(apart.reshape(-1)))
    return size if math.isfinite(size) else math.inf


def _size(arrays: Arrays) -> float:
    """The norm of all of them together."""
    return math.hypot(*map(_norm, arrays.values()))


def _norm(array: Any) -> float:
    """The norm of the elements that are numbers."""
    values = np.asarray(array, np.float64).reshape(-1)
    return float(np.linalg.norm(values[np.isfinite(values)]))

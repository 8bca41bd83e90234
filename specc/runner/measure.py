"""How equality is measured: one number per tensor, 0 for equal and infinite for incomparable.

Not-a-number counts as infinitely different, unless both sides have it in the same places: a
comparison with NaN is false both ways, so a run that broke down would otherwise pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Pair = tuple[str, str]

MEAN, VARIANCE = "moving_mean", "moving_variance"


def travelled_difference(a: Array, b: Array, start: Array) -> float:
    """``|a - b| / |b - start|`` in the 2-norm: the difference as a share of the distance travelled.

    Of the two ways round the larger. 0 if neither moved, infinite if only one did.
    """
    if not same_shape(a, b, start):
        return math.inf
    if np.array_equal(a, b, equal_nan=True):
        return 0.0
    travelled = min(_norm(a - start), _norm(b - start))
    return _finite(_norm(a - b) / travelled) if travelled else math.inf


def relative_difference(a: Array, b: Array) -> float:
    """``|a - b| / |b|`` in the 2-norm, the larger of both ways round; infinite if one is zero."""
    return travelled_difference(a, b, np.zeros_like(b)) if same_shape(a, b) else math.inf


def statistics_differences(a: Arrays, b: Arrays, epsilon: float = 1e-3) -> dict[str, float]:
    """Running statistics by their own measure, elementwise and then the worst element.

    ``|Δmean| / sqrt(variance + epsilon)`` and ``|Δvariance| / (variance + epsilon)``: what a
    normalised value feels.
    """
    found: dict[str, float] = {}
    for name in (name for name in b if is_statistic(name)):
        scope = name.rpartition(".")[0]
        scale = b.get(f"{scope}.{VARIANCE}", np.ones_like(b[name])) + epsilon
        if name.endswith(MEAN):
            scale = np.sqrt(scale)
        if not same_shape(a[name], b[name]):
            found[name] = math.inf
        elif np.array_equal(a[name], b[name], equal_nan=True):
            found[name] = 0.0
        else:
            found[name] = _finite(float(np.max(np.abs(a[name] - b[name]) / scale)))
    return found


def is_statistic(name: str) -> bool:
    """Whether a name of `get_parameters` is a running statistic and not trained."""
    return name.rpartition(".")[2] in (MEAN, VARIANCE)


def same_shape(*arrays: Array) -> bool:
    return len({np.shape(array) for array in arrays}) == 1


def worst(differences: Iterable[float]) -> float:
    return max(differences, default=0.0)


def pairs(backends: Iterable[str]) -> list[Pair]:
    return list(combinations(backends, 2))


def _norm(array: Array) -> float:
    return float(np.linalg.norm(np.asarray(array, np.float64).reshape(-1)))


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.inf

"""Medians and ratios of what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

DRAWS = 2000


@dataclass(frozen=True)
class Ratio:
    """A median of ratios within rounds, and the 95 % interval of it."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}, {self.high:.2f}]"


def ratio(slower: Sequence[float], faster: Sequence[float]) -> Ratio:
    """How many times as fast the second is, from seconds of the same rounds.

    The interval comes from a bootstrap over the rounds.
    """
    each = np.array(slower) / np.array(faster)
    draws = np.random.default_rng(0).choice(each, (DRAWS, len(each)))
    low, high = np.percentile(np.median(draws, 1), [2.5, 97.5])
    return Ratio(float(np.median(each)), float(low), float(high))


def speedup(result: Mapping[str, Any], name: str, base: str, kind: str = "train") -> Ratio | None:
    """How many times as fast a contender is as another; None where one was not measured."""
    found = result["contenders"]
    if name not in found or base not in found or not found[name][kind]:
        return None
    return ratio(found[base][kind], found[name][kind])


def median(result: Mapping[str, Any], name: str, kind: str = "train") -> float:
    """The median of a contender's figures."""
    return float(statistics.median(result["contenders"][name][kind]))


def best(result: Mapping[str, Any], prefixes: Sequence[str]) -> str | None:
    """The fastest of the hand-written contenders whose names are given."""
    found = [name for name in prefixes if name in result["contenders"]]
    return min(found, key=lambda name: median(result, name), default=None)

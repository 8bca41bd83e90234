"""What a comparison found: figures per step, per tensor and per pair of backends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from specc.runner.measure import worst


@dataclass(frozen=True)
class Settings:
    """How to compare.

    ``steps`` optimizer steps cross epochs, with a short last batch, in the files' own order.
    ``tolerance`` is the largest allowed difference; without one nothing is judged but the common
    start and order, which must be bit-identical. ``indifferent`` names tensors whose true gradient
    is zero: they are measured but not judged.
    """

    batch_size: int
    steps: int = 200
    dtype: str = "float64"
    tolerance: float | None = None
    indifferent: tuple[str, ...] = ()


@dataclass(frozen=True)
class FirstDifference:
    """Where two backends part: the first step (from 0) and in it the first tensor, in the order of
    computation.

    ``kind`` is initial_parameter, batch_order, activation, loss, gradient, parameter, statistic or,
    after the last step, prediction.
    """

    step: int
    kind: str
    tensor: str
    difference: float
    backends: tuple[str, str]

    def __str__(self) -> str:
        where = f"{self.kind.replace('_', ' ')} {self.tensor}".strip()
        first, second = self.backends
        return f"step {self.step}: {where} differs by {self.difference:.3g} ({first}, {second})"

    def to_json(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "kind": self.kind,
            "tensor": self.tensor,
            "difference": number(self.difference),
            "backends": list(self.backends),
        }


@dataclass(frozen=True)
class Step:
    """One optimizer step (from 0) on every backend.

    ``differences`` holds the worst pair per trained tensor, ``statistics`` per running statistic,
    and ``loss_difference`` is relative to the loss.
    """

    step: int
    epoch: int
    losses: Mapping[str, float]
    loss_difference: float
    differences: Mapping[str, float]
    statistics: Mapping[str, float] = field(default_factory=dict)
    indifferent: Mapping[str, float] = field(default_factory=dict)

    @property
    def largest(self) -> float:
        return worst(self.differences.values())


@dataclass(frozen=True)
class Comparison:
    """A free-running comparison: every backend trains on by itself from the common start."""

    name: str
    dtype: str
    backends: tuple[str, ...]
    steps: tuple[Step, ...]
    indifferent: tuple[str, ...]
    first_difference: FirstDifference | None
    # Of the predictions in the end: it shows the effect of the tensors that are not judged.
    output_difference: float
    tolerance: float | None
    environment: Mapping[str, Mapping[str, str]]

    @property
    def max_relative_difference(self) -> float:
        """The largest difference of a trained tensor after the last step, relative to its way."""
        return self.steps[-1].largest if self.steps else 0.0

    @property
    def max_loss_difference(self) -> float:
        return worst(step.loss_difference for step in self.steps)

    @property
    def max_statistics_difference(self) -> float:
        return worst(self.steps[-1].statistics.values()) if self.steps else 0.0

    @property
    def equal(self) -> bool:
        """No step left the tolerance (without one: nothing to leave)."""
        return self.first_difference is None

    def to_json(self) -> dict[str, Any]:
        """The object that ``specc compare --json`` prints."""
        last = self.steps[-1] if self.steps else None
        return {
            "name": self.name,
            "mode": "free_running",
            "backends": list(self.backends),
            "steps": len(self.steps),
            "dtype": self.dtype,
            "tolerance": self.tolerance,
            "equal": self.equal,
            "max_relative_difference": number(self.max_relative_difference),
            "max_loss_difference": number(self.max_loss_difference),
            "max_statistics_difference": number(self.max_statistics_difference),
            "output_difference": number(self.output_difference),
            "first_difference": self.first_difference and self.first_difference.to_json(),
            "indifferent": list(self.indifferent),
            "parameters": _numbers(last.differences) if last else {},
            "statistics": _numbers(last.statistics) if last else {},
            "losses": {name: [step.losses[name] for step in self.steps] for name in self.backends},
            "differences": [number(step.largest) for step in self.steps],
            "environment": {name: dict(found) for name, found in self.environment.items()},
        }


@dataclass(frozen=True)
class LockStep:
    """A float32 comparison in which every step starts from the float64 reference's parameters and
    optimizer state.

    ``gradients[backend][tensor]`` is the median over the steps of the gradient's relative error
    against the float64 reference; ``losses[backend]`` likewise of the loss, and
    ``updates[backend]`` of the worst tensor's optimizer step, in which the rounding of the
    parameters themselves is the larger part: it is reported and not judged.
    """

    name: str
    dtype: str
    reference: str
    backends: tuple[str, ...]
    steps: int
    indifferent: tuple[str, ...]
    gradients: Mapping[str, Mapping[str, float]]
    updates: Mapping[str, float]
    losses: Mapping[str, float]
    tolerance: float | None
    environment: Mapping[str, Mapping[str, str]]

    @property
    def max_gradient_error(self) -> float:
        return worst(worst(errors.values()) for errors in self.gradients.values())

    @property
    def equal(self) -> bool:
        return self.tolerance is None or self.max_gradient_error <= self.tolerance

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "mode": "lock_step",
            "backends": list(self.backends),
            "reference": self.reference,
            "steps": self.steps,
            "dtype": self.dtype,
            "tolerance": self.tolerance,
            "equal": self.equal,
            "max_relative_difference": number(self.max_gradient_error),
            "max_loss_difference": number(worst(self.losses.values())),
            "first_difference": None,
            "indifferent": list(self.indifferent),
            "gradients": {name: _numbers(errors) for name, errors in self.gradients.items()},
            "updates": _numbers(self.updates),
            "losses": _numbers(self.losses),
            "environment": {name: dict(found) for name, found in self.environment.items()},
        }


def number(value: float) -> float | str:
    """A float as JSON can hold it: the infinite one as a word, since JSON has none."""
    return value if math.isfinite(value) else str(value)


def _numbers(values: Mapping[str, float]) -> dict[str, float | str]:
    return {name: number(value) for name, value in values.items()}

"""The float32 comparison: every step starts from a float64 reference, so chaos cannot grow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from specc.runner.compare import Part, batches, begin
from specc.runner.comparison import LockStep, Settings
from specc.runner.measure import (
    Arrays,
    is_statistic,
    relative_difference,
    travelled_difference,
    worst,
)
from specc.runner.process import Team

OnStep = Callable[[int], None]


def compare_in_lock_step(
    sources: Mapping[str, Path], train: Part, settings: Settings, on_step: OnStep | None = None
) -> LockStep:
    """The gradients of every file at ``settings.dtype``, at each step of the first's float64 run.

    Free-running float32 runs drift apart through the kinks of relu and max, whoever wrote them; one
    step from a common start shows whether the computation is the same. The tolerance bounds the
    median gradient error of each tensor. Arguments and errors as in `compare`.
    """
    dtype, indifferent = settings.dtype, settings.indifferent
    reference = next(iter(sources))
    gradients: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in sources}
    updates: dict[str, list[float]] = {name: [] for name in sources}
    losses: dict[str, list[float]] = {name: [] for name in sources}
    with Team({reference: sources[reference]}) as exact, Team(sources) as team:
        parameters, _ = begin(exact, train, replace(settings, dtype="float64"))
        begin(team, train, settings)
        state = exact.ask("state")[reference]
        for batch, _ in batches(exact, train, settings):
            team.ask("place", parameters=_cast(parameters, dtype), state=_cast(state, dtype))
            question = {"rows": batch.rows, "step": batch.step}
            truth = exact.ask("gradients", **question)[reference]
            for name, answer in team.ask("gradients", **question).items():
                losses[name].append(_error(answer["loss"], truth["loss"]))
                for tensor, gradient in truth["gradients"].items():
                    if tensor not in indifferent:
                        error = _error(answer["gradients"][tensor], gradient)
                        gradients[name][tensor].append(error)
            moved = exact.ask("step", rows=batch.rows, state=True)[reference]
            for name, answer in team.ask("step", rows=batch.rows).items():
                updates[name].append(_update_error(answer, moved, parameters, indifferent))
            parameters, state = moved["parameters"], moved["state"]
            if on_step is not None:
                on_step(batch.step)
        return LockStep(
            name=str(team.opened[reference]["name"]),
            dtype=dtype,
            reference=reference,
            backends=tuple(team.names),
            steps=settings.steps,
            indifferent=indifferent,
            gradients={
                name: {tensor: median(errors) for tensor, errors in tensors.items()}
                for name, tensors in gradients.items()
            },
            updates={name: median(errors) for name, errors in updates.items() if errors},
            losses={name: median(errors) for name, errors in losses.items() if errors},
            tolerance=settings.tolerance,
            environment={name: opened["environment"] for name, opened in team.opened.items()},
        )


def _error(value: Any, truth: Any) -> float:
    exact = np.asarray(truth, np.float64)
    return relative_difference(np.asarray(value, np.float64), exact)


def _update_error(
    answer: Mapping[str, Any], truth: Mapping[str, Any], start: Arrays, indifferent: Sequence[str]
) -> float:
    """The worst tensor's distance from where the reference's step led, as a share of that step."""
    return worst(
        travelled_difference(
            np.asarray(answer["parameters"][tensor], np.float64), moved, start[tensor]
        )
        for tensor, moved in truth["parameters"].items()
        if tensor not in indifferent and not is_statistic(tensor)
    )


def _cast(arrays: Arrays, dtype: str) -> dict[str, Any]:
    """The reference's arrays as the other precision holds them; counters stay whole numbers."""
    converted = {name: np.asarray(array) for name, array in arrays.items()}
    return {
        name: array.astype(dtype) if array.dtype.kind == "f" else array
        for name, array in converted.items()
    }

"""Trains generated files side by side, step by step, and measures where they part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from specc.diagnostics import Diagnostic, Note, SpecError
from specc.runner.comparison import Comparison, FirstDifference, Settings, Step
from specc.runner.locate import locate
from specc.runner.measure import (
    Array,
    Arrays,
    is_statistic,
    pairs,
    relative_difference,
    statistics_differences,
    travelled_difference,
    worst,
)
from specc.runner.process import Team

Part = Mapping[str, Any]
OnStep = Callable[[Step], None]


@dataclass(frozen=True)
class Batch:
    """The rows of the training part that optimizer step number ``step`` (from 0) sees."""

    step: int
    epoch: int
    rows: Array


def compare(
    sources: Mapping[str, Path], train: Part, settings: Settings, on_step: OnStep | None = None
) -> Comparison:
    """Trains every file on the same batches in its own process and compares all pairs at each step.

    Args:
        sources: the generated file of each backend; the first is the reference of a localisation.
        train: ``{"inputs": {name: array}, "targets": {name: array}}``, perhaps with
            ``"sample_weights"``.
        on_step: called after each step with its figures.

    Raises:
        SpecError: a file fails, its framework is missing, or the files disagree about their
            parameters.
    """
    tolerance, indifferent = settings.tolerance, set(settings.indifferent)
    with Team(sources) as team:
        start, first = begin(team, train, settings)
        reference = team.names[0]
        records: list[Step] = []
        previous = start
        for batch, order_difference in batches(team, train, settings):
            first = first or order_difference
            answers = team.ask("step", rows=batch.rows)
            record = _measure(batch, answers, start, indifferent)
            records.append(record)
            if first is None and tolerance is not None and exceeds(record, tolerance):
                first = locate(team, batch.step, batch.rows, previous, record, tolerance)
            previous = answers[reference]["parameters"]
            if on_step is not None:
                on_step(record)
        rows = batch_rows(train, settings.batch_size)
        outputs = team.ask("predict", inputs=rows)
        if first is None and tolerance is not None:
            # From common parameters: those that noise moves are not judged by their effect either.
            judged = team.ask("predict", inputs=rows, parameters=previous)
            first = _predictions_apart(judged, settings.steps - 1, tolerance)
        return Comparison(
            name=str(team.opened[reference]["name"]),
            dtype=settings.dtype,
            backends=tuple(team.names),
            steps=tuple(records),
            indifferent=settings.indifferent,
            first_difference=first,
            output_difference=_output_difference(outputs),
            tolerance=tolerance,
            environment={name: opened["environment"] for name, opened in team.opened.items()},
        )


def begin(team: Team, train: Part, settings: Settings) -> tuple[Arrays, FirstDifference | None]:
    """Gives every worker the data and an initial model; the start, and where it is not common."""
    team.ask("data", parts={"train": train})
    built = team.ask("build", dtype=settings.dtype)
    reference = team.names[0]
    start: Arrays = built[reference]
    for name, parameters in built.items():
        if parameters.keys() != start.keys():
            odd = sorted(parameters.keys() ^ start.keys())
            raise SpecError(
                Diagnostic(
                    "E1003",
                    f"the files for {reference} and {name} have different parameters",
                    notes=tuple(Note(f"only one of them has {tensor}") for tensor in odd),
                )
            )
    for tensor in start:
        for name in team.names[1:]:
            if not np.array_equal(built[name][tensor], start[tensor]):
                difference = relative_difference(built[name][tensor], start[tensor])
                pair = (reference, name)
                return start, FirstDifference(0, "initial_parameter", tensor, difference, pair)
    return start, None


def batches(
    team: Team, train: Part, settings: Settings
) -> Iterator[tuple[Batch, FirstDifference | None]]:
    """The batches in the files' own order, a short last one included; and where orders differ."""
    reference = team.names[0]
    count, size = len(next(iter(train["inputs"].values()))), settings.batch_size
    per_epoch = -(-count // size)
    order: Array = np.arange(count)
    for step in range(settings.steps):
        epoch, position = divmod(step, per_epoch)
        difference = None
        if position == 0:
            orders = team.ask("order", epoch=epoch, count=count)
            order = orders[reference]
            odd = (name for name in team.names[1:] if not np.array_equal(orders[name], order))
            if (name := next(odd, None)) is not None:
                difference = FirstDifference(
                    step, "batch_order", f"of epoch {epoch}", np.inf, (reference, name)
                )
        yield Batch(step, epoch, order[position * size : (position + 1) * size]), difference


def batch_rows(part: Part, count: int) -> dict[str, Any]:
    """The first ``count`` rows of a part's inputs."""
    return {name: array[:count] for name, array in part["inputs"].items()}


def _output_difference(outputs: Mapping[str, Arrays]) -> float:
    return worst(
        relative_difference(outputs[a][name], outputs[b][name])
        for a, b in pairs(outputs)
        for name in outputs[a]
    )


def _predictions_apart(
    outputs: Mapping[str, Arrays], step: int, tolerance: float
) -> FirstDifference | None:
    """The first output in which the same parameters predict differently.

    Training uses neither the outputs' own activations, where the loss works on logits, nor what
    only inference does.
    """
    for name in next(iter(outputs.values())):
        for a, b in pairs(outputs):
            difference = relative_difference(outputs[a][name], outputs[b][name])
            if difference > tolerance:
                return FirstDifference(step, "prediction", name, difference, (a, b))
    return None


def exceeds(record: Step, tolerance: float) -> bool:
    """Whether anything of this step that is judged is outside the tolerance."""
    figures = (record.loss_difference, record.largest, worst(record.statistics.values()))
    return any(figure > tolerance for figure in figures)


def _measure(
    batch: Batch, answers: Mapping[str, Any], start: Arrays, indifferent: set[str]
) -> Step:
    """The worst pair for every tensor."""
    parameters = {name: answer["parameters"] for name, answer in answers.items()}
    losses = {name: float(answer["loss"]) for name, answer in answers.items()}
    moved: dict[str, float] = {}
    statistics: dict[str, float] = {}
    for a, b in pairs(parameters):
        for tensor, initial in start.items():
            if not is_statistic(tensor):
                difference = travelled_difference(
                    parameters[a][tensor], parameters[b][tensor], initial
                )
                moved[tensor] = max(moved.get(tensor, 0.0), difference)
        for tensor, difference in statistics_differences(parameters[a], parameters[b]).items():
            statistics[tensor] = max(statistics.get(tensor, 0.0), difference)
    return Step(
        step=batch.step,
        epoch=batch.epoch,
        losses=losses,
        loss_difference=worst(
            relative_difference(np.asarray(losses[a]), np.asarray(losses[b]))
            for a, b in pairs(losses)
        ),
        differences={name: value for name, value in moved.items() if name not in indifferent},
        statistics={name: value for name, value in statistics.items() if name not in indifferent},
        indifferent={
            name: value for name, value in (moved | statistics).items() if name in indifferent
        },
    )

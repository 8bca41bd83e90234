"""Trains, evaluates and predicts with generated files, each in its own process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from specc.diagnostics import Diagnostic, SpecError
from specc.runner.compare import Part
from specc.runner.measure import Arrays, is_statistic, pairs, travelled_difference
from specc.runner.process import Team, Worker, WorkerError

Event = dict[str, Any]
OnEvent = Callable[[str, Event], None]


@dataclass(frozen=True)
class Trained:
    """One backend's finished training; ``scores`` are of the test part, if the data have one."""

    backend: str
    history: dict[str, list[float]]
    scores: dict[str, float]
    seconds: float
    environment: dict[str, str]
    start: Arrays
    parameters: Arrays


def train(
    sources: Mapping[str, Path],
    data: Mapping[str, Part],
    *,
    epochs: int,
    batch_size: int,
    weights: Mapping[str, Path],
    dtype: str | None = None,
    device: str | None = None,
    on_event: OnEvent | None = None,
) -> dict[str, Trained]:
    """Trains every file on the same data, side by side, and saves each one's weights.

    Args:
        data: the parts ``train`` and perhaps ``validation`` and ``test``, each as in `compare`.
        weights: where each backend's safetensors go.
        on_event: called from other threads with ``{"step", "epoch", "loss"}`` ten times a second
            and ``{"epoch", "logs"}`` after each epoch.

    Raises:
        SpecError: a file fails or its framework is missing; the others are then ended.
    """

    def one(backend: str, worker: Worker) -> Trained:
        worker.ask("data", parts=dict(data))
        start = _built(worker, dtype, device)
        begun = monotonic()
        worker.post("fit", epochs=epochs, batch_size=batch_size)
        history = worker.wait(lambda event: on_event(backend, event) if on_event else None)
        seconds = monotonic() - begun
        worker.ask("save", path=str(weights[backend].resolve()))
        return Trained(
            backend=backend,
            history=history,
            scores=worker.ask("evaluate", part="test") if "test" in data else {},
            seconds=seconds,
            environment=team.opened[backend]["environment"],
            start=start,
            parameters=worker.ask("parameters"),
        )

    # The team is closed first: a thread whose worker has gone ends, so the pool can close too.
    with ThreadPoolExecutor(max_workers=len(sources)) as pool, Team(sources) as team:
        running = {name: pool.submit(one, name, worker) for name, worker in team.workers.items()}
        done, _ = wait_for(running.values(), return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
        return {name: future.result() for name, future in running.items()}


def _built(worker: Worker, dtype: str | None, device: str | None) -> Arrays:
    """The initial parameters of a model that is built on a device. Raises SpecError."""
    try:
        start: Arrays = worker.ask("build", dtype=dtype, device=device)
    except WorkerError as error:
        if device is None:
            raise
        reason = error.diagnostics[0].message.rpartition("Error: ")[2]
        message = f"{worker.backend} cannot compute on the device '{device}': {reason}"
        raise SpecError(Diagnostic("E1010", message, help="every backend has a cpu")) from None
    return start


def parameter_differences(
    trained: Mapping[str, Trained], indifferent: Sequence[str] = ()
) -> dict[str, float]:
    """Per trained tensor the worst pair of backends, as a share of the way that it went."""
    results = list(trained.values())
    start = results[0].start
    return {
        tensor: max(
            travelled_difference(
                trained[a].parameters[tensor], trained[b].parameters[tensor], start[tensor]
            )
            for a, b in pairs(trained)
        )
        for tensor in (start if len(results) > 1 else ())
        if not is_statistic(tensor) and tensor not in indifferent
    }


def evaluate(source: Path, backend: str, weights: Path, part: Part) -> dict[str, float]:
    """Loss and metrics of saved weights on one part of the data."""
    with Team({backend: source}) as team:
        team.ask("data", parts={"part": part})
        _restore(team, weights)
        scores: dict[str, float] = team.ask("evaluate", part="part")[backend]
        return scores


def _restore(team: Team, weights: Path) -> None:
    """Puts saved weights into the model. Raises SpecError if they are none."""
    try:
        team.ask("restore", path=str(weights.resolve()))
    except WorkerError as error:
        found = error.diagnostics[0]
        if found.code != "E1002":
            raise
        reason = found.message.rpartition("Error: ")[2]
        message = f"the weights {weights} cannot be loaded: {reason}"
        raise SpecError(Diagnostic("E1005", message, help="train again")) from None


def predict(
    source: Path, backend: str, weights: Path, inputs: Arrays, batch_size: int | None = None
) -> dict[str, Any]:
    """The outputs of saved weights, in inference mode."""
    with Team({backend: source}) as team:
        _restore(team, weights)
        outputs: dict[str, Any] = team.ask("predict", inputs=dict(inputs), batch_size=batch_size)[
            backend
        ]
        return outputs

"""Trains, evaluates and predicts with generated files, each in its own process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from specc.diagnostics import Diagnostic, SpecError
from specc.runner.checkpoint import Checkpoint
from specc.runner.compare import Part
from specc.runner.interruption import Interrupted
from specc.runner.measure import Arrays, is_statistic, pairs, travelled_difference
from specc.runner.process import Team, Worker, WorkerError
from specc.runner.run_folder import WEIGHTS

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


@dataclass(frozen=True)
class Plan:
    """How a training goes.

    Args:
        keys: what tells the runs of each backend apart: a checkpoint with another key is not gone
            on from.
        every: when checkpoints are written: ``{"steps": N}``, ``{"seconds": S}``, or empty for as
            often as costs next to nothing.
    """

    epochs: int
    batch_size: int
    dtype: str | None = None
    device: str | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    every: Mapping[str, float] | None = None


class BrokenDownError(Exception):
    """The loss of a backend is no number any more. ``report`` is what `breakdown.examine` found."""

    def __init__(self, backend: str, step: int, report: Mapping[str, Any] | None) -> None:
        super().__init__(f"{backend} broke down before step {step}")
        self.backend, self.step, self.report = backend, step, report


class HaltedError(Exception):
    """A training wrote a checkpoint after ``step`` steps and ended, as it was asked to."""

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped after step {step}")
        self.step = step


def train(
    sources: Mapping[str, Path],
    data: Mapping[str, Part],
    plan: Plan,
    folders: Mapping[str, Path],
    *,
    on_event: OnEvent | None = None,
    on_stop: Callable[[], None] | None = None,
    inherit: Sequence[int] = (),
) -> dict[str, Trained]:
    """Trains every file on the same data, side by side, and saves each one's weights.

    Args:
        data: the parts ``train`` and perhaps ``validation`` and ``test``, each as in `compare`.
        folders: where each backend's checkpoints and weights go; one that has a checkpoint is gone
            on from.
        on_event: called from other threads with ``{"step", "epoch", "loss"}`` ten times a second,
            ``{"epoch", "logs"}`` after each epoch and ``{"kept"}``, a number of steps, after each
            checkpoint.
        on_stop: called when a signal has asked the training to end.
        inherit: file descriptors that the processes keep open.

    Raises:
        SpecError: a file fails, its framework is missing, or a checkpoint cannot be written.
        BrokenDownError: the loss of a file is no number any more.
        Interrupted: a signal came. As with every failure, what every backend has trained is in its
            checkpoint then; a second signal leaves the last one.
    """

    # The team is closed first: a thread whose worker has gone ends, so the pool can close too.
    with (
        ThreadPoolExecutor(max_workers=len(sources)) as pool,
        Team(sources, inherit=inherit) as team,
    ):
        running = {}
        for name, worker in team.workers.items():
            environment = team.opened[name]["environment"]
            companions = len(sources) > 1
            arguments = (worker, environment, data, plan, folders[name], companions, on_event)
            running[name] = pool.submit(_train_one, *arguments)
        try:
            _wait(running, team)
        except Interrupted as signal:
            if on_stop is not None:
                on_stop()
            team.stop()
            wait_for(running.values())
            signal.reached = {
                name: error.step
                for name, future in running.items()
                if isinstance(error := future.exception(), HaltedError)
            }
            if signal.reached:
                raise
        return {name: future.result() for name, future in running.items()}


def _train_one(
    worker: Worker,
    environment: dict[str, str],
    data: Mapping[str, Part],
    plan: Plan,
    folder: Path,
    companions: bool,
    on_event: OnEvent | None,
) -> Trained:
    """Trains one file in its process. Raises what `train` does, and HaltedError."""
    backend, folder = worker.backend, folder.resolve()
    worker.ask("data", parts=dict(data))
    start = _built(worker, plan.dtype, plan.device)
    worker.post(
        "train",
        epochs=plan.epochs,
        batch_size=plan.batch_size,
        folder=str(folder),
        key=plan.keys.get(backend, ""),
        every=dict(plan.every or {}),
        # What is done while others still train must not be lost with them.
        save_end=companions,
    )
    reached = worker.wait(lambda event: on_event(backend, event) if on_event else None)
    if "broken" in reached:
        raise BrokenDownError(backend, reached["step"], reached["broken"])
    if reached["stopped"]:
        raise HaltedError(reached["step"])
    worker.ask("save", path=str(folder / WEIGHTS))
    return Trained(
        backend=backend,
        history=reached["history"],
        scores=worker.ask("evaluate", part="test") if "test" in data else {},
        seconds=reached["seconds"],
        environment=environment,
        start=start,
        parameters=worker.ask("parameters"),
    )


def _wait(running: Mapping[str, Future[Trained]], team: Team) -> None:
    """Waits for all; where one fails the others write what they have, and its error is raised."""
    done, others = wait_for(running.values(), return_when=FIRST_EXCEPTION)
    failed = next((error for each in done if (error := each.exception()) is not None), None)
    if failed is not None:
        if others:
            team.stop()
            wait_for(others)
        raise failed


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


def evaluate(
    source: Path, backend: str, weights: Path | Checkpoint, dtype: str, part: Part
) -> dict[str, float]:
    """Loss and metrics of saved weights, or of those in a checkpoint, on one part of the data."""
    with Team({backend: source}) as team:
        team.ask("data", parts={"part": part})
        _restore(team, weights, dtype)
        scores: dict[str, float] = team.ask("evaluate", part="part")[backend]
        return scores


def predict(
    source: Path,
    backend: str,
    weights: Path | Checkpoint,
    dtype: str,
    inputs: Arrays,
    batch_size: int | None = None,
) -> dict[str, Any]:
    """The outputs of saved weights, or of those in a checkpoint, in inference mode."""
    with Team({backend: source}) as team:
        _restore(team, weights, dtype)
        outputs: dict[str, Any] = team.ask("predict", inputs=dict(inputs), batch_size=batch_size)[
            backend
        ]
        return outputs


def _restore(team: Team, weights: Path | Checkpoint, dtype: str) -> None:
    """Puts weights into the model. Raises SpecError if the file holds none."""
    if isinstance(weights, Checkpoint):
        team.ask("build", dtype=dtype)
        team.ask("place", parameters=weights.parameters, state=weights.state)
        return
    try:
        team.ask("restore", path=str(weights.resolve()))
    except WorkerError as error:
        found = error.diagnostics[0]
        if found.code != "E1002":
            raise
        reason = found.message.rpartition("Error: ")[2]
        message = f"the weights {weights} cannot be loaded: {reason}"
        raise SpecError(Diagnostic("E1005", message, help="train again")) from None

"""A training that can end at any moment and goes on where it was: the worker's side.

This file is loaded by path inside a worker and imports only NumPy and its neighbour
`checkpoint.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from specc.runner import checkpoint

Arrays = dict[str, Any]
Emit = Callable[[dict[str, Any]], None]
Part = dict[str, Arrays]

SECONDS_BETWEEN_EVENTS = 0.1
SECONDS_BETWEEN_CHECKPOINTS = 10.0
SHARE_OF_CHECKPOINTS = 0.01
"""Checkpoints take at most this share of the time, unless the user says how often they are."""


class StoppedError(Exception):
    """The parent wants the training to stop; a checkpoint is written."""


class NotFiniteError(Exception):
    """The loss or a parameter is not a finite number."""


class Resumable:
    """`Trainer.fit` with checkpoints, for a model that was just built.

    ``every`` is how often they are written: ``{"steps": N}``, ``{"seconds": S}``, or empty for as
    often as costs next to nothing. With ``save_end`` there is one at the end too.
    """

    def __init__(
        self,
        store: Any,
        replacing: Any,
        module: Any,
        model: Any,
        trainer: Any,
        *,
        folder: Path,
        key: str,
        every: dict[str, float],
        save_end: bool,
        stop: threading.Event,
        emit: Emit,
    ) -> None:
        self._store, self._replacing = store, replacing
        self._module, self._model, self._trainer = module, model, trainer
        self._folder, self._key, self._every, self._save_end = folder, key, every, save_end
        self._stop, self._emit = stop, emit
        self._history: dict[str, list[float]] = {}
        self._begun = self._written = time.monotonic()
        self._told = self._cost = 0.0
        self._step = self._last = 0

    def resume(self, found: checkpoint.Checkpoint) -> None:
        """Puts model and trainer where a checkpoint was taken."""
        place(self._module, self._model, self._trainer, found)
        self._history = {name: list(values) for name, values in found.history.items()}
        self._step = self._last = found.step
        self._begun -= found.seconds

    def run(
        self, train: Part, validation: Part | None, epochs: int, batch_size: int
    ) -> dict[str, Any]:
        """Trains to the end, or until the parent says stop; what has been reached.

        Raises:
            NotFiniteError: the loss or a parameter is not a number any more. The checkpoints are of
                steps before.
            UnwritableError: a checkpoint cannot be written.
        """
        self._per_epoch = -(-len(next(iter(train["inputs"].values()))) // batch_size)
        stopped = False
        try:
            self._trainer.fit(
                train["inputs"],
                train["targets"],
                validation=(validation["inputs"], validation["targets"]) if validation else None,
                epochs=epochs,
                batch_size=batch_size,
                on_step=self._on_step,
                on_epoch=self._on_epoch,
            )
            self._require_finite(*self._parameters().values())
            if self._save_end and self._step > self._last:
                self._save()
        except StoppedError:
            stopped = True
        return {
            "stopped": stopped,
            "step": self._step,
            "history": self._history,
            "seconds": time.monotonic() - self._begun,
        }

    def _on_step(self, step: int, epoch: int, loss: Any) -> None:
        now = time.monotonic()
        self._step = step + 1
        # Reading the loss waits for the device, so it is read ten times a second and not every
        # step. The sum over the epoch tells of the steps between.
        if now - self._told >= SECONDS_BETWEEN_EVENTS:
            self._told = now
            value = float(loss)
            self._emit({"step": step, "epoch": epoch, "loss": value})
            self._require_finite(value, float(self._trainer.totals["loss"]))
        # At an epoch's end its validation and its line in the history are still to come.
        if self._step % self._per_epoch and (self._stop.is_set() or self._due(now)):
            self._between_steps()

    def _on_epoch(self, epoch: int, logs: dict[str, Any]) -> None:
        values = {name: float(value) for name, value in logs.items()}
        self._require_finite(values["loss"])
        for name, value in values.items():
            self._history.setdefault(name, []).append(value)
        self._emit({"epoch": epoch, "logs": values})
        if self._stop.is_set() or self._due(time.monotonic()):
            self._between_steps()

    def _due(self, now: float) -> bool:
        if "steps" in self._every:
            return self._step - self._last >= self._every["steps"]
        least = max(SECONDS_BETWEEN_CHECKPOINTS, self._cost / SHARE_OF_CHECKPOINTS)
        return now - self._written >= self._every.get("seconds", least)

    def _between_steps(self) -> None:
        self._save()
        if self._stop.is_set():
            raise StoppedError

    def _save(self) -> None:
        begun = time.monotonic()
        totals = {name: float(value) for name, value in self._trainer.totals.items()}
        parameters = self._parameters()
        self._require_finite(totals.get("loss", 0.0), *parameters.values())
        self._store.write(
            self._folder,
            self._store.Checkpoint(
                key=self._key,
                step=self._step,
                seconds=begun - self._begun,
                history=self._history,
                totals=totals,
                parameters=parameters,
                state=dict(self._trainer.state()),
            ),
            self._replacing,
        )
        self._last, self._written = self._step, time.monotonic()
        self._cost = self._written - begun
        self._emit({"kept": self._step})

    def _parameters(self) -> Arrays:
        return dict(self._module.get_parameters(self._model))

    @staticmethod
    def _require_finite(*values: Any) -> None:
        if not all(np.isfinite(value).all() for value in values):
            raise NotFiniteError


def place(module: Any, model: Any, trainer: Any, found: checkpoint.Checkpoint) -> None:
    """Puts a model and its trainer where ``found`` was taken, the sums of the epoch included."""
    module.set_parameters(model, found.parameters)
    trainer.load_state(found.state)
    trainer.totals = dict(found.totals)

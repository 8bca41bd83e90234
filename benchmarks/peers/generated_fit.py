"""The files that specc writes, driven through their fit() as a user calls it, metrics included."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from benchmarks.peers import generated
from benchmarks.peers.generated import gather
from benchmarks.problem import Problem


class Peer(generated.Peer):
    """A generated file's fit(), timed from the end of the first step to that of the last."""

    def __init__(self, problem: Problem, backend: str) -> None:
        super().__init__(problem, backend)
        self.batch_size = problem.batch_size

    def step(self, rows: np.ndarray) -> float:
        return self.fit(rows)[0]

    def timed_steps(self, batches: Iterator[np.ndarray], count: int) -> tuple[float, float]:
        loss, times = self.fit(np.concatenate(list(islice(batches, count + 1))))
        return (times[-1] - times[0]) / count, loss

    def fit(self, rows: np.ndarray) -> tuple[float, list[float]]:
        """An epoch over those rows: its mean loss, and when each step ended."""
        times: list[float] = []

        def on_step(**_: Any) -> None:
            times.append(time.perf_counter())

        per_epoch = len(rows) // self.batch_size
        self.trainer.steps = -(-self.trainer.steps // per_epoch) * per_epoch  # a whole epoch
        history = self.trainer.fit(
            gather(self.inputs, rows),
            gather(self.targets, rows),
            epochs=self.trainer.steps // per_epoch + 1,
            on_step=on_step,
        )
        return history["loss"][-1], times

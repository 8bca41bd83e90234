"""The files that specc writes, driven through their Trainer a batch at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.problem import Arrays, Problem, load_module


class Peer:
    """A generated file's Trainer."""

    def __init__(self, problem: Problem, backend: str) -> None:
        self.module = load_module(problem.folder / f"{backend}_file.py")
        self.model = self.module.build()
        self.trainer = self.module.Trainer(self.model)
        self.inputs, self.targets = problem.inputs, problem.targets

    def step(self, rows: np.ndarray) -> Any:
        return self.trainer.step(gather(self.inputs, rows), gather(self.targets, rows))

    def infer(self, rows: np.ndarray) -> np.ndarray:
        (output,) = self.module.predict(self.model, gather(self.inputs, rows)).values()
        return np.asarray(output)


def gather(arrays: Arrays, rows: np.ndarray) -> Arrays:
    """Those rows of every array."""
    return {name: array[rows] for name, array in arrays.items()}

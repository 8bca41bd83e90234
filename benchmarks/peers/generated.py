"""The files that specc writes, driven through their Trainer a batch at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.problem import Arrays, Problem, load_module


class Peer:
    """A generated file's Trainer.

    native_dropout puts the framework's own dropout in the place of specc's masks.
    """

    def __init__(self, problem: Problem, backend: str, native_dropout: bool = False) -> None:
        self.module = load_module(problem.folder / f"{backend}_file.py")
        if native_dropout:
            assert callable(self.module.dropout)
            self.module.dropout = NATIVE_DROPOUT[backend]()
        self.model = self.module.build()
        self.trainer = self.module.Trainer(self.model)
        self.inputs, self.targets = problem.inputs, problem.targets

    def step(self, rows: np.ndarray) -> Any:
        return self.trainer.step(gather(self.inputs, rows), gather(self.targets, rows))

    def infer(self, rows: np.ndarray) -> np.ndarray:
        (output,) = self.module.predict(self.model, gather(self.inputs, rows)).values()
        return np.asarray(output)


def numpy_dropout() -> Callable[..., Any]:
    rng = np.random.default_rng(0)

    def dropout(x: np.ndarray, rate: float, *_: Any) -> tuple[np.ndarray, np.ndarray]:
        mask = (rng.random(x.shape, np.float32) >= rate) * np.float32(1 / (1 - rate))
        return x * mask, mask

    return dropout


def torch_dropout() -> Callable[..., Any]:
    from torch.nn.functional import dropout

    return lambda x, rate, *_: dropout(x, rate)


def tensorflow_dropout() -> Callable[..., Any]:
    import tensorflow as tf

    return lambda x, rate, *_: tf.nn.dropout(x, rate)


NATIVE_DROPOUT = {"numpy": numpy_dropout, "torch": torch_dropout, "tensorflow": tensorflow_dropout}


def gather(arrays: Arrays, rows: np.ndarray) -> Arrays:
    """Those rows of every array."""
    return {name: array[rows] for name, array in arrays.items()}

"""The interface of everything that is measured, and the table of all contenders."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import numpy as np

from benchmarks.problem import Problem


class Contender(Protocol):
    """A network that trains on rows of the problem's arrays."""

    def step(self, rows: np.ndarray) -> Any:
        """One training step on those rows; its loss before the step, which float() reads."""

    def infer(self, rows: np.ndarray) -> np.ndarray:
        """The probabilities of those rows in inference mode."""


def timed_steps(
    contender: Contender, batches: Iterator[np.ndarray], count: int
) -> tuple[float, float]:
    """(seconds per step, last loss) of `count` training steps after one that warms the caches.

    A contender whose steps do not stand alone, as in Keras' fit, times them by itself.
    """
    if hasattr(contender, "timed_steps"):
        seconds, loss = contender.timed_steps(batches, count)
        return seconds, loss
    float(contender.step(next(batches)))
    start = time.perf_counter()
    for rows in islice(batches, count):
        loss = contender.step(rows)
    loss = float(loss)
    return (time.perf_counter() - start) / count, loss


def timed_inferences(contender: Contender, batches: Iterator[np.ndarray], count: int) -> float:
    """Seconds per batch of `count` inferences after one that warms the caches."""
    contender.infer(next(batches))
    start = time.perf_counter()
    for rows in islice(batches, count):
        contender.infer(rows)
    return (time.perf_counter() - start) / count


@dataclass(frozen=True)
class Entry:
    """How a contender is written in the table, and how it is made."""

    title: str
    module: str
    options: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    images: bool = False  # only where images are convolved
    dropout: bool = False  # only where there is dropout, with masks of its own

    def make(self, problem: Problem) -> Contender:
        """The contender, with the problem's initial parameters."""
        module = importlib.import_module(f"benchmarks.peers.{self.module}")
        made: Contender = module.Peer(problem, **self.options)
        return made


def _keras(backend: str) -> Entry:
    return Entry(f"Keras fit on {backend}", "keras_peer", {}, {"KERAS_BACKEND": backend})


def _native(title: str, backend: str) -> Entry:
    options = {"backend": backend, "native_dropout": True}
    return Entry(f"{title}, its own dropout", "generated", options, dropout=True)


CONTENDERS = {
    "specc-numpy": Entry("specc NumPy", "generated", {"backend": "numpy"}),
    "specc-torch": Entry("specc PyTorch", "generated", {"backend": "torch"}),
    "specc-tensorflow": Entry("specc TensorFlow", "generated", {"backend": "tensorflow"}),
    "specc-numpy-fit": Entry("specc NumPy, fit", "generated_fit", {"backend": "numpy"}),
    "specc-torch-fit": Entry("specc PyTorch, fit", "generated_fit", {"backend": "torch"}),
    "specc-tensorflow-fit": Entry(
        "specc TensorFlow, fit", "generated_fit", {"backend": "tensorflow"}
    ),
    "numpy": Entry("NumPy by hand", "numpy_peer"),
    "torch": Entry("PyTorch eager, Adam", "torch_peer"),
    "torch-fused": Entry("PyTorch eager, Adam(fused)", "torch_peer", {"fused": True}),
    "torch-channels-last": Entry(
        "PyTorch eager, Adam(fused), channels_last",
        "torch_peer",
        {"fused": True, "channels_last": True},
        images=True,
    ),
    "torch-compile": Entry("torch.compile", "torch_peer", {"fused": True, "compiled": True}),
    "tensorflow": Entry("tf.function, raw ops", "tensorflow_peer"),
    "tensorflow-xla": Entry("tf.function, XLA", "tensorflow_peer", {"xla": True}),
    "keras-tensorflow": _keras("tensorflow"),
    "keras-torch": _keras("torch"),
    "specc-numpy-native": _native("specc NumPy", "numpy"),
    "specc-torch-native": _native("specc PyTorch", "torch"),
    "specc-tensorflow-native": _native("specc TensorFlow", "tensorflow"),
    "jax": Entry("jax.jit", "jax_peer"),
}

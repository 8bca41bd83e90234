"""The most that a framework gets out of this machine: ``python -m benchmarks.products NAME``.

Prints the floating-point operations a second of the best of some 2048 x 2048 float32 products.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

SIZE = 2048
REPEATS = 15


def with_numpy(a: np.ndarray) -> Callable[[], Any]:
    out = np.empty_like(a)
    return lambda: np.matmul(a, a, out=out)


def with_torch(a: np.ndarray) -> Callable[[], Any]:
    import torch

    left = torch.from_numpy(a)
    out = torch.empty_like(left)
    return lambda: torch.mm(left, left, out=out)


def with_tensorflow(a: np.ndarray) -> Callable[[], Any]:
    import tensorflow as tf

    left = tf.constant(a)
    return lambda: tf.matmul(left, left).numpy()


PRODUCTS = {"numpy": with_numpy, "torch": with_torch, "tensorflow": with_tensorflow}


def main(name: str) -> None:
    multiply = PRODUCTS[name](np.random.default_rng(0).random((SIZE, SIZE), np.float32))
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        multiply()
        times.append(time.perf_counter() - start)
    print(2 * SIZE**3 / min(times))


if __name__ == "__main__":
    main(sys.argv[1])

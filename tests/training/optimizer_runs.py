"""Trains a small problem with an emitted optimizer, and with the frameworks' own."""

import functools
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np

from specc.backends import prelude_shared
from specc.ir.graph import Configured
from specc.training.emit_optimizer import emit_optimizer
from specc.training.frameworks import NUMPY, TENSORFLOW, TORCH
from specc.training.optimizers import OPTIMIZERS

FRAMEWORKS = {words.name: words for words in (NUMPY, TORCH, TENSORFLOW)}
STEPS = 200
SHAPES = [(3, 4), (4,), (2, 3, 2)]
NAMES = ["a.kernel", "a.bias", "b.kernel"]


@functools.cache
def problem() -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    """The parameters at the start, and what each step's gradient adds to the parameter."""
    random = np.random.default_rng(0)
    start = [random.standard_normal(shape) for shape in SHAPES]
    noise = [[random.standard_normal(shape) for shape in SHAPES] for _ in range(STEPS)]
    return start, noise


def configured(kind: str, conventions: str, **attributes: object) -> Configured:
    row = OPTIMIZERS[kind]
    values = {**row.defaults(conventions), **attributes}
    row.check(values)
    return Configured(kind, values)


def emitted(optimizer: Configured, backend: str) -> dict:
    """The names that the emitted source defines."""
    source, names = emit_optimizer(optimizer, FRAMEWORKS[backend], NAMES)
    scope = {name: getattr(prelude_shared, name) for name in names} | {"math": math}
    if backend == "numpy":
        scope["np"] = np
    elif backend == "torch":
        import torch

        scope["torch"] = torch
    else:
        import tensorflow

        scope["tf"] = tensorflow
    exec(source, scope)
    return scope


def train(optimizer: Configured, backend: str, dtype: str = "float64") -> list[np.ndarray]:
    """The parameters after STEPS steps of the emitted optimizer."""
    run = {"numpy": train_numpy, "torch": train_torch, "tensorflow": train_tensorflow}[backend]
    return run(emitted(optimizer, backend)["Optimizer"], dtype)


def train_numpy(cls: type, dtype: str) -> list[np.ndarray]:
    start, noise = problem()
    parameters = [array.astype(dtype) for array in start]
    optimizer = cls(parameters)
    for step, added in enumerate(noise):
        gradients = [p + n.astype(dtype) for p, n in zip(parameters, added, strict=True)]
        optimizer.update(gradients, optimizer.scalars(step))
    assert all(p.dtype == dtype for p in parameters)
    return parameters


def train_torch(cls: type, dtype: str) -> list[np.ndarray]:
    import torch

    start, noise = problem()
    parameters = [torch.nn.Parameter(torch.tensor(a.astype(dtype))) for a in start]
    optimizer = cls(parameters)
    for step, added in enumerate(noise):
        gradients = [
            p.detach() + torch.tensor(n.astype(dtype))
            for p, n in zip(parameters, added, strict=True)
        ]
        optimizer.update(gradients, optimizer.scalars(step))
    return [p.detach().numpy() for p in parameters]


def train_tensorflow(cls: type, dtype: str) -> list[np.ndarray]:
    import tensorflow as tf

    start, noise = problem()
    parameters = [tf.Variable(a.astype(dtype)) for a in start]
    optimizer = cls(parameters)

    @tf.function
    def update(added, scalars):
        optimizer.update([p + n for p, n in zip(parameters, added, strict=True)], scalars)

    for step, added in enumerate(noise):
        scalars = tuple(tf.constant(each, dtype) for each in optimizer.scalars(step))
        update([tf.constant(n.astype(dtype)) for n in added], scalars)
    assert update.experimental_get_tracing_count() == 1
    return [p.numpy() for p in parameters]


def difference(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """The largest |a - b| / |b - b0| of a tensor."""
    start, _ = problem()
    return max(
        float(np.linalg.norm(a - b) / np.linalg.norm(b - s))
        for a, b, s in zip(ours, theirs, start, strict=True)
    )


def keras_results(cases: list[tuple]) -> list:
    """What Keras computes in float64 on its torch backend, in a process of its own."""
    environment = {**os.environ, "KERAS_BACKEND": "torch", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("oracle_keras_optimizers.py"))],
        input=pickle.dumps(cases),
        capture_output=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return pickle.loads(done.stdout.partition(b"RESULT")[2])

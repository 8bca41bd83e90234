"""The networks in Keras as its guides write them: functional models, compile and fit.

KERAS_BACKEND, set in the process's environment, says on what they run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import keras
import numpy as np
from keras import layers

from benchmarks.problem import Arrays, Problem

Symbols = list[Any]


def mlp(problem: Problem, inputs: Symbols) -> Any:
    (x,) = inputs
    for path, activation in zip(problem.layers("kernel"), problem.activations, strict=False):
        x = layers.Dense(problem.parameters[f"{path}.bias"].size, activation=activation)(x)
    return x


def cnn(problem: Problem, inputs: Symbols) -> Any:
    (x,) = inputs
    sizes = {path: each.size for path, each in problem.parameters.items()}
    x = layers.MaxPooling2D(2)(layers.Conv2D(sizes["conv1.bias"], 3, activation="relu")(x))
    x = layers.MaxPooling2D(2)(layers.Conv2D(sizes["conv2.bias"], 3, activation="relu")(x))
    x = layers.Flatten()(layers.Conv2D(sizes["conv3.bias"], 3, activation="relu")(x))
    return layers.Dense(sizes["hidden.bias"], activation="relu")(x)


def lstm(problem: Problem, inputs: Symbols) -> Any:
    (x,) = inputs
    for path in problem.layers("embeddings"):
        x = layers.Embedding(*problem.parameters[f"{path}.embeddings"].shape)(x)
    paths = problem.layers("recurrent_kernel")
    for path in paths:
        units = len(problem.parameters[f"{path}.recurrent_kernel"])
        x = layers.LSTM(units, return_sequences=path != paths[-1])(x)
    return x


def convolution(x: Any, filters: int, size: int = 3, stride: int = 1) -> Any:
    x = layers.Conv2D(filters, size, stride, padding="same", use_bias=False)(x)
    return layers.BatchNormalization()(x)


def resnet(problem: Problem, inputs: Symbols) -> Any:
    (x,) = inputs
    x = layers.ReLU()(convolution(x, problem.parameters["stem.kernel"].shape[-1]))
    for path in (path for path in problem.layers("kernel") if path.endswith("body.conv1")):
        filters, stride = problem.parameters[f"{path}.kernel"].shape[-1], 1
        if path.startswith("down"):
            stride = 2
        y = convolution(layers.ReLU()(convolution(x, filters, 3, stride)), filters)
        x = convolution(x, filters, 1, stride) if stride == 2 else x
        x = layers.ReLU()(layers.Add()([y, x]))
    return layers.GlobalAveragePooling2D()(x)


def transformer(problem: Problem, inputs: Symbols) -> Any:
    p = problem.parameters
    tables = (p[f"{path}.embeddings"].shape for path in problem.layers("embeddings"))
    pairs = zip(tables, inputs, strict=True)
    x = layers.Add()([layers.Embedding(*shape)(ids) for shape, ids in pairs])
    for path in (path for path in problem.layers("kernel") if path.endswith("attention.query")):
        width, heads, size = p[f"{path}.kernel"].shape
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(heads, size)(y, y, use_causal_mask=True)])
        y = layers.Dense(4 * width)(layers.LayerNormalization()(x))
        y = layers.Activation(lambda z: keras.activations.gelu(z, approximate=True))(y)
        x = layers.Add()([x, layers.Dense(width)(y)])
    return layers.LayerNormalization()(x)


NETWORKS = {f.__name__: f for f in (mlp, cnn, lstm, resnet, transformer)}


class Clock(keras.callbacks.Callback):
    """When each batch of a fit ended."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.times.append(time.perf_counter())


class Peer:
    """compile and fit, timed from the end of the first batch of an epoch to that of its last."""

    def __init__(self, problem: Problem, eager: bool = False) -> None:
        self.problem = problem
        inputs = [
            keras.Input(array.shape[1:], dtype=array.dtype.name, name=name)
            for name, array in problem.inputs.items()
        ]
        features = NETWORKS[problem.network](problem, inputs)
        classes = problem.parameters["probabilities.bias"].size
        # Logits, as Keras advises where a softmax comes last: it belongs into the loss.
        self.model = keras.Model(inputs, layers.Dense(classes)(features))
        self.set_parameters()
        rate = problem.rate
        optimizers = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}
        self.model.compile(
            optimizers[problem.optimizer](rate),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            run_eagerly=eager,
        )

    def set_parameters(self) -> None:
        """Puts the spec's parameters, which have Keras' layout, into the layers in their order."""
        owners: dict[str, list[np.ndarray]] = {}
        for path, array in self.problem.parameters.items():
            owner = path.rpartition(".")[0].partition(".attention.")
            owners.setdefault(owner[0] + owner[1], []).append(array)
        waiting: dict[tuple[tuple[int, ...], ...], list[list[np.ndarray]]] = {}
        for arrays in owners.values():
            waiting.setdefault(tuple(each.shape for each in arrays), []).append(arrays)
        for layer in self.model.layers:
            shapes = tuple(tuple(each.shape) for each in layer.weights)
            if shapes:
                layer.set_weights(waiting[shapes].pop(0))

    def fit(self, rows: np.ndarray) -> tuple[float, list[float]]:
        """An epoch over those rows in their order: its mean loss, and when each batch ended."""
        clock = Clock()
        history = self.model.fit(
            gather(self.problem.inputs, rows),
            self.problem.y[rows],
            batch_size=self.problem.batch_size,
            shuffle=False,
            verbose=0,
            callbacks=[clock],
        )
        return float(history.history["loss"][-1]), clock.times

    def step(self, rows: np.ndarray) -> float:
        return self.fit(rows)[0]

    def timed_steps(self, batches: Iterator[np.ndarray], count: int) -> tuple[float, float]:
        loss, times = self.fit(np.concatenate(list(islice(batches, count + 1))))
        return (times[-1] - times[0]) / count, loss

    def infer(self, rows: np.ndarray) -> np.ndarray:
        size = self.problem.batch_size
        y = self.model.predict(gather(self.problem.inputs, rows), batch_size=size, verbose=0)
        y = np.exp(y - y.max(-1, keepdims=True))
        return np.asarray(y / y.sum(-1, keepdims=True))


def gather(arrays: Arrays, rows: np.ndarray) -> Any:
    """Those rows of the inputs: an array, or several by name."""
    found = {name: array[rows] for name, array in arrays.items()}
    return next(iter(found.values())) if len(found) == 1 else found

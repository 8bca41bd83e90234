"""The networks in NumPy by hand: gradients derived by hand, one flat buffer of parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.peers.numpy_layers import (
    Adam,
    Array,
    BatchNorm,
    Conv,
    Dense,
    Embedding,
    Layer,
    LayerNorm,
    MaxPool,
    Parameters,
    softmax_crossentropy,
)
from benchmarks.peers.numpy_sequences import Lstm, TransformerBlock
from benchmarks.problem import Problem

SAME = ((1, 1), (1, 1))


class Flatten(Layer):
    """(N, H, W, C) to (N, H * W * C)."""

    def forward(self, x: Array, training: bool = True) -> Array:
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dy: Array) -> Array:
        return dy.reshape(self.shape)


class Relu(Layer):
    """max(x, 0), in place."""

    def forward(self, x: Array, training: bool = True) -> Array:
        self.y = np.maximum(x, 0, out=x)
        return self.y

    def backward(self, dy: Array) -> Array:
        dy *= np.greater(self.y, 0, out=self.buffer("positive", dy.shape, bool))
        return dy


class AveragePool(Layer):
    """The mean over all pixels."""

    def forward(self, x: Array, training: bool = True) -> Array:
        self.shape = x.shape
        mean: Array = np.einsum("nhwc->nc", x) / np.float32(x.shape[1] * x.shape[2])
        return mean

    def backward(self, dy: Array) -> Array:
        dx = self.buffer("dx", self.shape)
        dx[...] = (dy / np.float32(self.shape[1] * self.shape[2]))[:, None, None]
        return dx


class Chain(Layer):
    """Layer after layer."""

    def __init__(self, layers: list[Any]) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Array, training: bool = True) -> Array:
        for layer in self.layers:
            x = layer.forward(x, training)
        return x

    def backward(self, dy: Array) -> Array:
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy


class Residual(Layer):
    """Two convolutions added to a shortcut: the input, or a convolution of it that halves it."""

    def __init__(self, parameters: Parameters, path: str, half: bool) -> None:
        super().__init__()
        body, padding = f"{path}.body", ((0, 1), (0, 1)) if half else SAME
        self.body = Chain(
            [
                Conv(parameters, f"{body}.conv1", 2 if half else 1, padding),
                BatchNorm(parameters, f"{body}.norm1"),
                Relu(),
                Conv(parameters, f"{body}.conv2", 1, SAME),
                BatchNorm(parameters, f"{body}.norm2"),
            ]
        )
        self.shortcut = Chain([])
        if half:
            convolution = Conv(parameters, f"{path}.shortcut", 2)
            self.shortcut = Chain([convolution, BatchNorm(parameters, f"{path}.norm")])
        self.relu = Relu()

    def forward(self, x: Array, training: bool = True) -> Array:
        y = self.body.forward(x, training)
        y += self.shortcut.forward(x, training)
        return self.relu.forward(y)

    def backward(self, dy: Array) -> Array:
        dy = self.relu.backward(dy)
        dx = self.body.backward(dy)
        dx += self.shortcut.backward(dy)
        return dx


class Ends(Chain):
    """A chain whose first layer needs no gradient of its input."""

    def backward(self, dy: Array) -> Array:
        first, *rest = self.layers
        for layer in reversed(rest):
            dy = layer.backward(dy)
        first.backward(dy, needs_input=False)
        return dy


def mlp(problem: Problem, p: Parameters) -> Layer:
    paths = problem.layers("kernel")
    pairs = zip(paths, (*problem.activations, ""), strict=True)
    return Ends([Dense(p, path, activation) for path, activation in pairs])


def cnn(problem: Problem, p: Parameters) -> Layer:
    return Ends(
        [
            Conv(p, "conv1", relu=True),
            MaxPool(),
            Conv(p, "conv2", relu=True),
            MaxPool(),
            Conv(p, "conv3", relu=True),
            Flatten(),
            Dense(p, "hidden", "relu"),
            Dense(p, "probabilities"),
        ]
    )


def lstm(problem: Problem, p: Parameters) -> Layer:
    paths = problem.layers("recurrent_kernel")
    layers = [Lstm(p, path, last=path == paths[-1]) for path in paths]
    end = [*layers, Dense(p, "probabilities")]
    embeddings = problem.layers("embeddings")
    return Chain([Embedding(p, embeddings[0]), *end]) if embeddings else Ends(end)


def resnet(problem: Problem, p: Parameters) -> Layer:
    blocks = [path.removesuffix(".body.conv1") for path in problem.layers("kernel")]
    blocks = [path for path in blocks if f"{path}.body.conv1.kernel" in p]
    return Ends(
        [
            Conv(p, "stem", 1, SAME),
            BatchNorm(p, "norm"),
            Relu(),
            *(Residual(p, path, half=path.startswith("down")) for path in blocks),
            AveragePool(),
            Dense(p, "probabilities"),
        ]
    )


def transformer(problem: Problem, p: Parameters) -> Layer:
    blocks = [path.removesuffix(".expand") for path in problem.layers("kernel")]
    blocks = [path for path in blocks if f"{path}.expand.kernel" in p]
    layers = [TransformerBlock(p, path) for path in blocks]
    return Chain([*layers, LayerNorm(p, "norm"), Dense(p, "probabilities")])


NETWORKS = {f.__name__: f for f in (mlp, cnn, lstm, resnet, transformer)}


class Peer:
    """A network by hand, and Adam."""

    def __init__(self, problem: Problem) -> None:
        assert problem.optimizer == "adam", "the other optimizers have no peer in NumPy"
        trained = {k: v for k, v in problem.parameters.items() if ".moving_" not in k}
        flat = np.concatenate([each.ravel() for each in trained.values()])
        gradients = np.zeros_like(flat)
        views: dict[str, tuple[Array, Array]] = {}
        ends = np.cumsum([each.size for each in trained.values()])
        for (path, each), end in zip(trained.items(), ends, strict=True):
            part = slice(end - each.size, end)
            views[path] = flat[part].reshape(each.shape), gradients[part].reshape(each.shape)
        for path, each in problem.parameters.items():
            views.setdefault(path, (each.copy(), each))
        self.problem = problem
        self.network = NETWORKS[problem.network](problem, views)
        self.adam = Adam(flat, gradients, problem.rate)
        paths = problem.layers("embeddings") if problem.network == "transformer" else []
        self.embeddings = [Embedding(views, path) for path in paths]

    def logits(self, rows: np.ndarray, training: bool) -> Array:
        inputs = [array[rows] for array in self.problem.inputs.values()]
        if self.embeddings:
            pairs = zip(self.embeddings, inputs, strict=True)
            x, other = (embedding.forward(ids, training) for embedding, ids in pairs)
            x += other
        else:
            (x,) = inputs
        return self.network.forward(x, training)

    def step(self, rows: np.ndarray) -> float:
        loss, gradient = softmax_crossentropy(self.logits(rows, True), self.problem.y[rows])
        gradient = self.network.backward(gradient)
        for embedding in self.embeddings:
            embedding.backward(gradient)
        self.adam.update()
        return loss

    def infer(self, rows: np.ndarray) -> np.ndarray:
        y = self.logits(rows, False)
        y = np.exp(y - y.max(-1, keepdims=True))
        return np.asarray(y / y.sum(-1, keepdims=True))

"""The networks in raw TensorFlow operations: variables by path, one tf.function per step."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from itertools import accumulate, islice
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from benchmarks.problem import Problem

Tensor = Any
Variables = Mapping[str, Any]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": tf.nn.relu,
    "sigmoid": tf.sigmoid,
    "tanh": tf.tanh,
    "": tf.identity,
}


def dense(p: Variables, path: str, x: Tensor) -> Tensor:
    return tf.matmul(x, p[f"{path}.kernel"]) + p[f"{path}.bias"]


def convolution(p: Variables, path: str, x: Tensor, stride: int = 1, pad: str = "SAME") -> Tensor:
    y = tf.nn.conv2d(x, p[f"{path}.kernel"], stride, pad)
    return tf.nn.bias_add(y, p[f"{path}.bias"]) if f"{path}.bias" in p else y


def mlp(problem: Problem, p: Variables, training: bool, x: Tensor) -> Tensor:
    for path, activation in zip(problem.layers("kernel"), (*problem.activations, ""), strict=True):
        x = ACTIVATIONS[activation](dense(p, path, x))
    return x


def cnn(problem: Problem, p: Variables, training: bool, x: Tensor) -> Tensor:
    x = tf.nn.max_pool2d(tf.nn.relu(convolution(p, "conv1", x, pad="VALID")), 2, 2, "VALID")
    x = tf.nn.max_pool2d(tf.nn.relu(convolution(p, "conv2", x, pad="VALID")), 2, 2, "VALID")
    x = tf.nn.relu(convolution(p, "conv3", x, pad="VALID"))
    x = tf.reshape(x, [-1, p["hidden.kernel"].shape[0]])
    return dense(p, "probabilities", tf.nn.relu(dense(p, "hidden", x)))


def lstm_cell(recurrent: Tensor, state: Any, product: Tensor) -> tuple[Tensor, Tensor]:
    """The next (h, c), from the product of the step's input."""
    h, c = state
    i, f, candidate, o = tf.split(product + tf.matmul(h, recurrent), 4, axis=1)
    c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(candidate)
    return tf.sigmoid(o) * tf.tanh(c), c


def lstm(problem: Problem, p: Variables, training: bool, x: Tensor, loop: bool = False) -> Tensor:
    """The products of the inputs of all steps are one; the steps are unrolled into the graph.

    loop keeps them a loop: XLA takes minutes to compile a hundred steps in a row.
    """
    for path in problem.layers("embeddings"):
        x = tf.gather(p[f"{path}.embeddings"], x)
    x = tf.transpose(x, [1, 0, 2])
    for path in problem.layers("recurrent_kernel"):
        cell = partial(lstm_cell, p[f"{path}.recurrent_kernel"])
        products = tf.matmul(x, p[f"{path}.kernel"]) + p[f"{path}.bias"]
        start = tf.zeros((tf.shape(x)[1], p[f"{path}.recurrent_kernel"].shape[0]))
        if loop:
            x, _ = tf.scan(cell, products, (start, start))
        else:
            states = accumulate(tf.unstack(products), cell, initial=(start, start))
            x = tf.stack([h for h, _ in islice(states, 1, None)])
    return dense(p, "probabilities", x[-1])


def batch_norm(p: Variables, path: str, x: Tensor, training: bool) -> Tensor:
    moving = p[f"{path}.moving_mean"], p[f"{path}.moving_variance"]
    y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        x,
        p[f"{path}.gamma"],
        p[f"{path}.beta"],
        None if training else moving[0],
        None if training else moving[1],
        epsilon=1e-3,
        is_training=training,
    )
    if training:
        for variable, value in zip(moving, (mean, variance), strict=True):
            variable.assign_add(0.01 * (value - variable))
    return y


def resnet(problem: Problem, p: Variables, training: bool, x: Tensor) -> Tensor:
    x = tf.nn.relu(batch_norm(p, "norm", convolution(p, "stem", x), training))
    bodies = [path.removesuffix(".conv1") for path in problem.layers("kernel")]
    for body in (path for path in bodies if f"{path}.conv1.kernel" in p):
        block = body.removesuffix(".body")
        half = f"{block}.shortcut.kernel" in p
        y = convolution(p, f"{body}.conv1", x, 2 if half else 1)
        y = tf.nn.relu(batch_norm(p, f"{body}.norm1", y, training))
        y = batch_norm(p, f"{body}.norm2", convolution(p, f"{body}.conv2", y), training)
        if half:
            shortcut = convolution(p, f"{block}.shortcut", x, 2)
            x = batch_norm(p, f"{block}.norm", shortcut, training)
        x = tf.nn.relu(y + x)
    return dense(p, "probabilities", tf.reduce_mean(x, [1, 2]))


def layer_norm(p: Variables, path: str, x: Tensor) -> Tensor:
    mean, variance = tf.nn.moments(x, -1, keepdims=True)
    return tf.nn.batch_normalization(x, mean, variance, p[f"{path}.beta"], p[f"{path}.gamma"], 1e-3)


def attention(p: Variables, path: str, x: Tensor) -> Tensor:
    def heads(name: str) -> Tensor:
        kernel, bias = p[f"{path}.{name}.kernel"], p[f"{path}.{name}.bias"]
        width, count, size = kernel.shape
        y = tf.matmul(x, tf.reshape(kernel, [width, -1])) + tf.reshape(bias, [-1])
        return tf.transpose(tf.reshape(y, [-1, x.shape[1], count, size]), [0, 2, 1, 3])

    q, k, v = heads("query"), heads("key"), heads("value")
    steps, width = x.shape[1:]
    causal = tf.constant(np.triu(np.full((steps, steps), -1e9, np.float32), 1))
    scores = tf.matmul(q, k, transpose_b=True) * (1 / math.sqrt(q.shape[-1]))
    means = tf.transpose(tf.matmul(tf.nn.softmax(scores + causal), v), [0, 2, 1, 3])
    kernel = tf.reshape(p[f"{path}.output.kernel"], [-1, width])
    return tf.matmul(tf.reshape(means, [-1, steps, width]), kernel) + p[f"{path}.output.bias"]


def transformer(
    problem: Problem, p: Variables, training: bool, token: Tensor, position: Tensor
) -> Tensor:
    x = tf.gather(p["token_embedding.embeddings"], token)
    x += tf.gather(p["position_embedding.embeddings"], position)
    blocks = [path.removesuffix(".expand") for path in problem.layers("kernel")]
    for block in (path for path in blocks if f"{path}.expand.kernel" in p):
        x += attention(p, f"{block}.attention", layer_norm(p, f"{block}.norm1", x))
        y = dense(p, f"{block}.expand", layer_norm(p, f"{block}.norm2", x))
        x += dense(p, f"{block}.contract", tf.nn.gelu(y, approximate=True))
    return dense(p, "probabilities", layer_norm(p, "norm", x))


NETWORKS = {f.__name__: f for f in (mlp, cnn, lstm, resnet, transformer)}


class Peer:
    """A step that gathers its batch, differentiates and applies fused Adam, in one graph."""

    def __init__(self, problem: Problem, xla: bool = False) -> None:
        self.problem, self.rate, self.steps = problem, problem.rate, 0
        self.network = partial(NETWORKS[problem.network], problem)
        if xla and problem.network == "lstm":
            self.network = partial(self.network, loop=True)
        self.variables = {
            path: tf.Variable(array, trainable=".moving_" not in path)
            for path, array in problem.parameters.items()
        }
        self.trained = [each for each in self.variables.values() if each.trainable]
        self.slots = [[tf.Variable(tf.zeros_like(p)) for p in self.trained] for _ in range(2)]
        self.inputs = [tf.constant(array) for array in problem.inputs.values()]
        self.targets = tf.constant(problem.y)
        signature = [tf.TensorSpec([problem.batch_size], tf.int64)]
        scalar = tf.TensorSpec([], tf.float32)
        self.update = tf.function(self.differentiate, [*signature, scalar], jit_compile=xla)
        self.predict = tf.function(self.probabilities, signature, jit_compile=xla)

    def logits(self, rows: Tensor, training: bool) -> Tensor:
        batch = [tf.gather(each, rows) for each in self.inputs]
        return self.network(self.variables, training, *batch)

    def probabilities(self, rows: Tensor) -> Tensor:
        return tf.nn.softmax(self.logits(rows, training=False))

    def differentiate(self, rows: Tensor, step_size: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                tf.gather(self.targets, rows), self.logits(rows, training=True)
            )
            loss = tf.reduce_mean(losses)
        gradients = [tf.convert_to_tensor(each) for each in tape.gradient(loss, self.trained)]
        for variable, gradient, m, v in zip(self.trained, gradients, *self.slots, strict=True):
            if self.problem.optimizer == "sgd":
                variable.assign_sub(step_size * gradient)
                continue
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=m.handle,
                v=v.handle,
                beta1_power=0.0,
                beta2_power=0.0,
                lr=step_size,
                beta1=0.9,
                beta2=0.999,
                epsilon=1e-7,
                grad=gradient,
            )
        return loss

    def step(self, rows: np.ndarray) -> Tensor:
        self.steps += 1
        size = self.rate
        if self.problem.optimizer == "adam":  # the bias corrections belong to it
            size *= math.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        return self.update(tf.constant(rows), tf.constant(size, tf.float32))

    def infer(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.predict(tf.constant(rows)))

"""The networks in JAX: pure functions of a dictionary of parameters, one jitted step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.problem import Problem

Parameters = Mapping[str, Any]
ACTIVATIONS = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh}
Statistics = dict[str, Any]  # moving statistics that a step renews


def dense(p: Parameters, path: str, x: Any) -> Any:
    return x @ p[f"{path}.kernel"] + p[f"{path}.bias"]


def convolution(p: Parameters, path: str, x: Any, stride: int = 1, pad: str = "SAME") -> Any:
    axes = ("NHWC", "HWIO", "NHWC")
    kernel = p[f"{path}.kernel"]
    y = lax.conv_general_dilated(x, kernel, (stride, stride), pad, dimension_numbers=axes)
    return y + p[f"{path}.bias"] if f"{path}.bias" in p else y


def max_pool(x: Any) -> Any:
    window = (1, 2, 2, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")


def mlp(problem: Problem, p: Parameters, moved: Statistics | None, x: Any) -> Any:
    *paths, last = problem.layers("kernel")
    for path, activation in zip(paths, problem.activations, strict=True):
        x = ACTIVATIONS[activation](dense(p, path, x))
    return dense(p, last, x)


def cnn(problem: Problem, p: Parameters, moved: Statistics | None, x: Any) -> Any:
    x = max_pool(jax.nn.relu(convolution(p, "conv1", x, pad="VALID")))
    x = max_pool(jax.nn.relu(convolution(p, "conv2", x, pad="VALID")))
    x = jax.nn.relu(convolution(p, "conv3", x, pad="VALID"))
    x = jax.nn.relu(dense(p, "hidden", x.reshape(len(x), -1)))
    return dense(p, "probabilities", x)


def lstm(problem: Problem, p: Parameters, moved: Statistics | None, x: Any) -> Any:
    for path in problem.layers("embeddings"):
        x = p[f"{path}.embeddings"][x]
    x = x.swapaxes(0, 1)
    for path in problem.layers("recurrent_kernel"):
        recurrent = p[f"{path}.recurrent_kernel"]

        def cell(state: Any, product: Any, recurrent: Any = recurrent) -> Any:
            h, c = state
            i, f, candidate, o = jnp.split(product + h @ recurrent, 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(candidate)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        start = jnp.zeros((x.shape[1], len(recurrent)), x.dtype)
        _, x = lax.scan(cell, (start, start), dense(p, path, x))
    return dense(p, "probabilities", x[-1])


def batch_norm(p: Parameters, path: str, x: Any, moved: Statistics | None) -> Any:
    names = f"{path}.moving_mean", f"{path}.moving_variance"
    if moved is None:
        mean, variance = (p[name] for name in names)
    else:
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        for name, value in zip(names, (mean, variance), strict=True):
            moved[name] = p[name] + 0.01 * (value - p[name])
    return (x - mean) * lax.rsqrt(variance + 1e-3) * p[f"{path}.gamma"] + p[f"{path}.beta"]


def resnet(problem: Problem, p: Parameters, moved: Statistics | None, x: Any) -> Any:
    x = jax.nn.relu(batch_norm(p, "norm", convolution(p, "stem", x), moved))
    bodies = [path.removesuffix(".conv1") for path in problem.layers("kernel")]
    for body in (path for path in bodies if f"{path}.conv1.kernel" in p):
        block = body.removesuffix(".body")
        half = f"{block}.shortcut.kernel" in p
        y = convolution(p, f"{body}.conv1", x, 2 if half else 1)
        y = jax.nn.relu(batch_norm(p, f"{body}.norm1", y, moved))
        y = batch_norm(p, f"{body}.norm2", convolution(p, f"{body}.conv2", y), moved)
        if half:
            x = batch_norm(p, f"{block}.norm", convolution(p, f"{block}.shortcut", x, 2), moved)
        x = jax.nn.relu(y + x)
    return dense(p, "probabilities", x.mean((1, 2)))


def layer_norm(p: Parameters, path: str, x: Any) -> Any:
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-3) * p[f"{path}.gamma"] + p[f"{path}.beta"]


def attention(p: Parameters, path: str, x: Any) -> Any:
    q, k, v = (
        jnp.einsum("ntd,dhk->nthk", x, p[f"{path}.{name}.kernel"]) + p[f"{path}.{name}.bias"]
        for name in ("query", "key", "value")
    )
    means = jax.nn.dot_product_attention(q, k, v, is_causal=True)
    kernel, bias = p[f"{path}.output.kernel"], p[f"{path}.output.bias"]
    return jnp.einsum("nthk,hkd->ntd", means, kernel) + bias


def transformer(
    problem: Problem, p: Parameters, moved: Statistics | None, token: Any, position: Any
) -> Any:
    x = p["token_embedding.embeddings"][token] + p["position_embedding.embeddings"][position]
    blocks = [path.removesuffix(".expand") for path in problem.layers("kernel")]
    for block in (path for path in blocks if f"{path}.expand.kernel" in p):
        x = x + attention(p, f"{block}.attention", layer_norm(p, f"{block}.norm1", x))
        y = dense(p, f"{block}.expand", layer_norm(p, f"{block}.norm2", x))
        x = x + dense(p, f"{block}.contract", jax.nn.gelu(y, approximate=True))
    return dense(p, "probabilities", layer_norm(p, "norm", x))


NETWORKS = {f.__name__: f for f in (mlp, cnn, lstm, resnet, transformer)}


class Peer:
    """One jitted step that gathers its batch and gives back new parameters in the old memory."""

    def __init__(self, problem: Problem) -> None:
        assert problem.optimizer == "adam", "the other optimizers have no peer in JAX"
        self.problem, self.steps = problem, 0
        self.network = partial(NETWORKS[problem.network], problem)
        self.parameters = {path: jnp.asarray(each) for path, each in problem.parameters.items()}
        trained = [path for path in self.parameters if ".moving_" not in path]
        self.m = {path: jnp.zeros_like(self.parameters[path]) for path in trained}
        self.v = {path: jnp.zeros_like(self.parameters[path]) for path in trained}
        self.inputs = [jnp.asarray(each) for each in problem.inputs.values()]
        self.targets = jnp.asarray(problem.y)
        self.update = jax.jit(self.advance, donate_argnums=(0, 1, 2))
        self.predict = jax.jit(self.probabilities)

    def loss(self, trained: Any, others: Any, rows: Any) -> Any:
        moved: Statistics = {}
        logits = self.network(trained | others, moved, *(each[rows] for each in self.inputs))
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), self.targets[rows][..., None], -1)
        return -chosen.mean(), moved

    def advance(self, parameters: Any, m: Any, v: Any, rows: Any, step_size: Any) -> Any:
        trained = {path: parameters[path] for path in m}
        others = {path: each for path, each in parameters.items() if path not in m}
        (loss, moved), g = jax.value_and_grad(self.loss, has_aux=True)(trained, others, rows)
        m = {path: 0.9 * m[path] + 0.1 * g[path] for path in m}
        v = {path: 0.999 * v[path] + 0.001 * g[path] * g[path] for path in v}
        trained = {
            path: trained[path] - step_size * m[path] / (jnp.sqrt(v[path]) + 1e-7) for path in m
        }
        return trained | moved, m, v, loss

    def probabilities(self, parameters: Any, rows: Any) -> Any:
        batch = (each[rows] for each in self.inputs)
        return jax.nn.softmax(self.network(parameters, None, *batch))

    def step(self, rows: np.ndarray) -> Any:
        self.steps += 1
        size = self.problem.rate * math.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        self.parameters, self.m, self.v, loss = self.update(
            self.parameters, self.m, self.v, rows, np.float32(size)
        )
        return loss

    def infer(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.predict(self.parameters, rows))

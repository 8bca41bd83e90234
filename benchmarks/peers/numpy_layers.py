"""Layers in NumPy as an expert writes them by hand: preallocated buffers, products with ``out=``.

Images are (N, H, W, C). A layer keeps views of its parameters and of their gradients; forward()
keeps what backward() reads, and both return buffers that the next call overwrites.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Parameters = Mapping[str, tuple[Array, Array]]
"""By path: the parameter and the gradient, both views."""

PATCH_BLOCK = 2**18  # numbers of an im2col block: a megabyte, so that it stays in cache


class Layer(ABC):
    """What all layers share: buffers by name, and parameters by the end of their path."""

    def __init__(self, parameters: Parameters | None = None, path: str = "") -> None:
        self.buffers: dict[str, Array] = {}
        self.p = {
            name.removeprefix(f"{path}."): each
            for name, each in (parameters or {}).items()
            if name.startswith(f"{path}.")
        }

    def buffer(self, name: str, shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
        """Uninitialised memory that is kept from call to call."""
        found = self.buffers.get(name)
        if found is None or found.shape != shape:
            found = self.buffers[name] = np.zeros(shape, dtype)
        return found

    @abstractmethod
    def forward(self, x: Array, training: bool = True) -> Array:
        """The output of this layer."""

    @abstractmethod
    def backward(self, dy: Array) -> Array:
        """The gradient of the loss with respect to x, from that with respect to the output.

        dy may be overwritten. Layers that can begin a network take needs_input.
        """


def column_sums(x: Array, out: Array) -> None:
    """Sums of x (rows, columns): a product with ones, which is faster than sum(0)."""
    np.matmul(np.ones(len(x), x.dtype), x, out=out)


class Dense(Layer):
    """x @ kernel + bias, and an activation in place: relu, sigmoid, tanh or none."""

    def __init__(self, parameters: Parameters, path: str, activation: str = "") -> None:
        super().__init__(parameters, path)
        self.kernel, self.d_kernel = self.p["kernel"]
        self.bias, self.d_bias = self.p["bias"]
        self.activation = activation

    def forward(self, x: Array, training: bool = True) -> Array:
        self.shape = x.shape
        self.x = x.reshape(-1, len(self.kernel))
        self.y = y = self.buffer("y", (len(self.x), len(self.bias)))
        np.matmul(self.x, self.kernel, out=y)
        y += self.bias
        if self.activation == "relu":
            np.maximum(y, 0, out=y)
        elif self.activation == "tanh":
            np.tanh(y, out=y)
        elif self.activation == "sigmoid":
            y *= 0.5
            np.tanh(y, out=y)
            y *= 0.5
            y += 0.5
        return y.reshape(*x.shape[:-1], -1)

    def backward(self, dy: Array, needs_input: bool = True) -> Array:
        dy, y = dy.reshape(self.y.shape), self.y
        if self.activation == "relu":
            dy *= np.greater(y, 0, out=self.buffer("positive", y.shape, bool))
        elif self.activation:
            slope = self.buffer("slope", y.shape)
            np.multiply(y, y, out=slope)
            np.subtract(1 if self.activation == "tanh" else y, slope, out=slope)
            dy *= slope
        np.matmul(self.x.T, dy, out=self.d_kernel)
        column_sums(dy, self.d_bias)
        if not needs_input:
            return dy
        dx = self.buffer("dx", self.x.shape)
        return np.matmul(dy, self.kernel.T, out=dx).reshape(self.shape)


class Conv(Layer):
    """A convolution by im2col, a few images at a time, and relu in place if asked for.

    padding is ((top, bottom), (left, right)). Patches are gathered again for the kernel's
    gradient: they stay in cache, where all patches of a batch would not.
    """

    def __init__(
        self,
        parameters: Parameters,
        path: str,
        stride: int = 1,
        padding: tuple[tuple[int, int], ...] = ((0, 0), (0, 0)),
        relu: bool = False,
    ) -> None:
        super().__init__(parameters, path)
        self.kernel, self.d_kernel = self.p["kernel"]
        self.bias, self.d_bias = self.p.get("bias", (None, None))
        self.stride, self.padding, self.relu = stride, padding, relu

    def padded(self, x: Array, name: str) -> Array:
        """x inside zeros that are never written again; x itself without padding."""
        (top, bottom), (left, right) = self.padding
        n, h, w, c = x.shape
        if not any(map(any, self.padding)):
            return x
        buffer = self.buffer(name, (n, top + h + bottom, left + w + right, c))
        buffer[:, top : top + h, left : left + w] = x
        return buffer

    def taps(self, x: Array, height: int, width: int) -> Iterator[tuple[int, int, Array]]:
        """(i, j, the pixels that tap (i, j) of the kernel sees)."""
        s = self.stride
        for i in range(self.kernel.shape[0]):
            for j in range(self.kernel.shape[1]):
                yield i, j, x[:, i : i + s * height : s, j : j + s * width : s]

    def patches(self, x: Array) -> Array:
        """The im2col matrix of some images: (pixels, kh * kw * C)."""
        kh, kw, c, _ = self.kernel.shape
        _, h, w, _ = self.y.shape
        block = self.buffer("patches", (self.images, h, w, kh, kw, c))[: len(x)]
        for i, j, seen in self.taps(x, h, w):
            block[:, :, :, i, j] = seen
        return block.reshape(-1, kh * kw * c)

    def blocks(self) -> list[slice]:
        """The batch, some images at a time."""
        return [slice(k, k + self.images) for k in range(0, len(self.y), self.images)]

    def forward(self, x: Array, training: bool = True) -> Array:
        kh, kw, c, filters = self.kernel.shape
        self.input_shape, self.x = x.shape, self.padded(x, "padded")
        n, h, w = len(x), *((size - kh) // self.stride + 1 for size in self.x.shape[1:3])
        self.images = min(n, max(1, PATCH_BLOCK // (h * w * kh * kw * c)))
        self.y = y = self.buffer("y", (n, h, w, filters))
        kernel = self.kernel.reshape(-1, filters)
        for block in self.blocks():
            rows = y[block].reshape(-1, filters)
            np.matmul(self.patches(self.x[block]), kernel, out=rows)
            if self.bias is not None:
                rows += self.bias
            if self.relu:
                np.maximum(rows, 0, out=rows)
        return y

    def backward(self, dy: Array, needs_input: bool = True) -> Array:
        kh, kw, c, filters = self.kernel.shape
        _, h, w, _ = self.y.shape
        if self.relu:
            dy *= np.greater(self.y, 0, out=self.buffer("positive", self.y.shape, bool))
        if self.bias is not None:
            column_sums(dy.reshape(-1, filters), self.d_bias)
        flat, d_flat = self.kernel.reshape(-1, filters), self.d_kernel.reshape(-1, filters)
        d_flat[...] = 0
        dx = self.buffer("dx", self.x.shape)
        if needs_input:
            dx[...] = 0
        for block in self.blocks():
            patches, rows = self.patches(self.x[block]), dy[block].reshape(-1, filters)
            d_flat += patches.T @ rows
            if needs_input:
                np.matmul(rows, flat.T, out=patches)
                spread = patches.reshape(-1, h, w, kh, kw, c)
                for i, j, target in self.taps(dx[block], h, w):
                    target += spread[:, :, :, i, j]
        (top, _), (left, _) = self.padding
        _, height, width, _ = self.input_shape
        return dx[:, top : top + height, left : left + width]


class MaxPool(Layer):
    """The largest of each 2 x 2 window; rows and columns that fill none are left out."""

    def windows(self, x: Array) -> list[Array]:
        """The four views of x that a window's elements lie in."""
        n, h, w, c = x.shape
        x = x[:, : h // 2 * 2, : w // 2 * 2]
        return [x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]

    def forward(self, x: Array, training: bool = True) -> Array:
        a, b, c, d = self.windows(x)
        self.x, self.y = x, self.buffer("y", a.shape)
        np.maximum(a, b, out=self.y)
        np.maximum(self.y, c, out=self.y)
        return np.maximum(self.y, d, out=self.y)

    def backward(self, dy: Array) -> Array:
        dx = self.buffer("dx", self.x.shape)  # its last odd row and column stay 0
        left = self.buffer("left", dy.shape)
        left[...] = dy
        for x, target in zip(self.windows(self.x), self.windows(dx), strict=True):
            np.multiply(left, x == self.y, out=target)  # the first of equals takes it all
            left -= target
        return dx


class BatchNorm(Layer):
    """Normalization by the batch's statistics, with moving ones for inference."""

    momentum, epsilon = 0.99, 1e-3

    def forward(self, x: Array, training: bool = True) -> Array:
        rows = x.reshape(-1, x.shape[-1])
        gamma, beta = self.p["gamma"][0], self.p["beta"][0]
        moving_mean, moving_variance = self.p["moving_mean"][0], self.p["moving_variance"][0]
        self.z = z = self.buffer("z", rows.shape)
        y = self.buffer("y", rows.shape)
        if not training:
            scale = gamma / np.sqrt(moving_variance + self.epsilon)
            np.multiply(rows, scale, out=y)
            y += beta - moving_mean * scale
            return y.reshape(x.shape)
        mean, variance = np.empty_like(gamma), np.empty_like(gamma)
        column_sums(rows, mean)
        mean /= len(rows)
        np.subtract(rows, mean, out=z)
        np.einsum("nc,nc->c", z, z, out=variance)
        variance /= len(rows)
        self.inverse = 1 / np.sqrt(variance + self.epsilon)
        z *= self.inverse
        np.multiply(z, gamma, out=y)
        y += beta
        moving_mean += (1 - self.momentum) * (mean - moving_mean)
        moving_variance += (1 - self.momentum) * (variance - moving_variance)
        return y.reshape(x.shape)

    def backward(self, dy: Array) -> Array:
        (gamma, d_gamma), (_, d_beta) = self.p["gamma"], self.p["beta"]
        rows, z = dy.reshape(self.z.shape), self.z
        np.einsum("nc,nc->c", rows, z, out=d_gamma)
        column_sums(rows, d_beta)
        dx = self.buffer("dx", z.shape)
        np.multiply(z, d_gamma / -len(z), out=dx)
        dx += rows
        dx -= d_beta / len(z)
        dx *= gamma * self.inverse
        return dx.reshape(dy.shape)


class LayerNorm(Layer):
    """Normalization of the last axis."""

    epsilon = 1e-3

    def forward(self, x: Array, training: bool = True) -> Array:
        gamma, beta = self.p["gamma"][0], self.p["beta"][0]
        self.z, y = self.buffer("z", x.shape), self.buffer("y", x.shape)
        np.subtract(x, x.mean(-1, keepdims=True), out=self.z)
        variance = np.einsum("...c,...c->...", self.z, self.z) / x.shape[-1]
        self.inverse = (1 / np.sqrt(variance + self.epsilon))[..., None]
        self.z *= self.inverse
        np.multiply(self.z, gamma, out=y)
        y += beta
        return y

    def backward(self, dy: Array) -> Array:
        (gamma, d_gamma), (_, d_beta) = self.p["gamma"], self.p["beta"]
        size = dy.shape[-1]
        dx, work = self.buffer("dx", dy.shape), self.buffer("work", dy.shape)
        np.einsum("nc,nc->c", dy.reshape(-1, size), self.z.reshape(-1, size), out=d_gamma)
        column_sums(dy.reshape(-1, size), d_beta)
        np.multiply(dy, gamma, out=dx)
        along = np.einsum("...c,...c->...", dx, self.z)[..., None] / size
        np.multiply(self.z, along, out=work)
        dx -= dx.mean(-1, keepdims=True)
        dx -= work
        dx *= self.inverse
        return dx


class Embedding(Layer):
    """Rows of a table. The gradient is a table too, of which only the last rows are cleared."""

    def forward(self, x: Array, training: bool = True) -> Array:
        table, gradient = self.p["embeddings"]
        if training and hasattr(self, "ids"):
            gradient[self.ids] = 0
        self.ids = x.ravel()
        y = self.buffer("y", (*x.shape, table.shape[1]))
        return np.take(table, x, axis=0, out=y, mode="clip")

    def backward(self, dy: Array) -> Array:
        order = np.argsort(self.ids, kind="stable")
        ids = self.ids[order]
        first = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))
        rows = dy.reshape(len(ids), -1)[order]
        self.p["embeddings"][1][ids[first]] = np.add.reduceat(rows, first, axis=0)
        return dy


def softmax_crossentropy(logits: Array, labels: Array) -> tuple[float, Array]:
    """The mean loss of logits (..., classes), and its gradient in their place."""
    rows = logits.reshape(-1, logits.shape[-1])
    index = np.arange(len(rows)), labels.ravel()
    rows -= rows.max(-1, keepdims=True)
    chosen = rows[index]
    np.exp(rows, out=rows)
    total = rows.sum(-1, keepdims=True)
    loss = float(np.log(total).mean() - chosen.mean())
    rows /= total * len(rows)
    rows[index] -= 1 / len(rows)
    return loss, logits


class Adam:
    """Adam in place over one flat buffer, a block at a time so that it stays in cache."""

    block = 2**15

    def __init__(self, parameters: Array, gradients: Array, rate: float) -> None:
        self.parameters, self.gradients, self.rate, self.steps = parameters, gradients, rate, 0
        self.m, self.v = np.zeros_like(parameters), np.zeros_like(parameters)
        self.a, self.b = (np.empty(self.block, parameters.dtype) for _ in range(2))

    def update(self) -> None:
        self.steps += 1
        step_size = self.rate * math.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        for start in range(0, self.parameters.size, self.block):
            part = slice(start, start + self.block)
            g, m, v = self.gradients[part], self.m[part], self.v[part]
            a, b = self.a[: g.size], self.b[: g.size]
            m *= 0.9
            np.multiply(g, 0.1, out=a)
            m += a
            v *= 0.999
            np.multiply(g, g, out=a)
            a *= 0.001
            v += a
            np.sqrt(v, out=a)
            a += 1e-7
            np.divide(m, a, out=b)
            b *= step_size
            self.parameters[part] -= b

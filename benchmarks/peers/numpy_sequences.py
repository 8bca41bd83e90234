"""Recurrent layers and attention in NumPy as an expert writes them by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.peers.numpy_layers import Array, Dense, Layer, LayerNorm, Parameters, column_sums


class Lstm(Layer):
    """Keras' LSTM, gates i, f, c, o: (N, T, D) to (N, T, H), or (N, H) if only the last counts.

    The inputs' products of all steps are one product, and so are the kernels' gradients; one tanh
    serves all gates. Everything is kept time by time, so that a step's arrays are contiguous.
    """

    def __init__(self, parameters: Parameters, path: str, last: bool) -> None:
        super().__init__(parameters, path)
        self.kernel, self.d_kernel = self.p["kernel"]
        self.recurrent, self.d_recurrent = self.p["recurrent_kernel"]
        self.bias, self.d_bias = self.p["bias"]
        self.last, self.units = last, len(self.recurrent)
        self.scale = np.full(4 * self.units, 0.5, np.float32)
        self.scale[2 * self.units : 3 * self.units] = 1
        self.shift = 1 - self.scale

    def forward(self, x: Array, training: bool = True) -> Array:
        (n, steps, features), h = x.shape, self.units
        self.x = self.buffer("x", (steps, n, features))
        self.x[...] = x.swapaxes(0, 1)
        self.gates = gates = self.buffer("gates", (steps, n, 4 * h))
        np.matmul(self.x.reshape(-1, features), self.kernel, out=gates.reshape(-1, 4 * h))
        gates += self.bias
        self.hidden = self.buffer("hidden", (steps + 1, n, h))  # the first are never written: 0
        self.cell = self.buffer("cell", (steps + 1, n, h))
        self.squashed = self.buffer("squashed", (steps, n, h))
        product, work = self.buffer("product", (n, 4 * h)), self.buffer("work", (n, h))
        for t in range(steps):
            gate, cell = gates[t], self.cell[t + 1]
            np.matmul(self.hidden[t], self.recurrent, out=product)
            gate += product
            gate *= self.scale
            np.tanh(gate, out=gate)
            gate *= self.scale
            gate += self.shift
            np.multiply(gate[:, h : 2 * h], self.cell[t], out=cell)
            cell += np.multiply(gate[:, :h], gate[:, 2 * h : 3 * h], out=work)
            np.tanh(cell, out=self.squashed[t])
            np.multiply(gate[:, 3 * h :], self.squashed[t], out=self.hidden[t + 1])
        if self.last:
            return self.hidden[-1]
        y = self.buffer("y", (n, steps, h))
        y[...] = self.hidden[1:].swapaxes(0, 1)
        return y

    def backward(self, dy: Array, needs_input: bool = True) -> Array:
        steps, n, features = self.x.shape
        h, gates = self.units, self.gates
        d_gates = self.buffer("d_gates", gates.shape)
        i, f, c, o = (gates[..., k * h : (k + 1) * h] for k in range(4))
        # How each gate's input acts on the cell (the last: on the output), for all steps at once.
        np.subtract(1, gates, out=d_gates)
        d_gates *= gates
        d_gates[..., :h] *= c
        d_gates[..., h : 2 * h] *= self.cell[:-1]
        candidate = d_gates[..., 2 * h : 3 * h]
        np.multiply(c, c, out=candidate)
        np.subtract(1, candidate, out=candidate)
        candidate *= i
        d_gates[..., 3 * h :] *= self.squashed
        slope = self.buffer("slope", self.squashed.shape)
        np.multiply(self.squashed, self.squashed, out=slope)
        np.subtract(1, slope, out=slope)
        slope *= o
        d_hidden, d_cell = self.buffer("d_hidden", (n, h)), self.buffer("d_cell", (n, h))
        work = self.buffer("work", (n, h))
        d_hidden[...], d_cell[...] = (dy if self.last else 0), 0
        for t in reversed(range(steps)):
            if not self.last:
                d_hidden += dy[:, t]
            d_cell += np.multiply(d_hidden, slope[t], out=work)
            by_gate = d_gates[t].reshape(n, 4, h)
            by_gate[:, :3] *= d_cell[:, None]
            by_gate[:, 3] *= d_hidden
            d_cell *= f[t]
            np.matmul(d_gates[t], self.recurrent.T, out=d_hidden)
        rows = d_gates.reshape(-1, 4 * h)
        np.matmul(self.x.reshape(-1, features).T, rows, out=self.d_kernel)
        np.matmul(self.hidden[:-1].reshape(-1, h).T, rows, out=self.d_recurrent)
        column_sums(rows, self.d_bias)
        if not needs_input:
            return rows
        dx, by_time = self.buffer("dx", (n, steps, features)), self.buffer("by_time", self.x.shape)
        np.matmul(rows, self.kernel.T, out=by_time.reshape(-1, features))
        dx[...] = by_time.swapaxes(0, 1)
        return dx


class Attention(Layer):
    """Causal multi-head self-attention; the projections to queries, keys, values are Dense."""

    def __init__(self, parameters: Parameters, path: str) -> None:
        super().__init__()
        width = len(parameters[f"{path}.query.kernel"][0])
        self.heads = parameters[f"{path}.query.kernel"][0].shape[1]
        flat = {
            name: tuple(
                each.reshape((width, -1) if name.endswith("kernel") else -1) for each in pair
            )
            for name, pair in parameters.items()
            if name.startswith(path)
        }
        # The output's kernel (heads, size, width) is flat by its first two axes.
        name = f"{path}.output.kernel"
        flat[name] = tuple(each.reshape(-1, width) for each in parameters[name])
        views: Any = flat
        self.query, self.key, self.value, self.output = (
            Dense(views, f"{path}.{name}") for name in ("query", "key", "value", "output")
        )

    def split(self, x: Array, name: str) -> Array:
        """(N, T, width) to (N, heads, T, size), contiguous."""
        n, steps, width = x.shape
        y = self.buffer(name, (n, self.heads, steps, width // self.heads))
        y[...] = x.reshape(n, steps, self.heads, -1).swapaxes(1, 2)
        return y

    def join(self, x: Array, name: str) -> Array:
        """The inverse of split()."""
        n, heads, steps, size = x.shape
        y = self.buffer(name, (n, steps, heads * size))
        y.reshape(n, steps, heads, size)[...] = x.swapaxes(1, 2)
        return y

    def forward(self, x: Array, training: bool = True) -> Array:
        n, steps, width = x.shape
        self.q = self.split(self.query.forward(x), "q")
        self.k = self.split(self.key.forward(x), "k")
        self.v = self.split(self.value.forward(x), "v")
        self.size = math.sqrt(width // self.heads)
        self.q /= np.float32(self.size)
        weights = self.buffer("weights", (n, self.heads, steps, steps))
        np.matmul(self.q, self.k.swapaxes(2, 3), out=weights)
        weights += np.triu(np.full((steps, steps), -1e9, np.float32), 1)
        weights -= weights.max(-1, keepdims=True)
        np.exp(weights, out=weights)
        weights /= weights.sum(-1, keepdims=True)
        self.weights = weights
        means = np.matmul(weights, self.v, out=self.buffer("means", self.v.shape))
        return self.output.forward(self.join(means, "joined"))

    def backward(self, dy: Array) -> Array:
        d_means = self.split(self.output.backward(dy).reshape(dy.shape), "d_means")
        d_weights = self.buffer("d_weights", self.weights.shape)
        np.matmul(d_means, self.v.swapaxes(2, 3), out=d_weights)
        dv = np.matmul(self.weights.swapaxes(2, 3), d_means, out=self.buffer("dv", self.v.shape))
        d_weights -= np.einsum("nhts,nhts->nht", d_weights, self.weights)[..., None]
        d_weights *= self.weights
        dq = np.matmul(d_weights, self.k, out=self.buffer("dq", self.q.shape))
        dq /= np.float32(self.size)
        dk = np.matmul(d_weights.swapaxes(2, 3), self.q, out=self.buffer("dk", self.k.shape))
        dx = self.query.backward(self.join(dq, "dq_joined"))
        dx += self.key.backward(self.join(dk, "dk_joined"))
        dx += self.value.backward(self.join(dv, "dv_joined"))
        return dx


class Gelu(Layer):
    """The tanh form of gelu."""

    factor, cubic = math.sqrt(2 / math.pi), 0.044715

    def forward(self, x: Array, training: bool = True) -> Array:
        self.x, self.tanh, y = x, self.buffer("tanh", x.shape), self.buffer("y", x.shape)
        np.multiply(x, x, out=self.tanh)
        self.tanh *= self.factor * self.cubic
        self.tanh += self.factor
        self.tanh *= x
        np.tanh(self.tanh, out=self.tanh)
        np.add(self.tanh, 1, out=y)
        y *= x
        y *= 0.5
        return y

    def backward(self, dy: Array) -> Array:
        x, tanh, slope = self.x, self.tanh, self.buffer("slope", dy.shape)
        inner = self.buffer("inner", dy.shape)
        np.multiply(x, x, out=inner)
        inner *= 3 * self.factor * self.cubic
        inner += self.factor
        inner *= x
        np.multiply(tanh, tanh, out=slope)
        np.subtract(1, slope, out=slope)
        slope *= inner
        slope += tanh
        slope += 1
        slope *= 0.5
        slope *= dy
        return slope


class TransformerBlock(Layer):
    """Attention and a wide layer, each behind a layer norm and added to its input."""

    def __init__(self, parameters: Parameters, path: str) -> None:
        super().__init__()
        self.norm1 = LayerNorm(parameters, f"{path}.norm1")
        self.attention = Attention(parameters, f"{path}.attention")
        self.norm2 = LayerNorm(parameters, f"{path}.norm2")
        self.expand = Dense(parameters, f"{path}.expand")
        self.gelu = Gelu()
        self.contract = Dense(parameters, f"{path}.contract")

    def forward(self, x: Array, training: bool = True) -> Array:
        a = self.attention.forward(self.norm1.forward(x))
        a += x
        z = self.contract.forward(self.gelu.forward(self.expand.forward(self.norm2.forward(a))))
        z += a
        return z

    def backward(self, dy: Array) -> Array:
        d_wide = self.gelu.backward(self.contract.backward(dy).reshape(self.gelu.x.shape))
        da = self.norm2.backward(self.expand.backward(d_wide))
        da += dy
        dx = self.norm1.backward(self.attention.backward(da))
        dx += da
        return dx

"""Activations and their gradients in reused memory. A gradient may be written over dy."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from specc.backends.numpy.prelude.activations import erf_block
from specc.backends.numpy.prelude_fast.memory import empty
from specc.backends.numpy.prelude_fast.threads import map_parts, sample_parts


def relu(x: np.ndarray) -> np.ndarray:
    """max(x, 0), element by element."""
    y = empty(x.shape, x.dtype)
    map_parts(lambda part: np.maximum(x[part], 0, out=y[part]), sample_parts(x))
    return y


def relu_gradient(dy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Gradient of relu from its result y; at 0 it is 0."""
    dx = empty(dy.shape, dy.dtype) if out is None else out

    def gradient(part: slice) -> None:
        positive = np.greater(y[part], 0, out=empty(y[part].shape, np.bool_))
        np.multiply(dy[part], positive, out=dx[part])

    map_parts(gradient, sample_parts(y))
    return dx


def normal_distribution(x: np.ndarray) -> np.ndarray:
    """The standard normal distribution function of a flat array."""
    y = erf_block(x * 0.7071067811865476)
    y += 1
    y *= 0.5
    return y


def flat_parts(x: np.ndarray) -> Iterator[slice]:
    """Slices of 2**14 numbers of the flat x: what is computed in many steps stays in the cache."""
    for start in range(0, x.size, 2**14):
        yield slice(start, start + 2**14)


def gelu(x: np.ndarray) -> np.ndarray:
    """x times the standard normal distribution function of x."""
    y, flat = empty((x.size,), x.dtype), x.reshape(-1)
    for part in flat_parts(x):
        np.multiply(flat[part], normal_distribution(flat[part]), out=y[part])
    return y.reshape(x.shape)


def gelu_gradient(dy: np.ndarray, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Gradient of gelu from its input x: the distribution plus x times the density."""
    if out is None or not out.flags.c_contiguous:  # it is written as one row of numbers
        out = empty(dy.shape, dy.dtype)
    flat_dy, flat, flat_dx = dy.reshape(-1), x.reshape(-1), out.reshape(-1)
    for part in flat_parts(x):
        slope = flat[part] * flat[part]
        slope *= -0.5
        np.exp(slope, out=slope)
        slope *= 0.3989422804014327
        slope *= flat[part]
        slope += normal_distribution(flat[part])
        np.multiply(flat_dy[part], slope, out=flat_dx[part])
    return out


def gelu_bend(x: np.ndarray, into: np.ndarray) -> np.ndarray:
    """Writes tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)) to `into`."""
    np.multiply(x, x, out=into)
    into *= 0.035677408136300125
    into += 0.7978845608028654
    into *= x
    np.tanh(into, out=into)
    return into


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    """The approximation of gelu by tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))."""
    y = empty(x.shape, x.dtype)

    def values(part: slice) -> None:
        bend = gelu_bend(x[part], y[part])
        bend += 1
        bend *= 0.5
        bend *= x[part]

    map_parts(values, sample_parts(x))
    return y


def gelu_tanh_gradient(dy: np.ndarray, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Gradient of gelu_tanh from its input x."""
    dx = empty(dy.shape, dy.dtype) if out is None else out

    def gradient(part: slice) -> None:
        inner, bend = empty((2, *x[part].shape), x.dtype)
        gelu_bend(x[part], bend)
        np.multiply(x[part], x[part], out=inner)
        inner *= 0.10703222440890037
        inner += 0.7978845608028654
        inner *= x[part]
        inner *= 1 - bend * bend
        bend += 1
        bend += inner
        bend *= 0.5
        np.multiply(dy[part], bend, out=dx[part])

    map_parts(gradient, sample_parts(x))
    return dx


def by_parts(function: Callable[..., np.ndarray], x: np.ndarray, *others: Any) -> np.ndarray:
    """function(x, *others), element by element, in parts.

    What it computes on the way stays in the cache.
    """
    y = empty(x.shape, x.dtype)

    def compute(part: slice) -> None:
        given = (each[part] if isinstance(each, np.ndarray) else each for each in others)
        y[part] = function(x[part], *given)

    map_parts(compute, sample_parts(x))
    return y

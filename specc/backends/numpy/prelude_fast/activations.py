"""Activations and their gradients in reused memory. A gradient may be written over dy."""

from collections.abc import Iterator

import numpy as np

from specc.backends.numpy.prelude.activations import erf_block
from specc.backends.numpy.prelude_fast.memory import empty


def relu(x: np.ndarray) -> np.ndarray:
    """max(x, 0), element by element."""
    y = empty(x.shape, x.dtype)
    np.maximum(x, 0, out=y)
    return y


def relu_gradient(dy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Gradient of relu from its result y; at 0 it is 0."""
    dx = empty(dy.shape, dy.dtype) if out is None else out
    np.multiply(dy, np.greater(y, 0, out=empty(y.shape, np.bool_)), out=dx)
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

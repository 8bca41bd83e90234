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


# erf(x) / x as a ratio of polynomials in x * x where |x| < 4, for float32 (from Eigen).
FLOAT32_ERF_NUMERATOR = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
FLOAT32_ERF_DENOMINATOR = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)


def float32_erf(x: np.ndarray) -> np.ndarray:
    """erf of a flat float32 array to 4e-7."""
    near = np.clip(x, -4, 4)
    square = near * near
    above: np.ndarray = np.full_like(square, FLOAT32_ERF_NUMERATOR[0])
    for coefficient in FLOAT32_ERF_NUMERATOR[1:]:
        above *= square
        above += coefficient
    below = np.full_like(square, FLOAT32_ERF_DENOMINATOR[0])
    for coefficient in FLOAT32_ERF_DENOMINATOR[1:]:
        below *= square
        below += coefficient
    above *= near
    above /= below
    return above


def normal_distribution(x: np.ndarray) -> np.ndarray:
    """The standard normal distribution function of a flat array."""
    z = x * 0.7071067811865476
    y: np.ndarray = float32_erf(z) if x.dtype == np.float32 else erf_block(z)
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

"""Products with kernels."""

import numpy as np

from specc.backends.numpy.prelude_fast.memory import empty
from specc.backends.numpy.prelude_fast.threads import map_parts, quarters, sample_parts


def multiply(a: np.ndarray, b: np.ndarray, into: np.ndarray) -> None:
    """Writes the product of two matrices to `into`: a large one in four parts, side by side."""
    rows, columns = into.shape
    if rows * columns * len(b) < 2**23:
        np.matmul(a, b, out=into)
        return

    def compute(part: slice) -> None:
        if rows >= columns:
            np.matmul(a[part], b, out=into[part])
        else:
            np.matmul(a, b[:, part], out=into[:, part])

    map_parts(compute, quarters(max(rows, columns)))


def affine(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None = None, *, relu: bool = False
) -> np.ndarray:
    """x (..., D) @ kernel (D, K), as one product over all rows.

    bias (K,) is added. relu puts 0 in the place of what is negative.
    """
    y = empty((*x.shape[:-1], kernel.shape[1]), x.dtype)
    multiply(x.reshape(-1, x.shape[-1]), kernel, y.reshape(-1, y.shape[-1]))  #: shared
    np.matmul(x.reshape(-1, x.shape[-1]), kernel, out=y.reshape(-1, y.shape[-1]))  #: alone
    if bias is not None:
        y += bias
    if relu:
        np.maximum(y, 0, out=y)
    return y


def affine_kernel_gradient(x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Gradient of affine with respect to its kernel: x (..., D), dy (..., K) to (D, K)."""
    dkernel = empty((x.shape[-1], dy.shape[-1]), dy.dtype)
    rows, drows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    multiply(rows.T, drows, dkernel)  #: shared
    np.matmul(rows.T, drows, out=dkernel)  #: alone
    return dkernel


def added(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """a + b, where they have the same shape. It may be written over one of them."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return np.asarray(a + b)
    y = empty(a.shape, a.dtype) if out is None else out
    map_parts(lambda part: np.add(a[part], b[part], out=y[part]), sample_parts(a))
    return y

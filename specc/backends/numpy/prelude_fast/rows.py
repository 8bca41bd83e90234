"""The largest number and the sum of each row, which NumPy is slow to find in short rows."""

import numpy as np


def row_maxima(x: np.ndarray) -> np.ndarray:
    """The largest of each row of x (..., S), as (..., 1): that of its halves, again and again."""
    while x.shape[-1] > 8 and x.shape[-1] % 2 == 0:
        half = x.shape[-1] // 2
        x = np.maximum(x[..., :half], x[..., half:])
    return np.asarray(x.max(axis=-1, keepdims=True))


def row_sums(x: np.ndarray) -> np.ndarray:
    """The sum of each row of x (..., S), as (..., 1): a product with ones."""
    return x @ np.ones((x.shape[-1], 1), x.dtype)

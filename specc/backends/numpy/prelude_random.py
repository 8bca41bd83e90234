"""Dropout masks of generated NumPy files."""

import math

import numpy as np
from numpy.typing import DTypeLike

from specc.backends.prelude_shared import scramble, step_key


def dropout_mask(
    shape: tuple[int, ...], rate: float, key: int, step: int, dtype: DTypeLike, first_row: int = 0
) -> np.ndarray:
    """A mask of 0 and 1 / (1 - rate), the same on every backend; 0 <= rate < 1.

    Element e of the global batch, counted over the spec's layout, is kept where 16-bit lane e % 4
    of word e // 4 of the step's stream is below round((1 - rate) * 65536). This part of the batch
    starts at row first_row.
    """
    size = math.prod(shape)
    word, skip = divmod(first_row * math.prod(shape[1:]), 4)
    words = -(-(skip + size) // 4)
    threshold = round((1 - rate) * 65536)
    key = step_key(key, step)
    mask: np.ndarray = np.empty(4 * words, dtype)
    scale = np.array(1 / (1 - rate), dtype)  # a Python float would be multiplied in float64
    block = 16384  # words: the arrays of a block stay in the cache
    counter = np.arange(min(words, block), dtype=np.uint64) * 0x9E3779B97F4A7C15
    for start in range(0, words, block):
        part = mask[4 * start : 4 * (start + block)]
        first = (key + (word + start) * 0x9E3779B97F4A7C15) % 2**64
        lanes = scramble(counter[: part.size // 4] + first).view(np.uint16)
        np.multiply(lanes < threshold, scale, out=part)
    return mask[skip : skip + size].reshape(shape)


def dropout(
    x: np.ndarray, rate: float, key: int, step: int, first_row: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Inverted dropout of x, in the spec's layout, and its mask; (key, step) alone decide it."""
    mask = dropout_mask(x.shape, rate, key, step, x.dtype, first_row)
    return x * mask, mask

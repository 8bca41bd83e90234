"""Memory that is used again."""

import math
import sys
from typing import Any

import numpy as np

MEMORY: dict[int, list[np.ndarray]] = {}


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of any content, as np.empty, in memory that nothing refers to any more if there is.

    A step finds what the step before it has given back: new memory from the system costs more than
    most computations in it.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    blocks = MEMORY.setdefault(size, [])
    for block in blocks:
        if sys.getrefcount(block) == 3:  # by the list, by the loop and as an argument
            return np.ndarray(shape, dtype, block)
    blocks.append(np.empty(size, np.uint8))
    return np.ndarray(shape, dtype, blocks[-1])

"""Memory that is used again."""

import math
import sys
import threading
from typing import Any

import numpy as np

MEMORY = threading.local()  # each thread has its own: two never take the same block


def references(blocks: list[np.ndarray]) -> int:
    """How many references to its first block a list of blocks makes, and the loop that looks."""
    for block in blocks:
        return sys.getrefcount(block)
    return 0


UNUSED = references([np.empty(0)])  # it depends on the version of Python


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of any content, as np.empty, in memory that nothing refers to any more if there is.

    A step finds what the step before it has given back: new memory from the system costs more than
    most computations in it.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    held = vars(MEMORY)
    if size not in held and len(held) >= 512:  # sizes of other batches
        held.clear()
    blocks = held.setdefault(size, [])
    for block in blocks:
        if sys.getrefcount(block) == UNUSED:
            return np.ndarray(shape, dtype, block)
    blocks.append(np.empty(size, np.uint8))
    return np.ndarray(shape, dtype, blocks[-1])

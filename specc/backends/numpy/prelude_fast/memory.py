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


def free_block(blocks: list[np.ndarray]) -> np.ndarray | None:
    """One of the blocks that nothing refers to any more, if there is one."""
    for block in blocks:
        if sys.getrefcount(block) == UNUSED:
            return block
    return None


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of any content, as np.empty, in memory that nothing refers to any more if there is.

    A step finds what the step before it has given back: new memory from the system costs more than
    most computations in it.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    held: dict[Any, list[np.ndarray]] = vars(MEMORY)
    block = free_block(held.get(size, []))
    if block is None:  # a larger one will do, if it is not much too large
        larger = sorted(each for each in held if size < each <= 4 * size)
        block = next((b for each in larger if (b := free_block(held[each])) is not None), None)
    if block is None:
        if len(held) >= 512:  # sizes of other batches
            held.clear()
        for each in sorted(held, reverse=True):  # it serves in the place of a smaller one, too
            if size <= 4 * each < 4 * size and (unused := free_block(held[each])) is not None:
                held[each] = [other for other in held[each] if other is not unused]
                break
        block = np.empty(size, np.uint8)
        held.setdefault(size, []).append(block)
    return np.ndarray(shape, dtype, block)

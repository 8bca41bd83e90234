"""Walking through arrays in blocks that stay in the cache."""

from collections.abc import Iterator, Sequence

import numpy as np

from specc.backends.numpy.prelude_fast.memory import empty


def array_blocks(
    arrays: Sequence[np.ndarray], temporaries: int
) -> Iterator[tuple[np.ndarray, ...]]:
    """Blocks of 2**16 numbers of arrays of one shape, and arrays for what is computed from them."""
    flat = [array.reshape(-1) for array in arrays]
    spare = empty((temporaries, min(flat[0].size, 2**16)), flat[0].dtype)
    for start in range(0, flat[0].size, 2**16):
        block = [array[start : start + 2**16] for array in flat]
        yield *block, *spare[:, : block[0].size]

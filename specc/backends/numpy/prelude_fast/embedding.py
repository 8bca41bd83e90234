"""The gradient of a table of embeddings, in reused memory."""

import numpy as np

from specc.backends.numpy.prelude_fast.memory import empty


def embedding_gradient(
    ids: np.ndarray, dy: np.ndarray, rows: int, padding: int | None = None
) -> np.ndarray:
    """Gradient of table[ids] with respect to the table: ids (...), dy (..., D) to (rows, D).

    The rows of dy are sorted by id and summed in runs, in their order in the batch. The row
    ``padding`` gets none.
    """
    flat_ids = ids.reshape(-1)
    order = np.argsort(flat_ids, kind="stable")
    sorted_ids = flat_ids[order]
    starts = np.flatnonzero(np.diff(sorted_ids, prepend=-1))
    sorted_dy = empty((len(order), dy.shape[-1]), dy.dtype)
    np.take(dy.reshape(-1, dy.shape[-1]), order, axis=0, out=sorted_dy)
    table_gradient = empty((rows, dy.shape[-1]), dy.dtype)
    table_gradient[...] = 0
    table_gradient[sorted_ids[starts]] = np.add.reduceat(sorted_dy, starts, axis=0)
    if padding is not None:
        table_gradient[padding] = 0
    return table_gradient

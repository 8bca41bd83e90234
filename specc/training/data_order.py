"""The order of examples, for the compiler's side: the very functions that generated files carry."""

from __future__ import annotations

import numpy as np

from specc.backends.prelude_shared import batch_order, random_words, stream_key

__all__ = ["batch_order", "permutation", "stream_key"]


def permutation(key: int, count: int) -> np.ndarray:
    """A random order of range(count): it sorts the stream's words, equal ones by index."""
    return np.argsort(random_words(key, count), kind="stable")

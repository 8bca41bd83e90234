"""The order of examples, for the compiler's side: the very functions that generated files carry."""

from __future__ import annotations

from specc.backends.prelude_shared import batch_order, permutation, stream_key

__all__ = ["batch_order", "permutation", "stream_key"]

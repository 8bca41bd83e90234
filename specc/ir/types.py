"""Tensor types."""

from __future__ import annotations

from dataclasses import dataclass

from specc.ir.dims import BATCH, Dim, format_shape

DTYPES = ("float", "int", "bool")


@dataclass(frozen=True)
class TensorType:
    """A tensor's element type and shape; axis 0 is the batch. ``float`` is the precision of the
    program.
    """

    dtype: str
    shape: tuple[Dim, ...]

    @property
    def rank(self) -> int:
        return len(self.shape)

    def __str__(self) -> str:
        """As a spec writes it: ``float[28, 28, 1]``, the batch implied."""
        inner = self.shape[1:] if self.shape and self.shape[0] == BATCH else self.shape
        return f"{self.dtype}[{', '.join(map(str, inner))}]"

    def comment(self) -> str:
        return format_shape(self.shape)

    def permuted(self, axes: tuple[int, ...]) -> TensorType:
        return TensorType(self.dtype, tuple(self.shape[axis] for axis in axes))

"""Prepared values in the shape and type that the spec declares."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specc.data.steps import Column, DataProblem

Arrays = dict[str, NDArray[Any]]
# A declared array: the shape of one row (what is not an integer is a free size), and float, int or
# bool.
Declared = tuple[tuple[Any, ...], str]


def conform(
    column: Column, declared: Declared, dtype: str, bound: int | None = None
) -> NDArray[Any]:
    """The values in the declared shape and type.

    Axes of size 1 are added or left out as declared; nothing else is reshaped.

    Raises:
        DataProblem: E0808 for a shape that does not fit, E0809 for text, fractions or labels out of
            bounds, E0810 for missing values.
    """
    if column.is_text:
        raise DataProblem(f"text cannot be {declared[1]}", code="E0809", about="type")
    values = _shaped(column.values, declared[0])
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        bad = np.argwhere(~np.isfinite(values))
        raise DataProblem(
            f"{len(bad)} values are missing or infinite",
            "say what to do about them with 'missing: drop', 'forward_fill' or 'mean' in prepare",
            int(bad[0][0]),
            "E0810",
        )
    if declared[1] == "float":
        return values.astype(dtype)
    with np.errstate(invalid="ignore"):  # what does not fit 64 bits differs from its cast
        whole = values.astype(np.int64)
    limit = 2 if declared[1] == "bool" else bound
    checks = [(whole != values, "is not a whole number, which the spec declares", "type")]
    if limit is not None:
        outside = (whole < 0) | (whole >= limit)
        checks.append((outside, f"is outside 0 to {limit - 1}", "bound"))
    for wrong, what, about in checks:
        if wrong.any():
            place = np.argwhere(wrong)[0]
            message = f"the value {values[tuple(place)]:g} {what}"
            raise DataProblem(message, "", int(place[0]), "E0809", about)
    return whole.astype(bool) if declared[1] == "bool" else whole


def _shaped(values: NDArray[Any], shape: tuple[Any, ...]) -> NDArray[Any]:
    found = values.shape[1:]
    sizes = [size for size in found if size != 1]
    wanted = [size for size in shape if size != 1]
    fits = len(found) == len(shape) and all(
        want == size or not isinstance(want, int) for want, size in zip(shape, found, strict=True)
    )
    if fits:
        return values
    if len(sizes) == len(wanted) and all(
        want == size or not isinstance(want, int) for want, size in zip(wanted, sizes, strict=True)
    ):
        rest = iter(sizes)
        return values.reshape(len(values), *(1 if size == 1 else next(rest) for size in shape))
    help_text = ""
    if all(isinstance(size, int) for size in shape) and np.prod(found) == np.prod(shape):
        help_text = f"put 'reshape: {list(shape)}' in prepare"
    declared = f"[{', '.join(map(str, shape))}]"
    message = f"each row has shape {list(found)}, but the spec declares {declared}"
    raise DataProblem(message, help_text, code="E0808", about="type")


def aligned(columns: Mapping[str, Column]) -> Arrays:
    """The values of the rows that all columns (one at least) have."""
    common = reduce(np.intersect1d, (column.rows for column in columns.values()))
    return {name: column.values[np.isin(column.rows, common)] for name, column in columns.items()}

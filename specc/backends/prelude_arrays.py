"""Framework-free functions over dictionaries of arrays, for the training section of generated files."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


def check_names(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raises ValueError that lists missing, unknown and wrongly shaped arrays."""
    problems = [f"missing: {name}" for name in wanted if name not in given]
    problems += [f"unknown: {name}" for name in given if name not in wanted]
    problems += [
        f"{name} has shape {np.shape(given[name])}, not {np.shape(wanted[name])}"
        for name in wanted
        if name in given and np.shape(given[name]) != np.shape(wanted[name])
    ]
    if problems:
        raise ValueError("; ".join(problems))


def slices(arrays: Mapping[str, Any], batch_size: int) -> Iterator[slice]:
    """Consecutive batches of rows; one empty batch where there are none."""
    count = len(next(iter(arrays.values())))
    for start in range(0, max(count, 1), batch_size):
        yield slice(start, min(start + batch_size, count))


def rows_of(arrays: Mapping[str, Any], rows: Any) -> dict[str, Any]:
    """Those rows of every array."""
    return {name: array[rows] for name, array in arrays.items()}


def means(totals: dict[str, Any]) -> dict[str, float]:
    """An epoch's means from its sums; reading them waits for the device."""
    count = totals.pop("count", 1)
    return {name: float(total) / count for name, total in totals.items()}

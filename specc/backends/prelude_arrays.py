"""Framework-free functions over dictionaries of arrays, for the training section of generated
files.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


def check_names(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raises ValueError that lists every missing, unknown or wrongly shaped array."""
    want = {name: np.shape(array) for name, array in wanted.items()}
    have = {name: np.shape(array) for name, array in given.items()}
    wrong = [name for name in want | have if want.get(name) != have.get(name)]
    if wrong:
        found = "; ".join(f"{n}: wanted {want.get(n)}, given {have.get(n)}" for n in wrong)
        raise ValueError(f"arrays and their shapes do not match: {found}")


def slices(arrays: Mapping[str, Any], batch_size: int) -> Iterator[slice]:
    """Consecutive batches of rows; one empty batch where there are none."""
    count = len(next(iter(arrays.values())))
    for start in range(0, max(count, 1), batch_size):
        yield slice(start, min(start + batch_size, count))


def rows_of(arrays: Mapping[str, Any], rows: Any) -> dict[str, Any]:
    """Those rows of every array."""
    return {name: array[rows] for name, array in arrays.items()}


def epoch_means(totals: dict[str, Any]) -> dict[str, float]:
    """An epoch's means from its sums; reading them waits for the device."""
    count = totals.pop("samples", 1)
    return {name: float(total) / count for name, total in totals.items()}

"""Dividing the rows of a source into training, validation and test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from specc.data.steps import DataProblem
from specc.ops.attributes import Attribute, AttributeProblem, Choice, Integer, Kind, Optional, Text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Share(Kind):
    """A part of the rows: a share below 1, or a number of rows."""

    def wants(self) -> str:
        return "a share of the rows between 0 and 1, or a number of rows"

    def parse(self, value: Any) -> float | int:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not (0 <= value < 1 or float(value).is_integer() and value > 0):
            raise AttributeProblem(f"{value!r} is not {self.wants()}")
        return int(value) if value >= 1 else float(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": 0}


@dataclass(frozen=True)
class Flag(Kind):
    """true, false, or the name of a target."""

    def wants(self) -> str:
        return "true, false, or the name of a target"

    def parse(self, value: Any) -> bool | str:
        if not isinstance(value, bool | str):
            raise AttributeProblem(f"{value!r} is not {self.wants()}")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": ["boolean", "string"]}


SPLIT: tuple[Attribute, ...] = (
    Attribute("validation", Share(), 0.0, "rows set aside to validate on: a share, or a number"),
    Attribute("test", Share(), 0.0, "rows set aside to test on: a share, or a number"),
    Attribute(
        "stratify",
        Flag(),
        False,
        "true (or a target's name): every class keeps its share in every part",
    ),
    Attribute(
        "by",
        Choice(("random", "time")),
        "random",
        "random: drawn from the seed; time: the last rows test, earlier ones validate",
    ),
    Attribute("column", Optional(Text()), None, "by time: the column whose values order the rows"),
    Attribute("seed", Optional(Integer(0)), None, "of the draw; by default the seed of the spec"),
)


def conflicts(values: dict[str, Any], has_test: bool) -> list[tuple[str, str, str]]:
    """(attribute, message, help) of what does not fit together in a split."""
    found = []
    by_time = values["by"] == "time"
    if has_test and values["test"]:
        message = "the data bring their own test part, so the split cannot cut off another"
        found.append(("test", message, "leave out either 'test:' or split's 'test'"))
    if by_time and values["stratify"]:
        message = "a split by time takes the last rows as they are: it cannot be stratified"
        found.append(("stratify", message, "leave out 'stratify', or write by: random"))
    if values["column"] is not None and not by_time:
        message = "'column' orders the rows of a split by time"
        found.append(("column", message, "write by: time"))
    if isinstance(values["validation"], float) and isinstance(values["test"], float):
        together = values["validation"] + values["test"]
        if together >= 1:
            message = f"validation and test take {together:g} of the rows: none is left to train on"
            found.append(("test" if values["test"] else "validation", message, ""))
    return found


def divide(
    split: dict[str, Any],
    count: int,
    seed: int,
    classes: NDArray[Any] | None,
    times: NDArray[Any] | None,
) -> dict[str, Rows]:
    """The row numbers of each part, in the order of the source (by time: in that of ``times``).

    Args:
        split: the parsed attributes of SPLIT.
        count: rows in all.
        seed: decides a random split, together with nothing else.
        classes: (count,) the class of each row if the split is stratified.
        times: (count,) what orders the rows of a split by time, if not their place in the source.

    Raises:
        DataProblem: if no row is left to train on.
    """
    import numpy as np

    test, validation = (_rows(split[name], count) for name in ("test", "validation"))
    if count - test - validation < 1:
        raise DataProblem(
            f"{test} rows to test and {validation} to validate leave none of {count} to train on",
            code="E0811",
        )
    if split["by"] == "time":
        order = np.arange(count) if times is None else np.argsort(times, kind="stable")
        order = order[::-1]  # the first of the order are set aside
    else:
        order = _drawn(count, seed if split["seed"] is None else split["seed"], classes)
    cuts = {
        "train": order[test + validation :],
        "validation": order[test : test + validation],
        "test": order[:test],
    }
    if split["by"] == "time":
        return {part: rows[::-1] for part, rows in cuts.items()}
    return {part: np.sort(rows) for part, rows in cuts.items()}


def _rows(share: float | int, count: int) -> int:
    """A share of the rows to the nearest whole number, halves up; a number of rows as it is."""
    return share if isinstance(share, int) else int(share * count + 0.5)


def _drawn(count: int, seed: int, classes: NDArray[Any] | None) -> Rows:
    """A random order; with classes, one whose every beginning holds the classes in their shares."""
    import numpy as np

    from specc.training.data_order import permutation, stream_key

    order = permutation(stream_key(seed, "split"), count)
    if classes is None:
        return order
    _, index, sizes = np.unique(classes[order], return_inverse=True, return_counts=True)
    by_class = np.argsort(index, kind="stable")
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(count, dtype=np.int64)
    rank[by_class] = np.arange(count) - np.repeat(starts, sizes)
    # The k-th row of a class of n stands at (k + 1/2) / n of the whole.
    return order[np.argsort((rank + 0.5) / sizes[index], kind="stable")]

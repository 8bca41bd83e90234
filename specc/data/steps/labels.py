"""Steps on labels: names to numbers, and numbers to indicator vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from specc.data.steps.base import Column, DataProblem, Names, State, Step, check_size
from specc.diagnostics import did_you_mean
from specc.ops.attributes import Attribute, Integer, Optional

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Categories(Step):
    """Names (or any distinct values) to the integers 0, 1, ...: (rows, ...) to (rows, ...) of int.

    The order is that of ``names``, else the sorted order of what occurs in the training part.
    """

    kind = "categories"
    attributes = (
        Attribute(
            "names",
            Optional(Names()),
            None,
            "the names in order; by default those of the training part, sorted",
        ),
    )

    def fit(self, column: Column) -> State:
        return {"names": list(self["names"]) if self["names"] else distinct(column)}

    def apply(self, column: Column, state: State) -> Column:
        return column.with_values(positions(column, state["names"]))


class OneHot(Step):
    """Labels to indicator vectors: (rows, ...) to (rows, ..., classes) of 0 and 1.

    With ``classes`` the labels are the integers 0 to classes - 1; without, whatever values the
    training part has, sorted.
    """

    kind = "one_hot"
    attributes = (
        Attribute(
            "classes", Optional(Integer(1)), None, "how many; by default those of the training part"
        ),
    )

    def fit(self, column: Column) -> State:
        if not self["classes"]:
            return {"names": distinct(column)}
        check_size(self.kind, self["classes"] * column.values.size)
        return {"names": list(range(self["classes"]))}

    def apply(self, column: Column, state: State) -> Column:
        import numpy as np

        places = positions(column, state["names"])
        check_size(self.kind, places.size * len(state["names"]))
        indicators = np.zeros((*places.shape, len(state["names"])))
        np.put_along_axis(indicators, places[..., None], 1, axis=-1)
        return column.with_values(indicators)


def distinct(column: Column) -> list[Any]:
    """The sorted distinct values, as JSON values; whole numbers as integers."""
    import numpy as np

    if column.is_text:
        return sorted(map(str, np.unique(column.values)))
    found = np.unique(column.numbers("a list of classes")).tolist()
    return [int(value) if float(value).is_integer() else value for value in found]


def positions(column: Column, names: list[Any]) -> NDArray[np.int64]:
    """The index in ``names`` of every value, in the column's shape.

    Raises:
        DataProblem: for a value that is not among the names.
    """
    import numpy as np

    index = {name: position for position, name in enumerate(names)}
    values = column.values
    result = np.empty(values.shape, dtype=np.int64)
    for place, value in enumerate(values.flat):
        key = str(value) if column.is_text else value.item()
        if key not in index:
            known = ", ".join(map(str, names[:8])) + (", ..." if len(names) > 8 else "")
            row = place // max(1, values.size // len(values))
            hint = did_you_mean(key, names) if column.is_text else ""
            raise DataProblem(f"{key!r} is none of the known classes ({known})", hint, row)
        result.flat[place] = index[key]
    return result

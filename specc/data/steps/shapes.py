"""Steps on shapes and types."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from specc.data.steps.base import Column, DataProblem, State, Step
from specc.ops.attributes import Attribute, AttributeProblem, Choice, Integers


class Reshape(Step):
    """The same values of each row in another shape, in row-major order: (rows, ...) to (rows,
    *shape)."""

    kind = "reshape"
    attributes = (
        Attribute(
            "shape",
            Integers(minimum=-1),
            doc="the shape of a row; one size may be -1, what is left",
        ),
    )

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> None:
        if values["shape"].count(-1) > 1:
            raise AttributeProblem("only one size may be -1")

    def apply(self, column: Column, state: State) -> Column:
        old, new = column.values.shape[1:], self["shape"]
        size, known = math.prod(old), math.prod(each for each in new if each != -1)
        fits = size == known if -1 not in new else known > 0 and size % known == 0
        if not fits:
            raise DataProblem(
                f"a row of shape {list(old)} ({size} values) cannot become {list(new)}"
            )
        shape = tuple(size // known if each == -1 else each for each in new)
        return column.with_values(column.values.reshape(len(column.values), *shape))


class Cast(Step):
    """Another element type: any shape to the same shape. ``int`` cuts off what follows the decimal
    point."""

    kind = "cast"
    attributes = (Attribute("to", Choice(("float", "int")), doc="float or int"),)

    def apply(self, column: Column, state: State) -> Column:
        values = column.numbers(self.kind)
        return column.with_values(values.astype("int64") if self["to"] == "int" else values)

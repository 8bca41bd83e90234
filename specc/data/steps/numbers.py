"""Steps on numbers: scales, logarithms and missing values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from specc.data.steps.base import Column, DataProblem, State, Step
from specc.ops.attributes import Attribute, AttributeProblem, Choice, Kind, Number

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _NotZero(Number):
    def wants(self) -> str:
        return "a number other than 0"

    def parse(self, value: object) -> float:
        number = super().parse(value)
        if number == 0:
            raise AttributeProblem(f"0 is not {self.wants()}")
        return number


_DIVISOR: Kind = _NotZero()


class Rescale(Step):
    """``(x - subtract) / divide``, element by element: any shape to the same shape. Nothing is
    fitted."""

    kind = "rescale"
    attributes = (
        Attribute("divide", _DIVISOR, doc="what every value is divided by: 255 for bytes"),
        Attribute("subtract", Number(), 0.0, "what is taken off every value before"),
    )

    def apply(self, column: Column, state: State) -> Column:
        values = column.numbers(self.kind)
        return column.with_values((values - self["subtract"]) / self["divide"])


class Standardize(Step):
    """``(x - mean) / deviation`` with both measured on the training part: any shape to the same
    shape.

    Per feature (the last axis of arrays with features; one-dimensional columns are a single
    feature), or over all values together. The deviation is the population's (divisor n). A feature
    that is constant in the training part has no scale: it is only centred.
    """

    kind = "standardize"
    attributes = (
        Attribute(
            "per",
            Choice(("feature", "all")),
            "feature",
            "feature: a mean and deviation per position on the last axis; all: one for the array",
        ),
    )

    def fit(self, column: Column) -> State:
        values = column.numbers(self.kind)
        if not len(values):
            raise DataProblem("standardize has no training rows to measure")
        per_feature = self["per"] == "feature" and values.ndim > 1
        axes = tuple(range(values.ndim - 1)) if per_feature else tuple(range(values.ndim))
        # Rounding gives a constant feature a tiny deviation: its range tells that it is constant.
        constant = values.max(axes) == values.min(axes)
        deviation = values.std(axes)
        scale = deviation * ~constant + constant
        return {"mean": values.mean(axes).tolist(), "deviation": scale.tolist()}

    def apply(self, column: Column, state: State) -> Column:
        import numpy as np

        values = column.numbers(self.kind)
        mean, deviation = np.asarray(state["mean"]), np.asarray(state["deviation"])
        _same_features(self.kind, values, mean)
        return column.with_values((values - mean) / deviation)


class Log(Step):
    """The natural logarithm of ``x + offset``: any shape to the same shape. Nothing is fitted."""

    kind = "log"
    attributes = (
        Attribute("offset", Number(), 0.0, "added before: 1 keeps counts of zero finite"),
    )

    def apply(self, column: Column, state: State) -> Column:
        import numpy as np

        values = column.numbers(self.kind) + self["offset"]
        positive(self.kind, values)
        return column.with_values(np.log(values))


class Missing(Step):
    """What to do about missing values: any shape to the same shape, ``drop`` with fewer rows.

    ``drop`` leaves out every row that misses a value, from all inputs and targets. ``forward_fill``
    repeats the last value seen (rows before the first value are left out). ``mean`` takes the
    training part's mean per feature.
    """

    kind = "missing"
    attributes = (
        Attribute(
            "rule", Choice(("drop", "forward_fill", "mean")), doc="drop, forward_fill or mean"
        ),
    )

    @property
    def ordered(self) -> bool:
        return bool(self["rule"] == "forward_fill")

    def fit(self, column: Column) -> State:
        import numpy as np

        if self["rule"] != "mean":
            return {}
        values = column.numbers_or_missing(self.kind)
        axes = tuple(range(values.ndim - 1)) if values.ndim > 1 else (0,)
        known = ~np.isnan(values)
        if not known.any(axes).all():
            raise DataProblem("missing: mean has no value to average in the training part")
        return {"mean": (np.nansum(values, axes) / known.sum(axes)).tolist()}

    def apply(self, column: Column, state: State) -> Column:
        import numpy as np

        values = column.numbers_or_missing(self.kind)
        missing = np.isnan(values)
        if self["rule"] == "mean":
            mean = np.asarray(state["mean"])
            _same_features(self.kind, values, mean)
            return column.with_values(np.where(missing, mean, values))
        if self["rule"] == "forward_fill":
            values = _forward_fill(values, missing)
            missing = np.isnan(values)
        complete = ~missing.reshape(len(values), -1).any(axis=1)
        return Column(values[complete], column.rows[complete])


def positive(step: str, values: NDArray[Any]) -> None:
    """Raises DataProblem at the first value that has no logarithm."""
    import numpy as np

    bad = np.argwhere(values <= 0)
    if len(bad):
        raise DataProblem(
            f"{step} needs values above 0, but one is {values[tuple(bad[0])]:g}", row=int(bad[0][0])
        )


def _forward_fill(values: NDArray[Any], missing: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    rows = np.arange(len(values)).reshape(-1, *(1,) * (values.ndim - 1))
    last_seen = np.maximum.accumulate(np.where(missing, 0, rows), axis=0)
    return np.take_along_axis(values, last_seen, axis=0)


def _same_features(step: str, values: NDArray[Any], fitted: NDArray[Any]) -> None:
    if fitted.ndim and values.shape[-1:] != fitted.shape:
        raise DataProblem(
            f"{step} was fitted on {fitted.shape[0]} features, "
            f"but these rows have shape {list(values.shape[1:])}"
        )

"""Steps on series: rows in order of time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from specc.data.steps.base import Column, DataProblem, State, Step
from specc.data.steps.numbers import positive
from specc.ops.attributes import Attribute, AttributeProblem, Choice, Integer, Optional

if TYPE_CHECKING:
    from numpy.typing import NDArray

STATISTICS = ("last", "mean", "std", "sum", "min", "max")


class Returns(Step):
    """The change from one row to the next: (rows, ...) to (rows - 1, ...), row t standing for the
    change up to t.

    ``log`` is ``log(x[t] / x[t - 1])``; ``simple`` is ``x[t] / x[t - 1] - 1``. Nothing is fitted.
    """

    kind = "returns"
    attributes = (Attribute("form", Choice(("log", "simple")), "log", "log or simple"),)

    @property
    def ordered(self) -> bool:
        return True

    def apply(self, column: Column, state: State) -> Column:
        import numpy as np

        values = column.numbers(self.kind)
        positive(self.kind, values)
        ratio = values[1:] / values[:-1]
        changes = np.log(ratio) if self["form"] == "log" else ratio - 1
        return Column(changes, column.rows[1:])


class Windows(Step):
    """Neighbouring rows side by side: (rows, ...) to (windows, size, ...), or (windows, ...) with a
    statistic.

    ``length: n`` looks back: the window of row t holds the rows t-n+1 to t. ``horizon: n`` looks
    ahead: it holds the rows t+1 to t+n, so that an input with ``length`` and a target with
    ``horizon`` never share a row. Rows without a whole window are left out, and windows are built
    inside each part: none spans the border of a split. A column of single values gets a feature
    axis: (windows, size, 1). ``std`` is the population's (divisor n).
    """

    kind = "windows"
    attributes = (
        Attribute("length", Optional(Integer(1)), None, "rows up to the current one"),
        Attribute("horizon", Optional(Integer(1)), None, "rows after the current one"),
        Attribute("step", Integer(1), 1, "a window every so many rows"),
        Attribute(
            "statistic",
            Optional(Choice(STATISTICS)),
            None,
            f"one number instead of the rows: {', '.join(STATISTICS)}",
        ),
    )

    @property
    def ordered(self) -> bool:
        return True

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> None:
        if (values["length"] is None) == (values["horizon"] is None):
            raise AttributeProblem(
                "windows takes either length (rows of the past) or horizon (rows of the future)"
            )

    def apply(self, column: Column, state: State) -> Column:
        import numpy as np

        values = column.numbers(self.kind)
        ahead = self["length"] is None
        size = self["horizon"] if ahead else self["length"]
        needed = size + 1 if ahead else size
        if len(values) < needed:
            raise DataProblem(
                f"windows needs at least {needed} rows, but this part has {len(values)}",
                "use shorter windows or give this part a larger share of the split",
            )
        view = np.moveaxis(np.lib.stride_tricks.sliding_window_view(values, size, axis=0), -1, 1)
        if ahead:
            windows, rows = view[1:], column.rows[: len(view) - 1]
        else:
            windows, rows = view, column.rows[size - 1 :]
        windows, rows = windows[:: self["step"]], rows[:: self["step"]]
        if self["statistic"] is not None:
            return Column(_statistic(self["statistic"], windows), rows)
        return Column(windows if windows.ndim > 2 else windows[..., None], rows)


def _statistic(name: str, windows: NDArray[Any]) -> NDArray[Any]:
    """A number per window and feature: (windows, size, ...) to (windows, ...)."""
    if name == "last":
        return windows[:, -1]
    result: NDArray[Any] = getattr(windows, name)(axis=1)
    return result

"""What a preparation step is: one class with its attributes, its fit on the training part and its
application.

The schema, the documentation and the loader read these classes. NumPy is imported where arrays are
touched, because the checker reads the attributes of the steps without opening any data.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from specc.ops.attributes import Attribute, AttributeProblem, Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

State = dict[str, Any]


class DataProblem(Exception):  # noqa: N818  (it becomes a diagnostic once the place is known)
    """The data do not allow what the spec asks.

    ``row`` is the position in the column if one row is to blame; the loader says which line of the
    file it is. ``about`` is "type" or "bound" where the data are at odds with what the spec
    declares, or with the number of its classes.
    """

    def __init__(
        self,
        message: str,
        help: str = "",  # noqa: A002
        row: int | None = None,
        code: str = "E0807",
        about: str = "",
    ) -> None:
        super().__init__(message)
        self.message, self.help, self.row, self.code = message, help, row, code
        self.about = about


MAX_VALUES = 2**28
"""As many numbers a step makes at most: 2 GB in float64."""


def check_size(step: str, values: int) -> None:
    """Refuses more values than a machine holds, before they are made. Raises DataProblem."""
    if values > MAX_VALUES:
        message = f"{step} would make {values:,} numbers of them, more than {MAX_VALUES:,}"
        raise DataProblem(message, "choose smaller attributes, or fewer rows")


@dataclass(frozen=True)
class Column:
    """One array on its way to an input or a target.

    ``values`` has the shape (rows, ...). ``rows`` (rows,) are the row numbers in the source that
    the values stand for: steps that drop rows or slide windows change them, and the arrays of a
    part are aligned by them.
    """

    values: NDArray[Any]
    rows: NDArray[np.int64]

    @property
    def is_text(self) -> bool:
        return self.values.dtype.kind in "US"

    def with_values(self, values: NDArray[Any]) -> Column:
        return Column(values, self.rows)

    def numbers(self, step: str) -> NDArray[np.float64]:
        """The values as float64 without missing ones.

        Raises: DataProblem: for text, and for missing values, which a ``missing`` step before this
            one handles.
        """
        import numpy as np

        values = self.numbers_or_missing(step)
        bad = ~np.isfinite(values)
        if bad.any():
            row = int(np.argwhere(bad)[0, 0])
            raise DataProblem(
                f"{step} meets {int(bad.sum())} missing or infinite values",
                "put 'missing: drop', 'missing: forward_fill' or 'missing: mean' before it",
                row,
            )
        return values

    def numbers_or_missing(self, step: str) -> NDArray[np.float64]:
        """The values as float64, missing ones as NaN; text is a DataProblem."""
        if self.is_text:
            raise DataProblem(
                f"{step} needs numbers, but this is text, such as '{self.values.flat[0]}'"
                if self.values.size
                else f"{step} needs numbers, but this is text",
                "turn names into numbers with 'categories', or sentences with 'tokens'",
            )
        return self.values.astype("float64")


@dataclass(frozen=True)
class Names(Kind):
    """A list of different names."""

    def wants(self) -> str:
        return "a list of different names"

    def parse(self, value: Any) -> tuple[str, ...]:
        named = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
        if not named or not value or len(set(value)) != len(value):
            raise AttributeProblem(f"{value!r} is not {self.wants()}")
        return tuple(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": {"type": "string"}, "minItems": 1}


class Step(ABC):
    """Base of all preparation steps: what they do to a column of the training part, and then to
    every other."""

    kind: ClassVar[str]
    attributes: ClassVar[tuple[Attribute, ...]] = ()

    def __init__(self, values: Mapping[str, Any]) -> None:
        """``values`` are the parsed attributes, defaults filled in."""
        self.values = dict(values)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    @property
    def ordered(self) -> bool:
        """Whether neighbouring rows belong together, so that a random split would tear them
        apart."""
        return False

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> None:
        """Raises AttributeProblem if attributes that are right alone do not fit together."""
        return

    def fit(self, column: Column) -> State:
        """What is learnt from the training part, as values that JSON can hold."""
        return {}

    @abstractmethod
    def apply(self, column: Column, state: State) -> Column:
        """The prepared column; ``state`` is what ``fit`` returned.

        Raises:
            DataProblem: if the data do not allow the step.
        """

"""The preparation steps by name."""

from specc.data.steps.base import Column, DataProblem, State, Step
from specc.data.steps.labels import Categories, OneHot
from specc.data.steps.numbers import Log, Missing, Rescale, Standardize
from specc.data.steps.series import Returns, Windows
from specc.data.steps.shapes import Cast, Reshape
from specc.data.steps.text import Tokens

_CLASSES: tuple[type[Step], ...] = (
    Rescale,
    Standardize,
    Log,
    Missing,
    Categories,
    OneHot,
    Tokens,
    Returns,
    Windows,
    Reshape,
    Cast,
)
STEPS: dict[str, type[Step]] = {step.kind: step for step in _CLASSES}

__all__ = ["STEPS", "Column", "DataProblem", "State", "Step"]

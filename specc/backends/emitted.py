"""Names that the emitted part of a generated file defines and its fixed part uses: for type
checkers only.
"""

from collections.abc import Callable
from typing import Any

NAME: str
BACKEND: str
SEED: int
DTYPE: str
INPUTS: dict[str, tuple[int | None, ...]]
TARGETS: dict[str, tuple[int | None, ...]]
OUTPUTS: dict[str, tuple[int | None, ...]]
INTEGERS: set[str]
BOOLEANS: set[str]
EPOCHS: int
BATCH_SIZE: int
LAYOUTS: dict[type, dict[str, Any]]

Model: Any
Optimizer: Any
apply: Callable[..., Any]
to_outputs: Callable[..., Any]
total_loss: Callable[..., Any]
metric_values: Callable[..., dict[str, Any]]
learning_rate: Callable[[int], float]
clip_gradients: Callable[[list[Any]], list[Any]]
initial_parameters: Callable[[int], dict[str, Any]]
forward: Callable[..., Any]
forward_backward: Callable[..., Any]

# Defined in the fixed part of each backend.
Trainer: Any
build: Callable[..., Any]
get_parameters: Callable[..., dict[str, Any]]
set_parameters: Callable[..., None]
predict: Callable[..., dict[str, Any]]

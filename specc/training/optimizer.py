"""What an optimizer is: one formula over (parameter, gradient, slots, step scalars), written once.

What Keras and PyTorch mean differently by one name is an attribute here, which a convention fills
in. A formula is a few Python statements over tensors (``parameter``, ``gradient``, the slots),
attributes and step scalars, which ``formulas`` writes for each backend; where PyTorch has the very
optimizer, a ``TorchForm`` says how to use it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from typing import Any, ClassVar

from specc.ops.attributes import Attribute, AttributeProblem, Boolean, Choice, Number
from specc.records import dataclass
from specc.training.base import Row, Words
from specc.training.schedules import Rate

Attributes = Mapping[str, Any]


@dataclass(frozen=True)
class TorchForm:
    """How an optimizer of torch.optim computes a formula.

    ``arguments`` are keywords of its constructor, ``slots`` the names of its state by slot,
    ``group`` what its groups take before each step, over ``rate``, ``t`` and attributes.
    """

    type: str
    arguments: Mapping[str, Any]
    slots: Mapping[str, str]
    group: Mapping[str, str] = field(default_factory=lambda: {"lr": "rate"})
    # Whether its result depends on its own count of the steps.
    counts: bool = False


def learning_rate(keras: float, pytorch: float) -> Attribute:
    return Attribute(
        "learning_rate",
        Rate(),
        keras=keras,
        pytorch=pytorch,
        doc="The rate, a number or a schedule.",
    )


def epsilon(keras: float, pytorch: float) -> Attribute:
    return Attribute(
        "epsilon", Number(0), keras=keras, pytorch=pytorch, doc="Keeps the divisor from 0."
    )


def weight_decay(keras: float = 0.0, pytorch: float = 0.0) -> Attribute:
    return Attribute(
        "weight_decay", Number(0), keras=keras, pytorch=pytorch, doc="Pulls parameters towards 0."
    )


class _Decay(Choice):
    """How weights decay; Keras 1 and 2 gave the name to a rate that falls."""

    def parse(self, value: Any) -> str:
        if isinstance(value, int | float):
            advice = "a rate that falls is a schedule: learning_rate: {inverse_time: ...}"
            raise AttributeProblem(f"{value} is not {self.wants()}", advice)
        return super().parse(value)


DECAY = Attribute(
    "decay",
    _Decay(("decoupled", "l2")),
    keras="decoupled",
    pytorch="l2",
    doc="Decoupled: parameter -= rate * weight_decay * parameter; l2: added to the gradient.",
)
EXCLUDE = Attribute(
    "exclude_from_weight_decay",
    Words(),
    (),
    "Words: a parameter with one of them in its path does not decay.",
)
RATE_IN_VELOCITY = Attribute(
    "rate_in_velocity",
    Boolean(),
    keras=True,
    pytorch=False,
    doc="Whether the velocity contains the rate; it matters as soon as the rate changes.",
)


def momentum(default: float) -> Attribute:
    return Attribute(
        "momentum", Number(0, 1, below=True), default, "The share of the velocity that stays."
    )


BETA_1 = Attribute(
    "beta_1", Number(0, 1, below=True), 0.9, "Decay of the mean of gradients, per step."
)
BETA_2 = Attribute(
    "beta_2", Number(0, 1, below=True), 0.999, "Decay of the mean of squares, per step."
)


class Optimizer(Row):
    """Base of the optimizers."""

    reference: ClassVar[str] = ""
    # The learning rates that it is used with: others are worth a warning.
    usual_rates: ClassVar[tuple[float, float]] = (1e-7, 0.1)
    refused: ClassVar[Mapping[str, str]] = {
        "lr": "write learning_rate",
        "eps": "write epsilon",
        "alpha": "write rho",
        "betas": "write beta_1 and beta_2",
        "clipnorm": "write 'clip: {norm: ...}' beside the optimizer",
        "clip_norm": "write 'clip: {global_norm: ...}' beside the optimizer",
        "global_clipnorm": "write 'clip: {global_norm: ...}' beside the optimizer",
        "clipvalue": "write 'clip: {value: ...}' beside the optimizer",
    }

    def slots(self, a: Attributes) -> dict[str, str]:
        """The state per parameter by name, with the constant or the attribute it starts from."""
        return {}

    def scalars(self, a: Attributes) -> dict[str, str]:
        """What changes with the step, over ``rate``, ``t`` (the step from 1) and attributes."""
        return {"rate": "rate"}

    def form(self, a: Attributes) -> str:
        """A sentence for the reader of a generated file: which of the forms this is."""
        return ""

    def formula(self, a: Attributes) -> list[str]:
        """The statements of one step, without weight decay."""
        raise LookupError(self.kind)

    def torch(self, a: Attributes) -> TorchForm | None:
        """The optimizer of torch.optim that computes the formula, decoupled decay aside."""
        return None

    def tensorflow(self, a: Attributes) -> str | None:
        """A kernel of TensorFlow that computes the formula, if any: a call over its names."""
        return None

    def decays(self, a: Attributes, names: Sequence[str]) -> list[bool]:
        """Which of the parameters decay."""
        words: Collection[str] = a["exclude_from_weight_decay"]
        return [bool(a["weight_decay"]) and not any(w in name for w in words) for name in names]

    def decoupled(self, a: Attributes) -> bool:
        """Whether weight decay acts on the parameters and not through the gradient."""
        return bool(a["weight_decay"]) and a.get("decay", "decoupled") == "decoupled"

    def l2(self, a: Attributes) -> bool:
        """Whether weight decay acts through the gradient."""
        return bool(a["weight_decay"]) and not self.decoupled(a)

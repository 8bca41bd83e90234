"""Gradient descent and its momenta."""

from __future__ import annotations

from typing import ClassVar

from specc.ops.attributes import Attribute, AttributeProblem, Boolean, Number
from specc.training.optimizer import (
    DECAY,
    EXCLUDE,
    RATE_IN_VELOCITY,
    Attributes,
    Optimizer,
    TorchForm,
    learning_rate,
    momentum,
    weight_decay,
)


class Sgd(Optimizer):
    """Gradient descent.

    With momentum in the form of Sutskever et al. (2013).

    Keras' velocity contains the rate: ``v = momentum * v - rate * g; p += v``; torch's does not:
    ``v = momentum * v + (1 - dampening) * g; p -= rate * v``, the first step undampened.
    """

    kind = "sgd"
    usual_rates = (1e-6, 1.0)
    attributes: ClassVar[tuple[Attribute, ...]] = (
        learning_rate(0.01, 0.001),
        momentum(0.0),
        Attribute("nesterov", Boolean(), False, "Whether the step looks ahead along the velocity."),
        Attribute(
            "dampening", Number(0), 0.0, "Share of the gradient that the velocity leaves out."
        ),
        RATE_IN_VELOCITY,
        weight_decay(),
        DECAY,
        EXCLUDE,
    )

    def check(self, attributes: Attributes) -> None:
        if attributes["nesterov"] and not attributes["momentum"]:
            raise AttributeProblem("nesterov needs momentum", "add momentum, e.g. 0.9")

    def slots(self, a: Attributes) -> dict[str, str]:
        return {"velocity": "0.0"} if a["momentum"] else {}

    def scalars(self, a: Attributes) -> dict[str, str]:
        if a["dampening"] and a["momentum"]:
            return {"rate": "rate", "share": "1 - dampening if t > 1 else 1.0"}
        return {"rate": "rate"}

    def form(self, a: Attributes) -> str:
        if not a["momentum"]:
            return ""
        kind = "Nesterov's" if a["nesterov"] else "Polyak's"
        rate = "contains the rate" if a["rate_in_velocity"] else "does not contain the rate"
        return f"{kind} momentum; the velocity {rate}."

    def formula(self, a: Attributes) -> list[str]:
        if not a["momentum"]:
            return ["parameter -= rate * gradient"]
        fresh = "share * gradient" if a["dampening"] else "gradient"
        if a["rate_in_velocity"]:
            ahead = "momentum * velocity - rate * gradient" if a["nesterov"] else "velocity"
            rated = "rate * share * gradient" if a["dampening"] else "rate * gradient"
            return [f"velocity = momentum * velocity - {rated}", f"parameter += {ahead}"]
        step = "(gradient + momentum * velocity)" if a["nesterov"] else "velocity"
        return [f"velocity = momentum * velocity + {fresh}", f"parameter -= rate * {step}"]

    def torch(self, a: Attributes) -> TorchForm | None:
        # Without a velocity the formula is one fused operation already, without what
        # torch.optim does around it: a quarter of a small network's step.
        if not a["momentum"] or a["rate_in_velocity"] or a["dampening"]:
            return None
        arguments = {"momentum": a["momentum"]} | ({"nesterov": True} if a["nesterov"] else {})
        return TorchForm("SGD", {**arguments, "fused": True}, {"velocity": "momentum_buffer"})

    def tensorflow(self, a: Attributes) -> str | None:
        if not a["momentum"] or a["dampening"]:
            return None
        kernel = "ResourceApplyKerasMomentum" if a["rate_in_velocity"] else "ResourceApplyMomentum"
        return (
            f"{kernel}(var=parameter, accum=velocity, lr=rate, grad=gradient, momentum=momentum, "
            f"use_nesterov={a['nesterov']})"
        )


class Momentum(Sgd):
    """Gradient descent with momentum (Polyak, 1964).

    ``sgd`` with another default.
    """

    kind = "momentum"
    attributes = tuple(
        momentum(0.9) if each.name == "momentum" else each for each in Sgd.attributes
    )


class Nesterov(Sgd):
    """Gradient descent with Nesterov's momentum (1983).

    ``sgd`` with other defaults.
    """

    kind = "nesterov"
    attributes = tuple(
        Attribute("nesterov", Boolean(), True, each.doc) if each.name == "nesterov" else each
        for each in Momentum.attributes
    )

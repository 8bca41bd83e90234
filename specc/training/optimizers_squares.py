"""Optimizers that divide by a root of past squares."""

from __future__ import annotations

from specc.ops.attributes import Attribute, Boolean, Number
from specc.training.optimizer import (
    DECAY,
    EXCLUDE,
    RATE_IN_VELOCITY,
    Attributes,
    Optimizer,
    TorchForm,
    epsilon,
    learning_rate,
    momentum,
    weight_decay,
)


class Rmsprop(Optimizer):
    """RMSprop (Hinton, 2012).

    Keras divides by ``sqrt(v + epsilon)`` and its velocity contains the rate; torch divides by
    ``sqrt(v) + epsilon`` and applies the rate to the velocity.
    """

    kind = "rmsprop"
    aliases = ("rms_prop",)
    attributes = (
        learning_rate(0.001, 0.01),
        Attribute(
            "rho",
            Number(0, 1, below=True),
            keras=0.9,
            pytorch=0.99,
            doc="Decay of the mean of squares, per step.",
        ),
        momentum(0.0),
        epsilon(1e-7, 1e-8),
        Attribute("centered", Boolean(), False, "Whether the variance replaces the mean square."),
        Attribute(
            "epsilon_in_root", Boolean(), keras=True, pytorch=False, doc="sqrt(v + epsilon)."
        ),
        RATE_IN_VELOCITY,
        weight_decay(),
        DECAY,
        EXCLUDE,
    )

    def slots(self, a: Attributes) -> dict[str, str]:
        names = ["v"] + ["mean"] * a["centered"] + ["velocity"] * bool(a["momentum"])
        return dict.fromkeys(names, "0.0")

    def formula(self, a: Attributes) -> list[str]:
        lines = ["v += (1 - rho) * (gradient * gradient - v)"]
        variance = "v"
        if a["centered"]:
            lines.append("mean += (1 - rho) * (gradient - mean)")
            variance = "v - mean * mean"
        root = (
            f"sqrt({variance} + epsilon)"
            if a["epsilon_in_root"]
            else f"(sqrt({variance}) + epsilon)"
        )
        if not a["momentum"]:
            return [*lines, f"parameter -= rate * gradient / {root}"]
        if a["rate_in_velocity"]:
            return [
                *lines,
                f"velocity = momentum * velocity + rate * gradient / {root}",
                "parameter -= velocity",
            ]
        return [
            *lines,
            f"velocity = momentum * velocity + gradient / {root}",
            "parameter -= rate * velocity",
        ]

    def torch(self, a: Attributes) -> TorchForm | None:
        if a["epsilon_in_root"] or (a["momentum"] and a["rate_in_velocity"]):
            return None
        arguments = {"alpha": a["rho"], "eps": a["epsilon"]}
        slots = {"v": "square_avg"}
        if a["momentum"]:
            arguments["momentum"] = a["momentum"]
            slots["velocity"] = "momentum_buffer"
        if a["centered"]:
            arguments["centered"] = True
            slots["mean"] = "grad_avg"
        return TorchForm("RMSprop", arguments, slots)


class Adagrad(Optimizer):
    """Adagrad (Duchi et al., 2011).

    Keras starts the accumulator at 0.1 and divides by ``sqrt(a + epsilon)``, torch starts at 0 and
    divides by ``sqrt(a) + epsilon``.
    """

    kind = "adagrad"
    usual_rates = (1e-5, 1.0)
    attributes = (
        learning_rate(0.001, 0.01),
        Attribute(
            "initial_accumulator_value",
            Number(0),
            keras=0.1,
            pytorch=0.0,
            doc="What the sum of squares starts from.",
        ),
        epsilon(1e-7, 1e-10),
        Attribute(
            "epsilon_in_root", Boolean(), keras=True, pytorch=False, doc="sqrt(a + epsilon)."
        ),
        weight_decay(),
        DECAY,
        EXCLUDE,
    )

    def slots(self, a: Attributes) -> dict[str, str]:
        start = "initial_accumulator_value" if a["initial_accumulator_value"] else "0.0"
        return {"accumulator": start}

    def formula(self, a: Attributes) -> list[str]:
        root = (
            "sqrt(accumulator + epsilon)"
            if a["epsilon_in_root"]
            else "(sqrt(accumulator) + epsilon)"
        )
        return ["accumulator += gradient * gradient", f"parameter -= rate * gradient / {root}"]

    def torch(self, a: Attributes) -> TorchForm | None:
        if a["epsilon_in_root"]:
            return None
        return TorchForm("Adagrad", {"eps": a["epsilon"]}, {"accumulator": "sum"})


class Adadelta(Optimizer):
    """Adadelta (Zeiler, 2012), both frameworks' form; torch's rate of 1 is the paper's."""

    kind = "adadelta"
    usual_rates = (1e-5, 10.0)
    attributes = (
        learning_rate(0.001, 1.0),
        Attribute(
            "rho",
            Number(0, 1, below=True),
            keras=0.95,
            pytorch=0.9,
            doc="Decay of the means of squares, per step.",
        ),
        epsilon(1e-7, 1e-6),
        weight_decay(),
        DECAY,
        EXCLUDE,
    )

    def slots(self, a: Attributes) -> dict[str, str]:
        return {"v": "0.0", "squared_step": "0.0"}

    def formula(self, a: Attributes) -> list[str]:
        return [
            "v += (1 - rho) * (gradient * gradient - v)",
            "change = sqrt(squared_step + epsilon) / sqrt(v + epsilon) * gradient",
            "squared_step += (1 - rho) * (change * change - squared_step)",
            "parameter -= rate * change",
        ]

    def torch(self, a: Attributes) -> TorchForm | None:
        slots = {"v": "square_avg", "squared_step": "acc_delta"}
        return TorchForm("Adadelta", {"rho": a["rho"], "eps": a["epsilon"]}, slots)

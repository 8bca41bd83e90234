"""Adam and its relatives."""

from __future__ import annotations

from typing import Any, ClassVar

from specc.ops.attributes import Attribute, Boolean, Number
from specc.training.optimizer import (
    BETA_1,
    BETA_2,
    DECAY,
    EXCLUDE,
    Attributes,
    Optimizer,
    TorchForm,
    epsilon,
    learning_rate,
    weight_decay,
)


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015).

    ``p -= rate * m_hat / (sqrt(v_hat) + epsilon)`` with bias-corrected means is torch's form. Keras
    adds epsilon to sqrt(v) before the correction, as if it were epsilon / sqrt(1 - beta_2**t).
    """

    kind = "adam"
    attributes: ClassVar[tuple[Attribute, ...]] = (
        learning_rate(0.001, 0.001),
        BETA_1,
        BETA_2,
        epsilon(1e-7, 1e-8),
        Attribute(
            "amsgrad", Boolean(), False, "Whether the largest v so far counts (Reddi et al., 2018)."
        ),
        Attribute(
            "epsilon_before_correction",
            Boolean(),
            keras=True,
            pytorch=False,
            doc="Whether epsilon is added before the bias correction.",
        ),
        weight_decay(),
        DECAY,
        EXCLUDE,
    )

    def slots(self, a: Attributes) -> dict[str, str]:
        return dict.fromkeys(["m", "v"] + ["v_max"] * a["amsgrad"], "0.0")

    def scalars(self, a: Attributes) -> dict[str, str]:
        scalars = {"step_size": "rate * sqrt(1 - beta_2**t) / (1 - beta_1**t)"}
        if not a["epsilon_before_correction"]:
            scalars["scaled_epsilon"] = "epsilon * sqrt(1 - beta_2**t)"
        return scalars

    def form(self, a: Attributes) -> str:
        where = "before" if a["epsilon_before_correction"] else "after"
        return f"Epsilon is added {where} the bias correction."

    def formula(self, a: Attributes) -> list[str]:
        offset = "epsilon" if a["epsilon_before_correction"] else "scaled_epsilon"
        return [
            "m += (1 - beta_1) * (gradient - m)",
            "v += (1 - beta_2) * (gradient * gradient - v)",
            *["v_max = maximum(v_max, v)"] * a["amsgrad"],
            f"parameter -= step_size * m / (sqrt({'v_max' if a['amsgrad'] else 'v'}) + {offset})",
        ]

    def torch(self, a: Attributes) -> TorchForm | None:
        arguments: dict[str, Any] = {"betas": (a["beta_1"], a["beta_2"])}
        slots = {"m": "exp_avg", "v": "exp_avg_sq"}
        group = {"lr": "rate"}
        if a["epsilon_before_correction"]:
            group["eps"] = "epsilon / sqrt(1 - beta_2**t)"
        else:
            arguments["eps"] = a["epsilon"]
        if a["amsgrad"]:
            arguments["amsgrad"] = True
            slots["v_max"] = "max_exp_avg_sq"
        kind = "AdamW" if self.decoupled(a) else "Adam"
        return TorchForm(kind, {**arguments, "fused": True}, slots, group, counts=True)

    def tensorflow(self, a: Attributes) -> str | None:
        if a["amsgrad"]:
            return None
        offset = "epsilon" if a["epsilon_before_correction"] else "scaled_epsilon"
        return (
            "ResourceApplyAdam(var=parameter, m=m, v=v, beta1_power=zero, beta2_power=zero, "
            f"lr=step_size, beta1=beta_1, beta2=beta_2, epsilon={offset}, grad=gradient)"
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019).

    ``p -= rate * weight_decay * p`` comes before the step of Adam.
    """

    kind = "adamw"
    aliases = ("adam_w",)
    attributes = tuple(
        weight_decay(0.004, 0.01) if each.name == "weight_decay" else each
        for each in Adam.attributes
        if each.name != "decay"
    )


class Adamax(Optimizer):
    """Adamax (Kingma and Ba, 2015).

    Keras adds epsilon where it divides, torch inside the maximum.
    """

    kind = "adamax"
    attributes = (
        learning_rate(0.001, 0.002),
        BETA_1,
        BETA_2,
        epsilon(1e-7, 1e-8),
        Attribute(
            "epsilon_in_maximum",
            Boolean(),
            keras=False,
            pytorch=True,
            doc="maximum(beta_2 * u, abs(gradient) + epsilon).",
        ),
        weight_decay(),
        DECAY,
        EXCLUDE,
    )

    def slots(self, a: Attributes) -> dict[str, str]:
        return {"m": "0.0", "u": "0.0"}

    def scalars(self, a: Attributes) -> dict[str, str]:
        return {"step_size": "rate / (1 - beta_1**t)"}

    def formula(self, a: Attributes) -> list[str]:
        mean = "m += (1 - beta_1) * (gradient - m)"
        if a["epsilon_in_maximum"]:
            largest = "u = maximum(beta_2 * u, abs(gradient) + epsilon)"
            return [mean, largest, "parameter -= step_size * m / u"]
        largest = "u = maximum(beta_2 * u, abs(gradient))"
        return [mean, largest, "parameter -= step_size * m / (u + epsilon)"]

    def torch(self, a: Attributes) -> TorchForm | None:
        if not a["epsilon_in_maximum"]:
            return None
        arguments = {"betas": (a["beta_1"], a["beta_2"]), "eps": a["epsilon"]}
        return TorchForm("Adamax", arguments, {"m": "exp_avg", "u": "exp_inf"}, counts=True)


class Nadam(Optimizer):
    """Nadam (Dozat, 2016): Adam with Nesterov's momentum.

    The momentum grows as ``beta_1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))``.
    """

    kind = "nadam"
    attributes = (
        learning_rate(0.001, 0.002),
        BETA_1,
        BETA_2,
        epsilon(1e-7, 1e-8),
        Attribute(
            "momentum_decay",
            Number(0),
            keras=1.0,
            pytorch=0.004,
            doc="How fast the momentum grows to beta_1.",
        ),
        weight_decay(),
        DECAY,
        EXCLUDE,
    )

    def slots(self, a: Attributes) -> dict[str, str]:
        return {"m": "0.0", "v": "0.0"}

    def scalars(self, a: Attributes) -> dict[str, str]:
        product = "nadam_product({}, beta_1, momentum_decay)"
        momentum = "nadam_momentum({}, beta_1, momentum_decay)"
        root = "rate * sqrt(1 - beta_2**t)"
        now, after = product.format("t"), product.format("t + 1")
        return {
            "gradient_share": f"{root} * (1 - {momentum.format('t')}) / (1 - {now})",
            "mean_share": f"{root} * {momentum.format('t + 1')} / (1 - {after})",
            "scaled_epsilon": "epsilon * sqrt(1 - beta_2**t)",
        }

    def formula(self, a: Attributes) -> list[str]:
        return [
            "m += (1 - beta_1) * (gradient - m)",
            "v += (1 - beta_2) * (gradient * gradient - v)",
            "ahead = gradient_share * gradient + mean_share * m",
            "parameter -= ahead / (sqrt(v) + scaled_epsilon)",
        ]

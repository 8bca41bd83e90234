"""Losses: regression, and the registry of all of them."""

from __future__ import annotations

from typing import Any, ClassVar

from specc.ir.dims import BATCH
from specc.ir.graph import Node
from specc.ir.types import TensorType
from specc.ops.attributes import Attribute, Number, Optional
from specc.ops.base import BadSample, Form, Sample, Site
from specc.ops.crossentropy import CategoricalCrossentropy, SparseCategoricalCrossentropy
from specc.ops.loss import (
    LOGITS,
    Loss,
    label_smoothing,
    same_shape,
    tensorflow_target,
    torch_target,
    type_of,
)


def _feature_mean(node: Node) -> bool:
    """Whether there are features to average over, beside the batch."""
    return node.outputs[0].type.rank < type_of(node).rank


class Regression(Loss):
    """Base of the losses that average over the last axis: one value per sample and position."""

    samples: ClassVar[tuple[Sample, ...]] = (
        Sample((TensorType("float", (BATCH, 3)), TensorType("float", (BATCH, 3)))),
        Sample((TensorType("float", (BATCH,)), TensorType("float", (BATCH,)))),
        Sample((TensorType("float", (BATCH, 4, 2)), TensorType("int", (BATCH, 4, 2)))),
    )
    bad: ClassVar[tuple[BadSample, ...]] = (
        BadSample(
            (TensorType("float", (BATCH, 1)), TensorType("float", (BATCH,))), {}, "target of the"
        ),
    )

    def infer(self, site: Site) -> TensorType:
        same_shape(site, self.kind)
        return TensorType("float", site.input.shape[: max(1, site.input.rank - 1)])

    def torch_values(self, node: Node) -> str:
        """The loss of each element, a template over ``{prediction}`` and a target."""
        raise LookupError(self.kind)

    def tensorflow_values(self, node: Node) -> str:
        """The loss of each element, a template over ``{prediction}`` and a target."""
        raise LookupError(self.kind)

    def torch(self, node: Node) -> Form:
        values = self.torch_values(node).replace("{target}", torch_target(node))
        return Form(f"{values}.mean(-1)" if _feature_mean(node) else values)

    def tensorflow(self, node: Node) -> Form:
        values = self.tensorflow_values(node).replace("{target}", tensorflow_target(node))
        return Form(f"tf.reduce_mean({values}, -1)" if _feature_mean(node) else values)


class MeanSquaredError(Regression):
    """``mean((prediction - target)**2)`` over the last axis."""

    kind = "mean_squared_error"
    aliases = ("mse", "mse_loss")

    def torch_values(self, node: Node) -> str:
        return 'F.mse_loss({prediction}, {target}, reduction="none")'

    def tensorflow_values(self, node: Node) -> str:
        return "tf.math.squared_difference({prediction}, {target})"


class MeanAbsoluteError(Regression):
    """``mean(|prediction - target|)`` over the last axis. The gradient at 0 is 0."""

    kind = "mean_absolute_error"
    aliases = ("mae", "l1_loss")

    def torch_values(self, node: Node) -> str:
        return 'F.l1_loss({prediction}, {target}, reduction="none")'

    def tensorflow_values(self, node: Node) -> str:
        return "tf.abs({prediction} - {target})"


class Huber(Regression):
    """The mean over the last axis of ``error**2 / 2``, which beyond ``delta`` goes on as a line.

    Huber (1964).
    """

    kind = "huber"
    aliases = ("huber_loss",)
    attributes = (
        Attribute(
            "delta", Number(0, above=True), 1.0, "The error at which the parabola becomes a line."
        ),
    )
    samples = (
        *Regression.samples,
        Sample((TensorType("float", (BATCH, 3)), TensorType("float", (BATCH, 3))), {"delta": 0.5}),
    )
    bad = (
        *Regression.bad,
        BadSample(
            (TensorType("float", (BATCH, 3)), TensorType("float", (BATCH, 3))),
            {"delta": 0},
            "a number above 0",
        ),
    )

    def literals(self, node: Node) -> tuple[Any, ...]:
        return (node["delta"],)

    def torch_values(self, node: Node) -> str:
        delta = "" if node["delta"] == 1.0 else f", delta={node['delta']!r}"
        return f'F.huber_loss({{prediction}}, {{target}}, reduction="none"{delta})'

    def tensorflow_values(self, node: Node) -> str:
        return f"huber({{prediction}}, {{target}}, {node['delta']!r})"


class BinaryCrossentropy(Regression):
    """The mean over the last axis of ``-t * log(p) - (1 - t) * log(1 - p)``, for labels of 0 and 1.

    prediction: probabilities, or logits; target: of the same shape, float or int.
    """

    kind = "binary_crossentropy"
    aliases = ("bce", "bce_loss", "binary_cross_entropy")
    attributes = (
        label_smoothing("1/2"),
        LOGITS,
        Attribute(
            "epsilon",
            Optional(Number(0, 0.5, above=True, below=True)),
            keras=1e-7,
            pytorch=None,
            doc="Probabilities are limited to [epsilon, 1 - epsilon] as in Keras; with null their "
            "logarithms are at least -100 instead, as in PyTorch. Logits need no limit.",
        ),
    )
    fuses = "sigmoid"
    samples = tuple(
        Sample(
            (TensorType("float", (BATCH, 3)), TensorType(dtype, (BATCH, 3))),
            attributes,
            conventions,
        )
        for dtype, attributes, conventions in (
            ("float", {}, "keras"),
            ("int", {"label_smoothing": 0.1}, "keras"),
            ("float", {"label_smoothing": 0.2}, "pytorch"),
            ("int", {"from_logits": True}, "pytorch"),
            ("float", {"from_logits": True, "label_smoothing": 0.1}, "keras"),
        )
    )

    def function(self, node: Node) -> str:
        if node["from_logits"]:
            return "binary_crossentropy_from_logits"
        return "binary_crossentropy" if node["epsilon"] else "binary_crossentropy_floored"

    def literals(self, node: Node) -> tuple[Any, ...]:
        limited = not node["from_logits"] and node["epsilon"]
        return (node["label_smoothing"], *((node["epsilon"],) if limited else ()))

    def _values(self, node: Node, from_logits: str, floored: str) -> str:
        target = "{target}"
        if node["label_smoothing"]:
            target = f"smooth_binary({{target}}, {node['label_smoothing']!r})"
        if node["from_logits"]:
            template = from_logits
        elif node["epsilon"]:
            template = f"binary_crossentropy({{prediction}}, {{target}}, {node['epsilon']!r})"
        else:
            template = floored
        return template.replace("{target}", target)

    def torch_values(self, node: Node) -> str:
        return self._values(
            node,
            'F.binary_cross_entropy_with_logits({prediction}, {target}, reduction="none")',
            'F.binary_cross_entropy({prediction}, {target}, reduction="none")',
        )

    def tensorflow_values(self, node: Node) -> str:
        return self._values(
            node,
            "tf.nn.sigmoid_cross_entropy_with_logits(labels={target}, logits={prediction})",
            "binary_crossentropy_floored({prediction}, {target})",
        )


OPS: tuple[type[Loss], ...] = (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Huber,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
LOSSES: dict[str, Any] = {op.kind: op() for op in OPS}

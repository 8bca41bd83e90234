"""What the losses share: ops from (prediction, target) to one value per position.

The training program reduces the values.
"""

from __future__ import annotations

from typing import Any, ClassVar

from specc.ir.graph import Node
from specc.ir.types import TensorType
from specc.ops.advice import count
from specc.ops.attributes import Attribute, Boolean, Number
from specc.ops.base import Form, Op, OpProblem, Port, Site
from specc.ops.gradients import GradientBuilder

LOGITS = Attribute(
    "from_logits",
    Boolean(),
    False,
    "The prediction is before its softmax or sigmoid. A softmax or sigmoid that feeds the loss is "
    "fused into this form by the compiler.",
)


def label_smoothing(towards: str) -> Attribute:
    doc = f"The share of each target that is moved to {towards}."
    return Attribute("label_smoothing", Number(0, 1), 0.0, doc)


class Loss(Op):
    """Base of the losses. ``fuses`` is the activation that its stable form absorbs."""

    family = "losses"
    ports = (Port("prediction", dtype="float"), Port("target", dtype="any"))
    internal = True
    fuses: ClassVar[str | None] = None

    def function(self, node: Node) -> str:
        """The kernel's name in the NumPy prelude."""
        return self.kind

    def literals(self, node: Node) -> tuple[Any, ...]:
        """Arguments of the kernel after prediction and target."""
        return ()

    def arguments(self, node: Node, prediction: str, target: str) -> str:
        """Prediction and target as the NumPy kernel takes them, from what stands for them."""
        return f"{prediction}, {cast_target(node, f'{target}.astype({prediction}.dtype)', target)}"

    def numpy(self, node: Node) -> Form:
        extra = "".join(f", {each!r}" for each in self.literals(node))
        arguments = self.arguments(node, "{prediction}", "{target}")
        return Form(f"{self.function(node)}({arguments}{extra})")

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        """``g.of(output)`` is the weight of each value in the total loss."""
        prediction, target = node.inputs
        weights = g.of(node.outputs[0])
        assert prediction is not None and target is not None and weights is not None
        template = self.gradient_template(node)
        values = (prediction, target, weights)
        g.add(prediction, g.expression(template, values, prediction.type, f"d_{prediction.name}"))

    def gradient_template(self, node: Node) -> str:
        """The gradient by the prediction {0}, from the target {1} and each value's weight {2}."""
        extra = "".join(f", {each!r}" for each in self.literals(node))
        arguments = self.arguments(node, "{0}", "{1}")
        return f"{self.function(node)}_gradient({arguments}{extra}, weights={{2}})"


def type_of(node: Node, port: int = 0) -> TensorType:
    """The type of the prediction (port 0) or the target (port 1)."""
    value = node.inputs[port]
    assert value is not None
    return value.type


def cast_target(node: Node, cast: str, plain: str = "{target}") -> str:
    """``cast`` where the target is not of the prediction's type, else ``plain``."""
    return plain if type_of(node, 1).dtype == "float" else cast


def torch_target(node: Node) -> str:
    return cast_target(node, "{target}.to({prediction}.dtype)")


def tensorflow_target(node: Node) -> str:
    return cast_target(node, "tf.cast({target}, {prediction}.dtype)")


def same_shape(site: Site, kind: str) -> None:
    """Refuses (N, 1) against (N,), which frameworks broadcast to (N, N) in silence."""
    prediction, target = site.inputs
    assert prediction is not None and target is not None
    if prediction.shape == target.shape:
        return
    raise OpProblem(
        f"{kind} needs a target of the prediction's shape: the prediction is {prediction}, "
        f"the target {target}",
        help=_shape_advice(prediction, target, site.name(0) if site.names else "the prediction"),
        port="target",
        code="E0603",
        about="target",
        axes=unlike_axes(prediction, target),
    )


def unlike_axes(prediction: TensorType, target: TensorType) -> tuple[tuple[int, int], ...]:
    """The axes of prediction and target, as (input, axis), whose sizes are not the same; the last
    one of the prediction where their numbers differ."""
    if prediction.rank != target.rank:
        return ((0, prediction.rank - 1),)
    pairs = zip(prediction.shape, target.shape, strict=True)
    differ = [axis for axis, (left, right) in enumerate(pairs) if left != right]
    return ((0, differ[-1]), (1, differ[-1]))


def _shape_advice(prediction: TensorType, target: TensorType, name: str) -> str:
    """How a target gets the shape of the prediction, or the reverse."""
    inner, last = prediction.shape[1:], prediction.shape[-1]
    declared = TensorType(target.dtype, prediction.shape)
    if last == 1 and prediction.shape[:-1] == target.shape:
        return (
            f"declare the target as {declared}; broadcasting (N, 1) against (N,) would compare "
            "every sample with every other"
        )
    without = TensorType("int", prediction.shape[:-1])
    classes = f"for one of {last} classes, use sparse_categorical_crossentropy with {without}"
    if prediction.shape[:-1] == target.shape:
        one = TensorType(target.dtype, (*target.shape, 1))
        return f"{classes}; for one number, give {name} 1 unit, and declare the target as {one}"
    if prediction.shape[:-1] == target.shape[:-1]:
        units = f"give {name} {count(target.shape[-1], 'unit')} (for a convolution, filters)"
        return f"{units}; {classes}" if target.shape[-1] == 1 else units
    if prediction.rank == target.rank and prediction.rank > 2:
        pairs = zip(inner, target.shape[1:], strict=True)
        scaled = [f"{right} to {left}" for left, right in pairs if left != right]
        return f"prepare the target in the size of the prediction: {', '.join(scaled)}"
    return f"declare the target as {declared}"

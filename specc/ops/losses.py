"""Losses: ops from (prediction, target) to one value per position, reduced by the training program."""

from __future__ import annotations

from typing import Any, ClassVar

from specc.ir.dims import BATCH
from specc.ir.graph import Node
from specc.ir.types import TensorType
from specc.ops.attributes import Attribute, Boolean
from specc.ops.base import BadSample, Form, Op, OpProblem, Port, Sample, Site
from specc.ops.gradients import GradientBuilder

_LOGITS = Attribute(
    "from_logits",
    Boolean(),
    False,
    "The prediction is before its softmax or sigmoid. A softmax or sigmoid that feeds the loss is fused into "
    "this form by the compiler.",
)


class Loss(Op):
    """Base of the losses. ``fuses`` is the activation that the loss absorbs into its stable form."""

    family = "losses"
    ports = (Port("prediction", dtype="float"), Port("target", dtype="any"))
    internal = True
    fuses: ClassVar[str | None] = None
    # Arguments of the kernel after prediction and target.
    literals: ClassVar[tuple[str, ...]] = ()

    def function(self, node: Node) -> str:
        """The kernel's name in the NumPy prelude."""
        return self.kind

    def _call(self, name: str, node: Node, first: str) -> str:
        return f"{name}({', '.join([first, *(repr(node[each]) for each in self.literals)])})"

    def numpy(self, node: Node) -> Form:
        return Form(self._call(self.function(node), node, "{prediction}, {target}"))

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        """``g.of(output)`` is the weight of each value in the total loss."""
        prediction, target = node.inputs
        weights = g.of(node.outputs[0])
        assert prediction is not None and target is not None and weights is not None
        extra = "".join(f", {node[each]!r}" for each in self.literals)
        template = f"{self.function(node)}_gradient({{0}}, {{1}}{extra}, weights={{2}})"
        values = (prediction, target, weights)
        g.add(prediction, g.expression(template, values, prediction.type, f"d_{prediction.name}"))


def same_shape(site: Site, kind: str) -> None:
    """Refuses (N, 1) against (N,), which frameworks broadcast to (N, N) in silence."""
    prediction, target = site.inputs
    assert prediction is not None and target is not None
    if prediction.shape == target.shape:
        return
    hint = ""
    if prediction.shape[-1] == 1 and prediction.shape[:-1] == target.shape:
        inner = ", ".join(map(str, prediction.shape[1:]))
        hint = (
            f"declare the target as {target.dtype}[{inner}]; broadcasting (N, 1) against (N,) would "
            "compare every sample with every other"
        )
    raise OpProblem(
        f"{kind} needs a target of the prediction's shape: the prediction is {prediction}, "
        f"the target {target}",
        help=hint,
        port="target",
        code="E0603",
    )


class MeanSquaredError(Loss):
    """``mean((prediction - target)**2)`` over the last axis."""

    kind = "mean_squared_error"
    aliases = ("mse", "mse_loss")
    samples = (Sample((TensorType("float", (BATCH, 3)), TensorType("float", (BATCH, 3)))),)
    bad = (
        BadSample(
            (TensorType("float", (BATCH, 1)), TensorType("float", (BATCH,))), {}, "target of the"
        ),
    )

    def infer(self, site: Site) -> TensorType:
        same_shape(site, self.kind)
        return TensorType("float", site.input.shape[: max(1, site.input.rank - 1)])

    def torch(self, node: Node) -> Form:
        mean = ".mean(-1)" if len(node.outputs[0].type.shape) < node.inputs[0].type.rank else ""  # type: ignore[union-attr]
        return Form(f'F.mse_loss({{prediction}}, {{target}}, reduction="none"){mean}')

    def tensorflow(self, node: Node) -> Form:
        squared = "tf.math.squared_difference({prediction}, {target})"
        if len(node.outputs[0].type.shape) < node.inputs[0].type.rank:  # type: ignore[union-attr]
            return Form(f"tf.reduce_mean({squared}, -1)")
        return Form(squared)


class SparseCategoricalCrossentropy(Loss):
    """``-log p[label]``: the negative log-likelihood of an integer class.

    prediction: (batch, ..., classes), probabilities or logits; target: int (batch, ...).
    """

    kind = "sparse_categorical_crossentropy"
    aliases = ("cross_entropy",)
    ports = (Port("prediction"), Port("target", dtype="int"))
    attributes = (_LOGITS,)
    fuses = "softmax"
    samples = (
        Sample((TensorType("float", (BATCH, 5)), TensorType("int", (BATCH,)))),
        Sample(
            (TensorType("float", (BATCH, 5)), TensorType("int", (BATCH,))), {"from_logits": True}
        ),
    )
    bad = (
        BadSample(
            (TensorType("float", (BATCH, 5)), TensorType("int", (BATCH, 5))), {}, "one class per"
        ),
    )

    def infer(self, site: Site) -> TensorType:
        prediction, target = site.inputs
        assert prediction is not None and target is not None
        if target.shape != prediction.shape[:-1]:
            hint = ""
            if target.shape == prediction.shape:
                hint = "one-hot targets go with categorical_crossentropy"
            elif target.shape == (*prediction.shape[:-1], 1):
                hint = "remove the last axis of the target"
            raise OpProblem(
                f"{self.kind} needs one class per position: the prediction is {prediction} with the classes "
                f"last, so the target must be int[{', '.join(map(str, prediction.shape[1:-1]))}], not {target}",
                help=hint,
                port="target",
                code="E0603",
            )
        return TensorType("float", target.shape)

    def function(self, node: Node) -> str:
        return f"{self.kind}_from_logits" if node["from_logits"] else self.kind

    def torch(self, node: Node) -> Form:
        if not node["from_logits"]:
            return Form("sparse_categorical_crossentropy({prediction}, {target})")
        if node.inputs[0].type.rank == 2:  # type: ignore[union-attr]
            return Form('F.cross_entropy({prediction}, {target}, reduction="none")')
        return Form('F.cross_entropy({prediction}.movedim(-1, 1), {target}, reduction="none")')

    def tensorflow(self, node: Node) -> Form:
        if not node["from_logits"]:
            return Form("sparse_categorical_crossentropy({prediction}, {target})")
        return Form(
            "tf.nn.sparse_softmax_cross_entropy_with_logits(labels={target}, logits={prediction})"
        )


OPS: tuple[type[Loss], ...] = (MeanSquaredError, SparseCategoricalCrossentropy)
LOSSES: dict[str, Any] = {op.kind: op() for op in OPS}

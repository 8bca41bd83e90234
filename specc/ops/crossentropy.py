"""Cross-entropies over classes."""

from __future__ import annotations

from typing import Any

from specc.ir.dims import BATCH, Dim, product
from specc.ir.graph import Node
from specc.ir.types import TensorType
from specc.ops.attributes import Attribute, Integer, Number
from specc.ops.base import BadSample, Form, OpProblem, Port, Sample, Site
from specc.ops.loss import (
    LOGITS,
    Loss,
    cast_target,
    label_smoothing,
    same_shape,
    tensorflow_target,
    torch_target,
    type_of,
)

_EPSILON = Attribute(
    "epsilon",
    Number(0, 0.5, above=True, below=True),
    1e-7,
    "Probabilities are limited to [epsilon, 1 - epsilon] before their logarithm; logits are not.",
)
_AXIS = Attribute(
    "axis", Integer(), keras=-1, pytorch=1, doc="The axis of the classes, the batch being 0."
)


def _class_axis(node: Node) -> int | None:
    """The axis of the classes where it is not the last."""
    rank = type_of(node).rank
    axis = int(node["axis"]) % rank
    return None if axis == rank - 1 else axis


def _last(node: Node, template: str, backend: str) -> str:
    """``template``, a tensor with the axis of the classes moved to the end."""
    axis, rank = _class_axis(node), type_of(node).rank
    if axis is None:
        return template
    if backend == "numpy":
        return f"np.moveaxis({template}, {axis}, -1)"
    if backend == "torch":
        return f"{template}.movedim({axis}, -1)"
    order = [*(each for each in range(rank) if each != axis), axis]
    return f"tf.transpose({template}, {order})"


def _torch_cross_entropy(node: Node, target: str) -> str:
    """torch's loss of logits, which wants the classes on axis 1."""
    axis, rank = _class_axis(node), type_of(node).rank
    prediction = "{prediction}"
    if rank > 2 and axis != 1:
        moved = f".movedim({-1 if axis is None else axis}, 1)"
        prediction += moved
        target += moved if node.op == "categorical_crossentropy" else ""
    smoothing = node["label_smoothing"]
    extra = f", label_smoothing={smoothing!r}" if smoothing else ""
    return f'F.cross_entropy({prediction}, {target}, reduction="none"{extra})'


def _class_advice(prediction: TensorType, target: TensorType, wanted: tuple[Dim, ...]) -> str:
    """How integer classes get the shape that the prediction asks for."""
    if target.shape == prediction.shape:
        return "one-hot targets go with categorical_crossentropy"
    if target.shape == (*wanted, 1):
        return f"remove the last axis of the target: {TensorType('int', wanted)}"
    if target.shape == prediction.shape[:-1]:
        return "set axis to -1 if the classes are on the last axis"
    given, asked = product(target.shape[1:]), product(wanted[1:])
    if given == asked and target.rank != len(wanted):
        return f"give the target another shape, or reshape the prediction to that of {target}"
    return ""


class Crossentropy(Loss):
    """Base of the cross-entropies over classes."""

    fuses = "softmax"

    def classes(self, site: Site) -> int:
        """The axis of the classes, counted from the front."""
        rank = site.input.rank
        if rank < 2:
            raise OpProblem(
                f"{self.kind} needs an axis of classes beside the batch; "
                f"the prediction is {site.input}",
                port="prediction",
                code="E0603",
            )
        if not -rank < site["axis"] < rank or site["axis"] == 0:
            raise OpProblem(
                f"axis {site['axis']} cannot be that of the classes: the prediction {site.input} "
                f"has {rank} axes, of which axis 0 is the batch",
                attribute="axis",
            )
        return int(site["axis"]) % rank

    def function(self, node: Node) -> str:
        return f"{self.kind}_from_logits" if node["from_logits"] else self.kind

    def literals(self, node: Node) -> tuple[Any, ...]:
        if node["from_logits"]:
            return (node["label_smoothing"],)
        return (node["label_smoothing"], node["epsilon"])

    def gradient_template(self, node: Node) -> str:
        template, axis = super().gradient_template(node), _class_axis(node)
        return template if axis is None else f"np.moveaxis({template}, -1, {axis})"


class CategoricalCrossentropy(Crossentropy):
    """``-sum(target * log(p))`` over the classes, for one-hot targets or given probabilities.

    prediction and target: (batch, ..., classes), or classes elsewhere by ``axis``; probabilities
    are divided by their sum first.
    """

    kind = "categorical_crossentropy"
    attributes = (label_smoothing("all classes evenly"), LOGITS, _EPSILON, _AXIS)
    samples = tuple(
        Sample((TensorType("float", shape), TensorType(dtype, shape)), attributes, conventions)
        for shape, dtype, attributes, conventions in (
            ((BATCH, 5), "float", {}, "keras"),
            ((BATCH, 5), "int", {"from_logits": True, "label_smoothing": 0.1}, "pytorch"),
            ((BATCH, 4, 5), "float", {"label_smoothing": 0.1}, "keras"),
            ((BATCH, 3, 2, 4), "float", {"from_logits": True}, "keras"),
            ((BATCH, 3, 2, 4), "float", {"from_logits": True}, "pytorch"),
            ((BATCH, 3, 2, 4), "float", {"axis": 2}, "pytorch"),
        )
    )
    bad = (
        BadSample(
            (TensorType("float", (BATCH, 5)), TensorType("float", (BATCH,))), {}, "target of the"
        ),
        BadSample(
            (TensorType("float", (BATCH, 5)), TensorType("float", (BATCH, 5))),
            {"axis": 2},
            "axis 2 cannot be that of the classes",
        ),
    )

    def infer(self, site: Site) -> TensorType:
        axis = self.classes(site)
        prediction, target = site.inputs
        assert prediction is not None and target is not None
        if target.dtype == "int" and target.rank == prediction.rank - 1:
            raise OpProblem(
                f"{self.kind} needs a target of the prediction's shape: the prediction is "
                f"{prediction}, the target {target}",
                help="integer classes go with sparse_categorical_crossentropy",
                port="target",
                code="E0603",
                about="target",
            )
        if target.shape == (*prediction.shape[:-1], 1) != prediction.shape:
            raise OpProblem(
                f"{self.kind} needs a target of the prediction's shape: the prediction is "
                f"{prediction}, the target {target}",
                help="a column of classes goes with sparse_categorical_crossentropy, declared as "
                f"{TensorType('int', prediction.shape[:-1])}",
                port="target",
                code="E0603",
                about="target",
            )
        same_shape(site, self.kind)
        return TensorType("float", (*prediction.shape[:axis], *prediction.shape[axis + 1 :]))

    def arguments(self, node: Node, prediction: str, target: str) -> str:
        target = cast_target(node, f"{target}.astype({prediction}.dtype)", target)
        return f"{_last(node, prediction, 'numpy')}, {_last(node, target, 'numpy')}"

    def torch(self, node: Node) -> Form:
        target = torch_target(node)
        if node["from_logits"]:
            return Form(_torch_cross_entropy(node, target))
        return self._own(node, _last(node, target, "torch"), "torch")

    def tensorflow(self, node: Node) -> Form:
        return self._own(node, _last(node, tensorflow_target(node), "tensorflow"), "tensorflow")

    def _own(self, node: Node, target: str, backend: str) -> Form:
        prediction = _last(node, "{prediction}", backend)
        if node["label_smoothing"]:
            target = f"smooth_classes({target}, {node['label_smoothing']!r})"
        extra = "" if node["from_logits"] else f", {node['epsilon']!r}"
        return Form(f"{self.function(node)}({prediction}, {target}{extra})")


class SparseCategoricalCrossentropy(Crossentropy):
    """``-log(p[label])``: the negative log-likelihood of an integer class.

    prediction: (batch, ..., classes), or classes elsewhere by ``axis``, probabilities or logits;
    target: int (batch, ...), counting classes from 0. Probabilities are divided by their sum first.
    """

    kind = "sparse_categorical_crossentropy"
    aliases = ("cross_entropy",)
    ports = (Port("prediction"), Port("target", dtype="int"))
    attributes = (label_smoothing("all classes evenly"), LOGITS, _EPSILON, _AXIS)
    samples = tuple(
        Sample(
            (TensorType("float", shape), TensorType("int", (*shape[:axis], *shape[axis + 1 :]))),
            attributes,
            conventions,
        )
        for shape, axis, attributes, conventions in (
            ((BATCH, 5), 1, {}, "keras"),
            ((BATCH, 5), 1, {"label_smoothing": 0.1}, "keras"),
            ((BATCH, 5), 1, {"from_logits": True}, "keras"),
            ((BATCH, 4, 5), 2, {"from_logits": True, "label_smoothing": 0.1}, "keras"),
            ((BATCH, 4, 3, 2), 1, {"from_logits": True}, "pytorch"),
            ((BATCH, 4, 3), 1, {"label_smoothing": 0.1}, "pytorch"),
        )
    )
    bad = (
        BadSample(
            (TensorType("float", (BATCH, 5)), TensorType("int", (BATCH, 5))), {}, "one class per"
        ),
    )

    def infer(self, site: Site) -> TensorType:
        axis = self.classes(site)
        prediction, target = site.inputs
        assert prediction is not None and target is not None
        wanted = (*prediction.shape[:axis], *prediction.shape[axis + 1 :])
        if target.shape != wanted:
            raise OpProblem(
                f"{self.kind} needs one class per position: the prediction is {prediction} with "
                f"the classes on axis {axis}, so the target must be "
                f"int[{', '.join(map(str, wanted[1:]))}], not {target}",
                help=_class_advice(prediction, target, wanted),
                port="target",
                code="E0603",
                about="target",
                axes=((0, 1),),
            )
        return TensorType("float", wanted)

    def _one_hot(self, node: Node) -> bool:
        """Smoothed labels of probabilities go through the loss of one-hot targets."""
        return bool(node["label_smoothing"]) and not node["from_logits"]

    def function(self, node: Node) -> str:
        return "categorical_crossentropy" if self._one_hot(node) else super().function(node)

    def literals(self, node: Node) -> tuple[Any, ...]:
        if node["from_logits"] or self._one_hot(node):
            return super().literals(node)
        return (node["epsilon"],)

    def arguments(self, node: Node, prediction: str, target: str) -> str:
        if self._one_hot(node):
            target = f"np.eye({self._count(node)}, dtype={prediction}.dtype)[{target}]"
        return f"{_last(node, prediction, 'numpy')}, {target}"

    def _count(self, node: Node) -> str:
        return str(type_of(node).shape[node["axis"]])

    def torch(self, node: Node) -> Form:
        if node["from_logits"]:
            return Form(_torch_cross_entropy(node, "{target}"))
        one_hot = f"F.one_hot({{target}}, {self._count(node)}).to({{prediction}}.dtype)"
        return self._own(node, one_hot, "torch")

    def tensorflow(self, node: Node) -> Form:
        if node["from_logits"] and not node["label_smoothing"]:
            logits = _last(node, "{prediction}", "tensorflow")
            function = "tf.nn.sparse_softmax_cross_entropy_with_logits"
            return Form(f"{function}(labels={{target}}, logits={logits})")
        one_hot = f"tf.one_hot({{target}}, {self._count(node)}, dtype={{prediction}}.dtype)"
        return self._own(node, one_hot, "tensorflow")

    def _own(self, node: Node, one_hot: str, backend: str) -> Form:
        prediction = _last(node, "{prediction}", backend)
        extra = "" if node["from_logits"] else f", {node['epsilon']!r}"
        if not node["label_smoothing"]:
            return Form(f"{self.kind}({prediction}, {{target}}{extra})")
        target = f"smooth_classes({one_hot}, {node['label_smoothing']!r})"
        suffix = "_from_logits" if node["from_logits"] else ""
        return Form(f"categorical_crossentropy{suffix}({prediction}, {target}{extra})")

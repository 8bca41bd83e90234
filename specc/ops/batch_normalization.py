"""Normalization over the batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from specc.ir.dims import BATCH, Dim, product
from specc.ir.graph import Initializer, Node, Parameter
from specc.ir.types import TensorType
from specc.ops.attributes import Attribute, Boolean, Choice, Integer, Number
from specc.ops.base import BadSample, Form, Module, Op, OpProblem, Port, Sample, Site, Weight
from specc.ops.gradients import GradientBuilder
from specc.ops.normalization import SCALE_AND_CENTER, epsilon, named, scale_and_center
from specc.ops.options import given
from specc.ops.shapes import existing_axis

_ROWS = TensorType("float", (BATCH, 6))
_STEPS = TensorType("float", (BATCH, 5, 4))
_IMAGE = TensorType("float", (BATCH, 4, 3, 2))


class BatchNorm(Op):
    """Normalizes each feature by its mean and variance over the batch and all positions.

    ``output = (input - mean) / sqrt(variance + epsilon) * gamma + beta``, in training with the
    statistics of the batch, in inference with moving ones, ``k * moving + (1 - k) * batch``, where
    k is ``momentum`` if it is the weight of the old value (Keras) and ``1 - momentum`` if it is
    that of the new one (PyTorch). Source: Ioffe and Szegedy, 2015.

    input: (batch, ..., features, ...) with the features on ``axis``; mask (keras convention): True
    at the positions that count in the statistics; gamma, beta, moving_mean, moving_variance:
    (features,). With ``unbiased_variance`` a batch of one value per feature is an error in
    training, as in PyTorch.
    """

    kind = "batch_norm"
    aliases = ("batch_norm1d", "batch_norm2d", "batch_normalization")
    family = "normalization"
    layout = "any"
    ports = (Port("input"), Port("mask", dtype="bool", optional=True))
    attributes = (
        Attribute(
            "axis",
            Integer(),
            keras=-1,
            pytorch=1,
            doc="The axis of the features, the batch being 0.",
        ),
        Attribute(
            "momentum",
            Number(0, 1),
            keras=0.99,
            pytorch=0.1,
            doc="Weight of the old or the new value in the moving statistics: see momentum_weighs.",
        ),
        Attribute(
            "momentum_weighs",
            Choice(("old", "new")),
            keras="old",
            pytorch="new",
            doc="What momentum is the weight of: the value that is there (Keras) or the new one.",
        ),
        epsilon(),
        *SCALE_AND_CENTER,
        Attribute(
            "unbiased_variance",
            Boolean(),
            keras=False,
            pytorch=True,
            doc="Whether the moving variance takes the batch's variance times n / (n - 1).",
        ),
        Attribute("trainable", Boolean(), True, "Whether gamma and beta are trained."),
        Attribute(
            "freeze_statistics",
            Boolean(),
            keras=True,
            pytorch=False,
            doc="Whether a layer with trainable: false uses its moving statistics in training and "
            "leaves them as they are (Keras), or goes on as usual (PyTorch).",
        ),
    )
    refused = {
        "num_features": "specc infers the number of features; remove it",
        "eps": "write epsilon",
        "affine": "write center and scale",
        "track_running_stats": "moving statistics are always kept; remove it",
        "renorm": "batch renormalization is not part of batch_norm; remove it",
    }
    samples = (
        Sample((_ROWS, None)),
        Sample((_STEPS, None), {"momentum": 0.5, "scale": False}),
        Sample((_IMAGE, None), {"axis": 1, "center": False, "epsilon": 0.1}),
        Sample((_IMAGE, None), {"trainable": False}),
        Sample((_STEPS, TensorType("bool", (BATCH, 5)))),
        Sample((_ROWS, None), {}, "pytorch"),
        Sample((_STEPS, None), {"center": False, "scale": False}, "pytorch"),
        Sample((_IMAGE, None), {"center": False}, "pytorch"),
        Sample((_IMAGE, None), {"trainable": False}, "pytorch"),
    )
    bad = (
        BadSample((_ROWS, None), {"axis": 2}, "axis 2 does not exist"),
        BadSample((_ROWS, None), {"axis": 0}, "axis 0 is the batch"),
        BadSample((_STEPS, TensorType("bool", (BATCH, 4))), {}, "one value per position"),
        BadSample(
            (_STEPS, TensorType("bool", (BATCH, 5))),
            {"axis": 1},
            "with the features on the last axis",
        ),
        BadSample(
            (_STEPS, TensorType("bool", (BATCH, 5))), {"unbiased_variance": True}, "biased variance"
        ),
    )

    def infer(self, site: Site) -> TensorType:
        axis = existing_axis(site)
        site.static(axis, "the number of features")
        mask = site.inputs[1]
        if mask is None:
            return site.input
        if axis != site.input.rank - 1:
            raise OpProblem(
                f"a masked batch_norm works with the features on the last axis, not on axis {axis}",
                help="write axis: -1, or stop the mask before this layer",
                attribute="axis",
            )
        if mask.shape != site.input.shape[:-1]:
            raise OpProblem(
                f"the mask of batch_norm has one value per position of the input {site.input}, "
                f"not {mask}",
                port="mask",
            )
        if site["unbiased_variance"] or not (site["trainable"] or site["freeze_statistics"]):
            raise OpProblem(
                "a masked batch_norm keeps the biased variance, and freezes as Keras does",
                help="write unbiased_variance: false and freeze_statistics: true",
                attribute="unbiased_variance",
            )
        return site.input

    def parameters(self, site: Site) -> tuple[Parameter, ...]:
        features = site.static(existing_axis(site), "the number of features")
        trained = scale_and_center(site, (features,), features)
        return (
            *(replace(each, trainable=site["trainable"]) for each in trained),
            Parameter("moving_mean", (features,), Initializer("zeros"), trainable=False),
            Parameter("moving_variance", (features,), Initializer("ones"), trainable=False),
        )

    def flops(self, node: Node) -> Dim:
        return product(node.outputs[0].type.shape) * 4

    def _frozen(self, node: Node) -> bool:
        """Whether the moving statistics are used and kept in training."""
        return not node["trainable"] and bool(node["freeze_statistics"])

    def _kept(self, node: Node) -> float:
        """The weight of the old value in the moving statistics."""
        momentum: float = node["momentum"]
        return momentum if node["momentum_weighs"] == "old" else _complement(momentum)

    def _axis(self, node: Node) -> int:
        return int(node["axis"] % node.outputs[0].type.rank)

    def _features(self, node: Node) -> int:
        size = node.outputs[0].type.shape[self._axis(node)]
        assert isinstance(size, int)
        return size

    # NumPy

    def _numpy_axes(self, node: Node) -> tuple[int, ...]:
        return tuple(a for a in range(node.outputs[0].type.rank) if a != self._axis(node))

    def numpy(self, node: Node) -> Form:
        arguments = f"{{input}}, {named(node, 'gamma')}, {named(node, 'beta')}"
        axes, epsilon = self._numpy_axes(node), node["epsilon"]
        inference = (
            f"batch_norm_inference({arguments}, {{moving_mean}}, {{moving_variance}}, "
            f"{axes}, {epsilon})"
        )
        if self._frozen(node):
            return Form(inference)
        count = f", {{input}}.size // {self._features(node)}" if node["unbiased_variance"] else ""
        update = (
            "update_statistics({moving_mean}, {moving_variance}, {mean}, {variance}, "
            f"{self._kept(node)}{count})"
        )
        if node.inputs[1] is None:
            training = f"batch_norm({arguments}, {axes}, {epsilon})"
        else:
            masked = arguments.replace("{input}", "{input}, {mask}", 1)
            training = f"batch_norm_masked({masked}, {epsilon})"
        saved = tuple(name for name, _ in self.saved(node))
        return Form(training, saved=saved, effects=(update,), inference=inference)

    def saved(self, node: Node) -> tuple[tuple[str, TensorType], ...]:
        if self._frozen(node):
            return ()
        y = node.outputs[0].type
        features = TensorType("float", (self._features(node),))
        names = ("mean", "variance", "inverse_deviation")
        return (("normalized", y), *((name, features) for name in names))

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        (x, mask), (y,) = node.inputs, node.outputs
        dy = g.of(y)
        assert x is not None and dy is not None
        gamma = g.parameter(node, "gamma") if node["scale"] else None
        beta = g.parameter(node, "beta") if node["center"] else None
        wanted = (x if g.wants(x) else None, *(p if g.wants(p) else None for p in (gamma, beta)))
        types = [each.type if each is not None else None for each in wanted]
        axes = self._numpy_axes(node)
        if self._frozen(node):
            statistics = (g.parameter(node, "moving_mean"), g.parameter(node, "moving_variance"))
            function = "batch_norm_inference_gradient"
            arguments: tuple[Any, ...] = (dy, x, gamma, *statistics, axes, node["epsilon"])
        elif mask is None:
            function = "batch_norm_gradient"
            kept = g.saved(node, "normalized"), gamma, g.saved(node, "inverse_deviation")
            arguments = (dy, *kept, axes)
        else:
            function = "batch_norm_masked_gradient"
            kept = g.saved(node, "normalized"), mask, gamma  # type: ignore[assignment]
            arguments = (dy, *kept, g.saved(node, "inverse_deviation"))
        names = [f"d_{each.name}" if each is not None else "_" for each in wanted]
        results = g.call(function, arguments, types, names)
        for each, result in zip(wanted, results, strict=True):
            if each is not None:
                g.add(each, result)

    # PyTorch and TensorFlow

    def torch(self, node: Node) -> Form:
        rank, axis = node.outputs[0].type.rank, self._axis(node)
        spatial = rank - 2
        own = (
            not node["unbiased_variance"]
            or node["scale"] != node["center"]
            or self._frozen(node)
            or spatial > 3
        )
        momentum = _complement(self._kept(node))
        weights = (
            Weight("gamma", ("weight",)),
            Weight("beta", ("bias",)),
            Weight("moving_mean", ("running_mean",)),
            Weight("moving_variance", ("running_var",)),
        )
        options: dict[str, Any]
        if own:
            kind = "BatchNorm"
            options = given(
                eps=(node["epsilon"], 1e-3),
                momentum=(momentum, 0.01),
                scale=(node["scale"], True),
                center=(node["center"], True),
                unbiased=(node["unbiased_variance"], False),
                frozen=(self._frozen(node), False),
            )
        else:
            kind = f"nn.BatchNorm{max(1, spatial)}d"
            options = given(
                eps=(node["epsilon"], 1e-5), momentum=(momentum, 0.1), affine=(node["scale"], True)
            )
        wrap = "{module}" if node["trainable"] else "{module}.requires_grad_(False)"
        module = Module(kind, (self._features(node),), options, weights, wrap)
        mask = ", {mask}" if node.inputs[1] is not None else ""
        image = "{input}" if axis == 1 else f"{{input}}.movedim({axis}, 1)"
        call = f"{{self}}({image}{mask})"
        sizes = (
            size for each, size in enumerate(node.outputs[0].type.shape) if each not in (0, axis)
        )
        if rank > 3 and any(size == 1 or not isinstance(size, int) for size in sizes):
            call = f"narrow({{self}}({image}.contiguous(){mask}))"
        return Form(call if axis == 1 else f"{call}.movedim(1, {axis})", module=module)

    def tensorflow(self, node: Node) -> Form:
        rank, axis = node.outputs[0].type.rank, self._axis(node)
        own = not self._frozen(node) and (node["unbiased_variance"] or not node["trainable"])
        options = given(
            axis=(-1 if axis == rank - 1 else axis, -1),
            momentum=(self._kept(node), 0.99),
            epsilon=(node["epsilon"], 1e-3),
            center=(node["center"], True),
            scale=(node["scale"], True),
            trainable=(node["trainable"], True),
        )
        kind = "keras.layers.BatchNormalization" if rank == 2 else "BatchNormalization"
        if own:
            kind = "TorchBatchNormalization"
            options |= given(unbiased=(node["unbiased_variance"], True))
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        module = Module(kind, (), options, tuple(Weight(name, (name,)) for name in names))
        mask = ", mask={mask}" if node.inputs[1] is not None else ""
        call = f"{{self}}({{input}}, training={{training}}{mask})"
        return Form(call, module=module, needs=("training",))


def _complement(share: float) -> float:
    """``1 - share`` as people write it: 0.01 and not 0.010000000000000009."""
    return round(1 - share, 15)


OPS = (BatchNorm,)

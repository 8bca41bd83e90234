"""Normalization over features, and what all normalizations share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from specc.ir.dims import BATCH, Dim, product
from specc.ir.graph import Node, Parameter, Value
from specc.ir.types import TensorType
from specc.ops.attributes import Attribute, Boolean, Integers, Number
from specc.ops.base import (
    BadSample,
    Form,
    Module,
    Op,
    OpProblem,
    Sample,
    Site,
    Weight,
    weight_parameter,
)
from specc.ops.gradients import GradientBuilder
from specc.ops.options import given, initializer, regularizer, short
from specc.ops.shapes import existing_axis

_ROWS = TensorType("float", (BATCH, 6))
_STEPS = TensorType("float", (BATCH, 5, 4))
_IMAGE = TensorType("float", (BATCH, 4, 3, 2))

SCALE_AND_CENTER = (
    Attribute("center", Boolean(), True, "Whether a trained offset beta is added."),
    Attribute("scale", Boolean(), True, "Whether the result is multiplied by a trained gamma."),
    initializer("beta", "zeros", "zeros"),
    initializer("gamma", "ones", "ones"),
    regularizer("beta"),
    regularizer("gamma"),
)


def epsilon() -> Attribute:
    return Attribute(
        "epsilon",
        Number(0, above=True),
        keras=1e-3,
        pytorch=1e-5,
        doc="Added to the variance, so that nothing is divided by 0.",
    )


def scale_and_center(site: Site, shape: tuple[int, ...], fan: int) -> tuple[Parameter, ...]:
    """gamma and beta, as far as they are wanted."""
    names = [
        name for name, wanted in (("gamma", site["scale"]), ("beta", site["center"])) if wanted
    ]
    return tuple(weight_parameter(site, name, shape, fan_in=fan, fan_out=fan) for name in names)


def named(node: Node, name: str) -> str:
    """A template for a parameter, or None where the layer has none of that name."""
    return f"{{{name}}}" if node.parameter(name) else "None"


@dataclass(frozen=True)
class Axes(Integers):
    """A list of axes, or one axis."""

    def wants(self) -> str:
        return "an axis or a list of axes"

    def parse(self, value: Any) -> tuple[int, ...]:
        return super().parse(value if isinstance(value, Sequence) else [value])

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "integer"}, super().schema()]}


class LayerNorm(Op):
    """Normalizes each sample by the mean and variance of its own features (Ba et al., 2016).

    ``output = (input - mean) / sqrt(variance + epsilon) * gamma + beta`` over ``axis``.

    input: (batch, ...); gamma and beta: the sizes of the axes, in their order.
    """

    kind = "layer_norm"
    aliases = ("layer_normalization",)
    family = "normalization"
    attributes = (
        Attribute("axis", Axes(), -1, "The axis or axes of the features, the batch being 0."),
        epsilon(),
        *SCALE_AND_CENTER,
    )
    refused = {
        "normalized_shape": "write axis, the axes that are normalized; specc infers their sizes",
        "eps": "write epsilon",
        "elementwise_affine": "write center and scale",
        "bias": "write center",
    }
    samples = (
        Sample((_STEPS,)),
        Sample((_IMAGE,), {"axis": [1, 3], "scale": False}),
        Sample((_STEPS,), {"axis": [1, 2], "center": False}),
        Sample((_STEPS,), {"axis": 1}),
        Sample((_ROWS,), {"center": False, "scale": False}, "pytorch"),
        Sample((_IMAGE,), {"axis": [1, 2, 3]}, "pytorch"),
    )
    bad = (
        BadSample((_ROWS,), {"axis": 2}, "axis 2 does not exist"),
        BadSample((_ROWS,), {"axis": [1, -1]}, "named twice"),
        BadSample((_ROWS,), {"axis": [0]}, "axis 0 is the batch"),
        BadSample((_ROWS,), {"axis": []}, "at least one axis"),
    )

    def infer(self, site: Site) -> TensorType:
        if not site["axis"]:
            raise OpProblem("layer_norm needs at least one axis", attribute="axis")
        axes = []
        for axis in site["axis"]:
            single = Site(site.inputs, {**site.attributes, "axis": axis}, site.conventions)
            axes.append(existing_axis(single))
            site.static(axes[-1], "the size of a normalized axis")
        if len(set(axes)) < len(axes):
            raise OpProblem(f"an axis of {list(site['axis'])} is named twice", attribute="axis")
        return site.input

    def parameters(self, site: Site) -> tuple[Parameter, ...]:
        axes = sorted(axis % site.input.rank for axis in site["axis"])
        shape = tuple(site.static(axis, "the size of a normalized axis") for axis in axes)
        return scale_and_center(site, shape, int(product(shape)))  # type: ignore[arg-type]

    def flops(self, node: Node) -> Dim:
        return product(node.outputs[0].type.shape) * 8

    def _axes(self, node: Node) -> tuple[int, ...]:
        rank = node.outputs[0].type.rank
        return tuple(sorted(axis % rank for axis in node["axis"]))

    def numpy(self, node: Node) -> Form:
        call = (
            f"layer_norm({{input}}, {named(node, 'gamma')}, {named(node, 'beta')}, "
            f"{self._axes(node)}, {node['epsilon']})"
        )
        return Form(call, saved=("normalized", "inverse_deviation"), inference=f"{call}[0]")

    def saved(self, node: Node) -> tuple[tuple[str, TensorType], ...]:
        y, axes = node.outputs[0].type, self._axes(node)
        shape = tuple(1 if axis in axes else size for axis, size in enumerate(y.shape))
        return ("normalized", y), ("inverse_deviation", TensorType("float", shape))

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        (x,), (y,) = node.inputs, node.outputs
        dy = g.of(y)
        assert x is not None and dy is not None
        gamma = g.parameter(node, "gamma") if node["scale"] else None
        beta = g.parameter(node, "beta") if node["center"] else None
        wanted: tuple[Value | None, ...] = (x if g.wants(x) else None, gamma, beta)
        types = [each.type if each is not None else None for each in wanted]
        kept = g.saved(node, "normalized"), gamma, g.saved(node, "inverse_deviation")
        arguments = (dy, *kept, self._axes(node))
        names = [f"d_{each.name}" if each is not None else "_" for each in wanted]
        results = g.call("layer_norm_gradient", arguments, types, names)
        for each, result in zip(wanted, results, strict=True):
            if each is not None:
                g.add(each, result)

    def torch(self, node: Node) -> Form:
        rank, axes = node.outputs[0].type.rank, self._axes(node)
        sizes = tuple(node.outputs[0].type.shape[axis] for axis in axes)
        shape = sizes[0] if len(sizes) == 1 else sizes
        affine = node["scale"] or node["center"]
        kind = "CentredLayerNorm" if node["center"] and not node["scale"] else "nn.LayerNorm"
        options = given(eps=(node["epsilon"], 1e-5))
        if kind == "nn.LayerNorm":
            options |= given(
                elementwise_affine=(affine, True), bias=(node["center"] or not affine, True)
            )
        weights = (Weight("gamma", ("weight",)), Weight("beta", ("bias",)))
        module = Module(kind, (shape,), options, weights)
        if axes == tuple(range(rank - len(axes), rank)):
            return Form("{self}({input})", module=module)
        order = (*(axis for axis in range(rank) if axis not in axes), *axes)
        back = tuple(sorted(range(rank), key=order.__getitem__))
        return Form(f"{{self}}({{input}}.permute{order}).permute{back}", module=module)

    def tensorflow(self, node: Node) -> Form:
        rank, axes = node.outputs[0].type.rank, self._axes(node)
        axis = -1 if axes == (rank - 1,) else short(axes) if len(axes) == 1 else list(axes)
        module = Module(
            "keras.layers.LayerNormalization",
            (),
            given(
                axis=(axis, -1),
                epsilon=(node["epsilon"], 1e-3),
                center=(node["center"], True),
                scale=(node["scale"], True),
            ),
            (Weight("gamma", ("gamma",)), Weight("beta", ("beta",))),
        )
        return Form("{self}({input})", module=module)


OPS = (LayerNorm,)

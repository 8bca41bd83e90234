"""Fully connected layers."""

from __future__ import annotations

from specc.ir.dims import BATCH, Dim, product
from specc.ir.graph import Node, Parameter
from specc.ir.types import TensorType
from specc.ops.attributes import Attribute, Integer
from specc.ops.base import (
    BadSample,
    Form,
    Module,
    Op,
    OpProblem,
    Port,
    Sample,
    Site,
    Weight,
    weight_parameter,
)
from specc.ops.gradients import GradientBuilder
from specc.ops.options import (
    USE_BIAS,
    activation,
    bias_initializer,
    given,
    kernel_initializer,
    regularizer,
)


class Dense(Op):
    """A fully connected layer: ``output = input @ kernel + bias`` over the last axis.

    input: (batch, ..., features); output: (batch, ..., units); kernel: (features, units); bias:
    (units,).
    """

    kind = "dense"
    aliases = ("linear",)
    family = "dense"
    ports = (Port("input", doc="(batch, ..., features)"),)
    attributes = (
        Attribute("units", Integer(1), doc="Number of neurons: the size of the last output axis."),
        activation(),
        USE_BIAS,
        kernel_initializer(),
        bias_initializer(),
        regularizer("kernel"),
        regularizer("bias"),
    )
    refused = {
        "in_features": "specc infers the input size; remove it",
        "out_features": "write units",
    }
    samples = (
        Sample((TensorType("float", (BATCH, 5)),), {"units": 3}),
        Sample((TensorType("float", (BATCH, 4, 6)),), {"units": 2, "use_bias": False}),
        Sample((TensorType("float", (BATCH, 7)),), {"units": 4}, "pytorch"),
    )
    bad = (
        BadSample((TensorType("float", (BATCH,)),), {"units": 3}, "at least 2 axes"),
        BadSample((TensorType("float", (BATCH, 5)),), {"units": 0}, "not a positive integer"),
    )

    def infer(self, site: Site) -> TensorType:
        if site.input.rank < 2:
            raise OpProblem(
                f"dense needs at least 2 axes, the batch and the features; it got {site.input}",
                port="input",
            )
        site.static(-1, "the number of features")
        return TensorType("float", (*site.input.shape[:-1], site["units"]))

    def size_from(self, site: Site, axis: int) -> str | tuple[int, int]:
        return "units" if axis == site.input.rank - 1 else (0, axis)

    def parameters(self, site: Site) -> tuple[Parameter, ...]:
        features, units = site.static(-1, "the number of features"), site["units"]
        fans = {"fan_in": features, "fan_out": units}
        kernel = weight_parameter(site, "kernel", (features, units), **fans)
        if not site["use_bias"]:
            return (kernel,)
        return kernel, weight_parameter(site, "bias", (units,), **fans)

    def flops(self, node: Node) -> Dim:
        kernel = node.parameters[0]
        return product(node.outputs[0].type.shape) * (2 * kernel.shape[0])

    def numpy(self, node: Node) -> Form:
        return Form("{input} @ {kernel} + {bias}" if node["use_bias"] else "{input} @ {kernel}")

    def torch(self, node: Node) -> Form:
        features, units = node.parameters[0].shape
        return Form(
            "{self}({input})",
            module=Module(
                "nn.Linear",
                (features, units),
                given(bias=(node["use_bias"], True)),
                (Weight("kernel", ("weight",), (1, 0)), Weight("bias", ("bias",))),
            ),
        )

    def tensorflow(self, node: Node) -> Form:
        return Form(
            "{self}({input})",
            module=Module(
                "keras.layers.Dense",
                (node["units"],),
                given(use_bias=(node["use_bias"], True)),
                (Weight("kernel", ("kernel",)), Weight("bias", ("bias",))),
            ),
        )

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        (x,), (y,) = node.inputs, node.outputs
        dy = g.of(y)
        assert x is not None and dy is not None
        kernel = g.parameter(node, "kernel")
        if x.type.rank == 2:
            d_kernel = g.expression("{0}.T @ {1}", (x, dy), kernel.type, f"d_{kernel.name}")
        else:
            d_kernel = g.expression(
                "{0}.reshape(-1, {0}.shape[-1]).T @ {1}.reshape(-1, {1}.shape[-1])",
                (x, dy),
                kernel.type,
                f"d_{kernel.name}",
            )
        g.add(kernel, d_kernel)
        if node["use_bias"]:
            bias = g.parameter(node, "bias")
            g.add(bias, g.expression("channel_sum({0})", (dy,), bias.type, f"d_{bias.name}"))
        if g.wants(x):
            g.add(x, g.expression("{0} @ {1}.T", (dy, kernel), x.type, f"d_{x.name}"))


OPS = (Dense,)

"""Convolutions (cross-correlations, as every framework computes them)."""

from __future__ import annotations

from specc.ir.dims import BATCH, Dim, product
from specc.ir.graph import Node, Parameter
from specc.ir.types import TensorType
from specc.ops.attributes import Attribute, Integer, Integers, Padding
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
    short,
)
from specc.ops.windows import (
    channel_axis,
    check_rank,
    full_pads,
    image_type,
    node_pads,
    symmetric,
    torch_pad,
    window_sizes,
)

_INFERRED = "specc infers the number of input channels; remove it"
_RENAMED = {"in_channels": _INFERRED, "out_channels": "write filters", "data_format": "set layout"}


def _attributes(rank: int) -> tuple[Attribute, ...]:
    return (
        Attribute("filters", Integer(1), doc="Number of output channels."),
        Attribute("kernel_size", Integers(rank, 1), doc="Size of the window on each axis."),
        Attribute("strides", Integers(rank, 1), 1, "Step of the window on each axis."),
        Attribute(
            "padding",
            Padding(rank),
            "valid",
            "valid (none), same (as many outputs as ceil(size / stride), the odd element at the end) or sizes.",
        ),
        Attribute("dilation", Integers(rank, 1), 1, "Distance between the elements of the window."),
        Attribute("groups", Integer(1), 1, "Independent groups of channels."),
        activation(),
        USE_BIAS,
        kernel_initializer(),
        bias_initializer(),
        regularizer("kernel"),
        regularizer("bias"),
    )


class Convolution(Op):
    """Base of conv1d and conv2d."""

    family = "convolution"
    layout = "image"
    rank = 2
    refused = _RENAMED

    def _reach(self, attributes: Site | Node) -> tuple[int, ...]:
        return tuple(
            (size - 1) * dilation + 1
            for size, dilation in zip(
                attributes["kernel_size"], attributes["dilation"], strict=True
            )
        )

    def _channels(self, site: Site) -> int:
        check_rank(site, self.rank + 2, self.kind)
        return site.static(channel_axis(site.input.rank, site["layout"]), "the number of channels")

    def infer(self, site: Site) -> TensorType:
        channels = self._channels(site)
        for what, count, name in (
            ("input channels", channels, "groups"),
            ("filters", site["filters"], "filters"),
        ):
            if count % site["groups"]:
                raise OpProblem(
                    f"the {count} {what} do not divide into {site['groups']} groups", attribute=name
                )
        return image_type(
            window_sizes(site, "kernel", self._reach(site)), site["filters"], site["layout"]
        )

    def parameters(self, site: Site) -> tuple[Parameter, ...]:
        per_group = self._channels(site) // site["groups"]
        window = int(product(site["kernel_size"]))  # type: ignore[arg-type]
        fans = {"fan_in": window * per_group, "fan_out": window * site["filters"]}
        shape = (*site["kernel_size"], per_group, site["filters"])
        kernel = weight_parameter(site, "kernel", shape, **fans)
        if not site["use_bias"]:
            return (kernel,)
        return kernel, weight_parameter(site, "bias", (site["filters"],), **fans)

    def flops(self, node: Node) -> Dim:
        per_output = product(node.parameters[0].shape[:-1])
        return product(node.outputs[0].type.shape) * (per_output * 2)

    def torch(self, node: Node) -> Form:
        kernel = node.parameters[0]
        pads = node_pads(node, self._reach(node))
        aligned = symmetric(pads)
        axes = (*range(2, 2 + self.rank), 1, 0)
        module = Module(
            f"nn.Conv{self.rank}d",
            (kernel.shape[-2] * node["groups"], node["filters"], short(node["kernel_size"])),
            given(
                stride=(short(node["strides"]), 1),
                padding=(short(tuple(before for before, _ in pads)) if aligned else 0, 0),
                dilation=(short(node["dilation"]), 1),
                groups=(node["groups"], 1),
                bias=(node["use_bias"], True),
            ),
            (Weight("kernel", ("weight",), axes), Weight("bias", ("bias",))),
        )
        if aligned:
            return Form("{self}({input})", module=module)
        return Form("{self}(F.pad({input}, {pads}))", {"pads": torch_pad(pads)}, module)

    def tensorflow(self, node: Node) -> Form:
        padding = node["padding"]
        named = isinstance(padding, str)
        module = Module(
            f"keras.layers.Conv{self.rank}D",
            (node["filters"], short(node["kernel_size"])),
            given(
                strides=(short(node["strides"]), 1),
                padding=(padding if named else "valid", "valid"),
                dilation_rate=(short(node["dilation"]), 1),
                groups=(node["groups"], 1),
                use_bias=(node["use_bias"], True),
            ),
            (Weight("kernel", ("kernel",)), Weight("bias", ("bias",))),
        )
        pads = node_pads(node, self._reach(node))
        if named or not any(map(any, pads)):
            return Form("{self}({input})", module=module)
        return Form(
            "{self}(tf.pad({input}, {pads}))", {"pads": full_pads(pads, "channels_last")}, module
        )

    def _literals(self, node: Node) -> tuple[object, ...]:
        pads = node_pads(node, self._reach(node))
        if self.rank == 1:
            return (node["strides"][0], pads[0], node["dilation"][0], node["groups"])
        return (node["strides"], pads, node["dilation"], node["groups"])

    def numpy(self, node: Node) -> Form:
        literals = ", ".join(map(repr, self._literals(node)))
        bias = " + {bias}" if node["use_bias"] else ""
        return Form(f"{self.kind}({{input}}, {{kernel}}, {literals}){bias}")

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        (x,), (y,) = node.inputs, node.outputs
        dy = g.of(y)
        assert x is not None and dy is not None
        kernel, literals = g.parameter(node, "kernel"), self._literals(node)
        function = f"{self.kind}_kernel_gradient"
        name = f"d_{kernel.name}"
        g.add(
            kernel, g.call(function, (x, dy, kernel.type.shape, *literals), (kernel.type,), name)[0]
        )
        if node["use_bias"]:
            bias = g.parameter(node, "bias")
            g.add(bias, g.expression("channel_sum({0})", (dy,), bias.type, f"d_{bias.name}"))
        if g.wants(x):
            template = (
                f"{self.kind}_input_gradient({{0}}, {{1}}, {{2}}.shape, "
                f"{', '.join(map(repr, literals))})"
            )
            g.add(x, g.expression(template, (dy, kernel, x), x.type, f"d_{x.name}"))


class Conv2d(Convolution):
    """A 2-D convolution (cross-correlation).

    input: (batch, height, width, channels), or channels first by ``layout``; kernel: (height, width,
    channels / groups, filters); bias: (filters,).
    """

    kind = "conv2d"
    ports = (Port("input", doc="images"),)
    attributes = _attributes(2)
    samples = (
        Sample((TensorType("float", (BATCH, 7, 6, 3)),), {"filters": 4, "kernel_size": 3}),
        Sample(
            (TensorType("float", (BATCH, 8, 7, 4)),),
            {"filters": 6, "kernel_size": [3, 2], "strides": 2, "padding": "same", "groups": 2},
        ),
        Sample(
            (TensorType("float", (BATCH, 9, 9, 2)),),
            {"filters": 3, "kernel_size": 3, "dilation": 2, "padding": 1, "use_bias": False},
        ),
    )
    bad = (
        BadSample(
            (TensorType("float", (BATCH, 28, 28)),),
            {"filters": 4, "kernel_size": 3},
            "needs 3 axes",
        ),
        BadSample(
            (TensorType("float", (BATCH, 2, 2, 1)),),
            {"filters": 4, "kernel_size": 3},
            "does not fit into the input",
        ),
        BadSample(
            (TensorType("float", (BATCH, 8, 8, 3)),),
            {"filters": 4, "kernel_size": 3, "groups": 2},
            "do not divide into 2 groups",
        ),
    )


class Conv1d(Convolution):
    """A 1-D convolution (cross-correlation) over time.

    input: (batch, length, channels), or channels first by ``layout``; kernel: (length, channels / groups,
    filters); bias: (filters,).
    """

    kind = "conv1d"
    rank = 1
    ports = (Port("input", doc="sequences"),)
    attributes = _attributes(1)
    samples = (
        Sample((TensorType("float", (BATCH, 9, 3)),), {"filters": 4, "kernel_size": 3}),
        Sample(
            (TensorType("float", (BATCH, 8, 4)),),
            {"filters": 6, "kernel_size": 4, "strides": 2, "padding": "same", "groups": 2},
        ),
    )
    bad = (
        BadSample(
            (TensorType("float", (BATCH, 9)),), {"filters": 4, "kernel_size": 3}, "needs 2 axes"
        ),
    )


OPS = (Conv1d, Conv2d)

"""Convolutions (cross-correlations, as every framework computes them)."""

from __future__ import annotations

from specc.ir.dims import BATCH, Dim, product
from specc.ir.graph import Node, Parameter
from specc.ir.types import TensorType
from specc.ops.advice import count, divisors_near, multiples_near
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
    listed,
    regularizer,
    short,
)
from specc.ops.windows import (
    channel_axis,
    check_rank,
    full_pads,
    image_type,
    node_pads,
    other_layout,
    symmetric,
    torch_pad,
    window_sizes,
)

_INFERRED = "specc infers the number of input channels; remove it"
_PER_CHANNEL = "write depth_multiplier, the filters per channel"
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
            "valid (none), same (ceil(size / stride) outputs, the odd pad at the end) or sizes.",
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


def refuse_dilated_strides(site: Site) -> None:
    """Keras has no kernel for both at once."""
    if max(site["strides"]) > 1 and max(site["dilation"]) > 1:
        raise OpProblem(
            "strides and dilation cannot both be above 1 (Keras has no such convolution)",
            help="keep one of them at 1",
            attribute="dilation",
            beside="strides",
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
        axis = channel_axis(site.input.rank, site["layout"])
        return site.static(axis, "the number of channels", other_layout(site))

    def size_from(self, site: Site, axis: int) -> str | None:
        made = axis == channel_axis(site.input.rank, site["layout"])
        return "filters" if made and self.attribute("filters") else None

    def infer(self, site: Site) -> TensorType:
        channels, groups = self._channels(site), site["groups"]
        if channels % groups:
            raise OpProblem(
                f"the {count(channels, 'input channel')} do not divide into {groups} groups",
                help=f"write {count(divisors_near(channels, groups), 'group')}",
                attribute="groups",
                axes=((0, channel_axis(site.input.rank, site["layout"])),),
            )
        if site["filters"] % groups:
            raise OpProblem(
                f"the {count(site['filters'], 'filter')} do not divide into {groups} groups",
                help=f"write {multiples_near(groups, site['filters'])} filters",
                attribute="filters",
                beside="groups",
            )
        refuse_dilated_strides(site)
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
        aligned = symmetric(pads) and not _pads_differ(node)
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

    def _numpy(self, node: Node, suffix: str, arguments: str) -> str:
        """A call of a kernel with what differs from its defaults."""
        pads = node_pads(node, self._reach(node))
        unit, none = (1, 1), ((0, 0), (0, 0))
        strides, dilation = node["strides"], node["dilation"]
        if self.rank == 1:
            options = listed(
                strides=(strides[0], 1), padding=(pads[0], (0, 0)), dilation=(dilation[0], 1)
            )
        else:
            options = listed(
                strides=(strides, unit), padding=(pads, none), dilation=(dilation, unit)
            )
        if node.attributes.get("groups", 1) == 1:
            return f"{self.kind}{suffix}({arguments}{options})"
        return f"grouped_{self.kind}{suffix}({arguments}, {node['groups']}{options})"

    def numpy(self, node: Node) -> Form:
        bias = " + {bias}" if node["use_bias"] else ""
        return Form(self._numpy(node, "", "{input}, {kernel}") + bias)

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        (x,), (y,) = node.inputs, node.outputs
        dy = g.of(y)
        assert x is not None and dy is not None
        kernel = g.parameter(node, "kernel")
        call = self._numpy(node, "_kernel_gradient", "{0}, {1}, {2}.shape")
        g.add(kernel, g.expression(call, (x, dy, kernel), kernel.type, f"d_{kernel.name}"))
        if node["use_bias"]:
            bias = g.parameter(node, "bias")
            g.add(bias, g.expression("channel_sum({0})", (dy,), bias.type, f"d_{bias.name}"))
        if g.wants(x):
            call = self._numpy(node, "_input_gradient", "{0}, {1}, {2}.shape")
            g.add(x, g.expression(call, (dy, kernel, x), x.type, f"d_{x.name}"))


class Conv2d(Convolution):
    """A 2-D convolution (cross-correlation).

    input: (batch, height, width, channels), or channels first by ``layout``;
    kernel: (height, width, channels / groups, filters); bias: (filters,).
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

    input: (batch, length, channels), or channels first by ``layout``;
    kernel: (length, channels / groups, filters); bias: (filters,).
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


class DepthwiseConv2d(Convolution):
    """A 2-D convolution of each channel by itself (the first half of a separable convolution).

    input: (batch, height, width, channels), or channels first by ``layout``;
    kernel: (height, width, channels, depth_multiplier); bias: (channels * depth_multiplier,).
    Output channel ``c * depth_multiplier + m`` is filter m of channel c.
    """

    kind = "depthwise_conv2d"
    ports = (Port("input", doc="images"),)
    refused = _RENAMED | dict.fromkeys(("out_channels", "filters"), _PER_CHANNEL)
    attributes = (
        Attribute("kernel_size", Integers(2, 1), doc="Size of the window on each axis."),
        *(a for a in _attributes(2) if a.name in ("strides", "padding", "dilation")),
        Attribute("depth_multiplier", Integer(1), 1, "Filters per channel."),
        *(a for a in _attributes(2)[6:]),
    )
    samples = (
        Sample((TensorType("float", (BATCH, 7, 6, 3)),), {"kernel_size": 3}),
        Sample(
            (TensorType("float", (BATCH, 8, 7, 4)),),
            {"kernel_size": [3, 2], "strides": 2, "padding": "same", "depth_multiplier": 2},
        ),
        Sample(
            (TensorType("float", (BATCH, 6, 6, 2)),),
            {"kernel_size": 3, "padding": 1, "use_bias": False},
            "pytorch",
        ),
    )
    bad = (
        BadSample(
            (TensorType("float", (BATCH, 8, 8, 2)),),
            {"kernel_size": 3, "strides": [1, 2]},
            "one stride for both axes",
        ),
        BadSample((TensorType("float", (BATCH, 8, 8)),), {"kernel_size": 3}, "needs 3 axes"),
    )

    def infer(self, site: Site) -> TensorType:
        channels = self._channels(site)
        if len(set(site["strides"])) > 1:
            raise OpProblem(
                f"{self.kind} takes one stride for both axes (TensorFlow has no other kernel)",
                attribute="strides",
            )
        refuse_dilated_strides(site)
        sizes = window_sizes(site, "kernel", self._reach(site))
        return image_type(sizes, channels * site["depth_multiplier"], site["layout"])

    def parameters(self, site: Site) -> tuple[Parameter, ...]:
        channels, multiplier = self._channels(site), site["depth_multiplier"]
        window = int(product(site["kernel_size"]))  # type: ignore[arg-type]
        # Keras counts the kernel's own axes, PyTorch those of a convolution with C groups.
        fans = {"fan_in": window * channels, "fan_out": window * multiplier}
        if not site.keras:
            fans = {"fan_in": window, "fan_out": window * channels * multiplier}
        shape = (*site["kernel_size"], channels, multiplier)
        kernel = weight_parameter(site, "kernel", shape, **fans)
        if not site["use_bias"]:
            return (kernel,)
        return kernel, weight_parameter(site, "bias", (channels * multiplier,), **fans)

    def flops(self, node: Node) -> Dim:
        return product(node.outputs[0].type.shape) * (product(node["kernel_size"]) * 2)

    def torch(self, node: Node) -> Form:
        height, width, channels, multiplier = node.parameters[0].shape
        pads = node_pads(node, self._reach(node))
        aligned = symmetric(pads) and not _pads_differ(node)
        module = Module(
            "DepthwiseConv2d",
            (channels, multiplier, (height, width)),
            given(
                stride=(short(node["strides"]), 1),
                padding=(short(tuple(before for before, _ in pads)) if aligned else 0, 0),
                dilation=(short(node["dilation"]), 1),
                bias=(node["use_bias"], True),
            ),
            (Weight("kernel", ("weight",), (2, 3, 0, 1)), Weight("bias", ("bias",))),
        )
        source = "{input}" if aligned else f"F.pad({{input}}, {torch_pad(pads)})"
        return Form(f"{{self}}({source})", module=module)

    def tensorflow(self, node: Node) -> Form:
        padding = node["padding"]
        named = isinstance(padding, str)
        module = Module(
            "keras.layers.DepthwiseConv2D",
            (short(node["kernel_size"]),),
            given(
                strides=(short(node["strides"]), 1),
                padding=(padding if named else "valid", "valid"),
                depth_multiplier=(node["depth_multiplier"], 1),
                dilation_rate=(short(node["dilation"]), 1),
                use_bias=(node["use_bias"], True),
            ),
            (Weight("kernel", ("kernel",)), Weight("bias", ("bias",))),
        )
        pads = node_pads(node, self._reach(node))
        source = "{input}"
        if not named and any(map(any, pads)):
            source = f"tf.pad({{input}}, {full_pads(pads, 'channels_last')})"
        return Form(f"{{self}}({source})", module=module)


def _pads_differ(node: Node) -> bool:
    """Whether calls of one layer may need different padding: it goes before the layer then."""
    strided = any(stride > 1 for stride in node["strides"])
    return bool(node.attributes.get("shared")) and node["padding"] == "same" and strided


OPS = (Conv1d, Conv2d, DepthwiseConv2d)

"""Pooling over windows."""

from __future__ import annotations

from typing import Any

from specc.ir.dims import BATCH, Dim, product
from specc.ir.graph import Node
from specc.ir.types import TensorType
from specc.ops.attributes import Attribute, Boolean, Integers, Optional, Padding
from specc.ops.base import BadSample, Form, Op, OpProblem, Sample, Site
from specc.ops.gradients import GradientBuilder
from specc.ops.options import listed, short
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

_REFUSED = {
    "kernel_size": "write pool_size",
    "stride": "write strides",
    "ceil_mode": "a window that does not fit is left out; write padding as numbers to make it fit",
    "dilation": "pools take neighbouring elements; remove it",
    "data_format": "set layout",
}


def _pool_attributes(rank: int) -> tuple[Attribute, ...]:
    return (
        Attribute("pool_size", Integers(rank, 1), 2, "Size of the window on each axis."),
        Attribute(
            "strides",
            Optional(Integers(rank, 1)),
            None,
            "Step of the window on each axis; the window's size when not given.",
        ),
        Attribute("padding", Padding(rank), "valid", "valid (none), same, or sizes."),
    )


class Pool(Op):
    """Base of the pools over windows."""

    family = "pooling"
    layout = "image"
    mask = "stop"
    rank = 2
    refused = _REFUSED

    def infer(self, site: Site) -> TensorType:
        check_rank(site, self.rank + 2, self.kind)
        if not isinstance(site["padding"], str):
            for pads, size in zip(site["padding"], site["pool_size"], strict=True):
                if max(pads) >= size:
                    raise OpProblem(
                        f"a padding of {max(pads)} leaves windows of {size} without any element",
                        help=f"pad by at most {size - 1}",
                        attribute="padding",
                    )
        channels = site.input.shape[channel_axis(site.input.rank, site["layout"])]
        return image_type(window_sizes(site, "pool", site["pool_size"]), channels, site["layout"])

    def size_from(self, site: Site, axis: int) -> tuple[int, int] | None:
        return (0, axis) if axis == channel_axis(site.input.rank, site["layout"]) else None

    def complete(self, attributes: dict[str, Any]) -> dict[str, Any]:
        return {**attributes, "strides": attributes["strides"] or attributes["pool_size"]}

    def flops(self, node: Node) -> Dim:
        return product(node.outputs[0].type.shape) * product(node["pool_size"])

    def _numpy(self, node: Node) -> str:
        """The window of a kernel's call, and what differs from its defaults."""
        size, strides, pads = (
            each if self.rank == 2 else each[0]
            for each in (node["pool_size"], node["strides"], node_pads(node, node["pool_size"]))
        )
        none = ((0, 0), (0, 0)) if self.rank == 2 else (0, 0)
        return repr(size) + listed(strides=(strides, size), padding=(pads, none))

    def _window(self, node: Node) -> tuple[Any, Any]:
        """Size and step the way people write them."""
        return short(node["pool_size"]), short(node["strides"])

    def _torch_padding(self, node: Node) -> int | tuple[int, ...] | None:
        """The argument ``padding`` of torch's own pools, where they can express it."""
        pads = node_pads(node, node["pool_size"])
        before = tuple(first for first, _ in pads)
        fits = all(2 * first <= size for first, size in zip(before, node["pool_size"], strict=True))
        return short(before) if symmetric(pads) and fits else None


class MaxPool(Pool):
    """Base of the maximum pools. Padding never wins; the first of equals takes the gradient."""

    def numpy(self, node: Node) -> Form:
        return Form(f"{self.kind}({{input}}, {self._numpy(node)})")

    def torch(self, node: Node) -> Form:
        window, strides = self._window(node)
        padding = self._torch_padding(node)
        source = "{input}"
        if padding is None:
            pads = torch_pad(node_pads(node, node["pool_size"]))
            source = f'F.pad({{input}}, {pads}, value=float("-inf"))'
        options = listed(stride=(strides, window), padding=(padding or 0, 0))
        return Form(f"F.{self.kind}({source}, {window!r}{options})")

    def tensorflow(self, node: Node) -> Form:
        window, strides = self._window(node)
        pads = node_pads(node, node["pool_size"])
        padding = node["padding"] if isinstance(node["padding"], str) else "valid"
        source = "{input}"
        if not isinstance(node["padding"], str) and any(map(any, pads)):
            rows = full_pads(pads, "channels_last")
            source = f'tf.pad({{input}}, {rows}, constant_values=float("-inf"))'
        return Form(f"tf.nn.{self.kind}({source}, {window!r}, {strides!r}, {padding.upper()!r})")

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        (x,), (y,) = node.inputs, node.outputs
        dy = g.of(y)
        assert x is not None and dy is not None
        template = f"{self.kind}_gradient({{0}}, {{1}}, {{2}}, {self._numpy(node)})"
        g.add(x, g.expression(template, (x, y, dy), x.type, f"d_{x.name}"))


class MaxPool2d(MaxPool):
    """The largest element of each window.

    input: (batch, height, width, channels), or channels first by ``layout``.
    """

    kind = "max_pool2d"
    aliases = ("max_pooling2d",)
    attributes = _pool_attributes(2)
    samples = (
        Sample((TensorType("float", (BATCH, 6, 7, 3)),), {}),
        Sample(
            (TensorType("float", (BATCH, 7, 6, 2)),),
            {"pool_size": 3, "strides": 2, "padding": "same"},
        ),
        Sample((TensorType("float", (BATCH, 5, 6, 2)),), {"pool_size": 3, "padding": 1}),
        Sample(
            (TensorType("float", (BATCH, 2, 5, 6)),),
            {"pool_size": [2, 3], "strides": 1, "padding": [[0, 1], [2, 0]]},
            "pytorch",
        ),
    )
    bad = (
        BadSample((TensorType("float", (BATCH, 1, 1, 3)),), {}, "does not fit into the input"),
        BadSample((TensorType("float", (BATCH, 8, 3)),), {}, "needs 3 axes"),
        BadSample((TensorType("float", (BATCH, 8, 8, 3)),), {"padding": 2}, "without any element"),
    )


class MaxPool1d(MaxPool):
    """The largest element of each window of a sequence. input: (batch, length, channels)."""

    kind = "max_pool1d"
    aliases = ("max_pooling1d",)
    rank = 1
    attributes = _pool_attributes(1)
    samples = (
        Sample((TensorType("float", (BATCH, 7, 3)),), {}),
        Sample(
            (TensorType("float", (BATCH, 8, 2)),), {"pool_size": 3, "strides": 2, "padding": "same"}
        ),
    )
    bad = (BadSample((TensorType("float", (BATCH, 7)),), {}, "needs 2 axes"),)


class AveragePool(Pool):
    """Base of the average pools."""

    def _whole(self, node: Node) -> bool:
        """Whether every window is divided by its full size: there is no padding, or it counts."""
        padded = any(map(any, node_pads(node, node["pool_size"])))
        return bool(node["count_include_pad"]) or not padded

    def _counted(self, node: Node) -> str:
        return "" if self._whole(node) else ", count_include_pad=False"

    def numpy(self, node: Node) -> Form:
        return Form(f"{self.kind}({{input}}, {self._numpy(node)}{self._counted(node)})")

    def torch(self, node: Node) -> Form:
        function = f"avg_pool{self.rank}d"
        window, strides = self._window(node)
        padding = self._torch_padding(node)
        options = listed(stride=(strides, window), padding=(padding or 0, 0))
        if padding is not None:
            counted = "" if self._whole(node) else ", count_include_pad=False"
            return Form(f"F.{function}({{input}}, {window!r}{options}{counted})")
        pads = torch_pad(node_pads(node, node["pool_size"]))
        if self._whole(node):
            return Form(f"F.{function}(F.pad({{input}}, {pads}), {window!r}{options})")
        return Form(f"average_pool({{input}}, F.{function}, {window!r}, {strides!r}, {pads})")

    def tensorflow(self, node: Node) -> Form:
        function = f"tf.nn.avg_pool{self.rank}d"
        window, strides = self._window(node)
        pads = node_pads(node, node["pool_size"])
        rows = full_pads(pads, "channels_last")
        if node["padding"] == "same" and not node["count_include_pad"]:
            return Form(f"{function}({{input}}, {window!r}, {strides!r}, 'SAME')")
        if not any(map(any, pads)):
            return Form(f"{function}({{input}}, {window!r}, {strides!r}, 'VALID')")
        if self._whole(node):
            return Form(f"{function}(tf.pad({{input}}, {rows}), {window!r}, {strides!r}, 'VALID')")
        return Form(f"average_pool({{input}}, {function}, {window!r}, {strides!r}, {rows})")

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        (x,), (y,) = node.inputs, node.outputs
        dy = g.of(y)
        assert x is not None and dy is not None
        options = f"{self._numpy(node)}{self._counted(node)}"
        template = f"{self.kind}_gradient({{0}}, {{1}}.shape, {options})"
        g.add(x, g.expression(template, (dy, x), x.type, f"d_{x.name}"))


_COUNT_INCLUDE_PAD = Attribute(
    "count_include_pad",
    Boolean(),
    keras=False,
    pytorch=True,
    doc="Whether padding counts as zeros in the mean (PyTorch) or not at all (Keras).",
)


class AveragePool2d(AveragePool):
    """The mean of each window.

    input: (batch, height, width, channels), or channels first by ``layout``.
    """

    kind = "average_pool2d"
    aliases = ("avg_pool2d", "average_pooling2d")
    attributes = (*_pool_attributes(2), _COUNT_INCLUDE_PAD)
    samples = (
        Sample((TensorType("float", (BATCH, 6, 7, 3)),), {}),
        Sample(
            (TensorType("float", (BATCH, 7, 6, 2)),),
            {"pool_size": 3, "strides": 2, "padding": "same"},
        ),
        Sample((TensorType("float", (BATCH, 5, 6, 2)),), {"pool_size": 3, "padding": 1}),
        Sample(
            (TensorType("float", (BATCH, 5, 6, 2)),),
            {"pool_size": [2, 3], "strides": 1, "padding": [[0, 1], [2, 0]]},
        ),
        Sample(
            (TensorType("float", (BATCH, 2, 5, 6)),),
            {"pool_size": 3, "strides": 2, "padding": 1},
            "pytorch",
        ),
        Sample(
            (TensorType("float", (BATCH, 2, 6, 5)),),
            {"pool_size": 3, "strides": 2, "padding": "same"},
            "pytorch",
        ),
    )
    bad = (
        BadSample((TensorType("float", (BATCH, 1, 1, 3)),), {}, "does not fit into the input"),
        BadSample((TensorType("float", (BATCH, 8, 8, 3)),), {"padding": 2}, "without any element"),
    )


class AveragePool1d(AveragePool):
    """The mean of each window of a sequence. input: (batch, length, channels)."""

    kind = "average_pool1d"
    aliases = ("avg_pool1d", "average_pooling1d")
    rank = 1
    attributes = (*_pool_attributes(1), _COUNT_INCLUDE_PAD)
    samples = (
        Sample((TensorType("float", (BATCH, 7, 3)),), {}),
        Sample(
            (TensorType("float", (BATCH, 8, 2)),), {"pool_size": 3, "strides": 2, "padding": "same"}
        ),
        Sample((TensorType("float", (BATCH, 2, 8)),), {"pool_size": 4, "padding": 2}, "pytorch"),
    )
    bad = (BadSample((TensorType("float", (BATCH, 7)),), {}, "needs 2 axes"),)


OPS = (MaxPool1d, MaxPool2d, AveragePool1d, AveragePool2d)

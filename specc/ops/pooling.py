"""Pooling over windows and over whole images."""

from __future__ import annotations

from typing import Any

from specc.ir.dims import BATCH
from specc.ir.graph import Node
from specc.ir.types import TensorType
from specc.ops.attributes import Attribute, Integers, Optional, Padding
from specc.ops.base import BadSample, Form, Op, Sample, Site
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


class Pool(Op):
    """Base of the pools over windows."""

    family = "pooling"
    layout = "image"
    rank = 2
    # The value that padding stands for in torch's explicit F.pad.
    fill = "0.0"

    def infer(self, site: Site) -> TensorType:
        check_rank(site, self.rank + 2, self.kind)
        channels = site.input.shape[channel_axis(site.input.rank, site["layout"])]
        return image_type(window_sizes(site, "pool", site["pool_size"]), channels, site["layout"])

    def complete(self, attributes: dict[str, Any]) -> dict[str, Any]:
        return {**attributes, "strides": attributes["strides"] or attributes["pool_size"]}

    def _literals(self, node: Node) -> tuple[Any, ...]:
        pads = node_pads(node, node["pool_size"])
        literals = (node["pool_size"], node["strides"], pads)
        return literals if self.rank == 2 else tuple(each[0] for each in literals)

    def torch(self, node: Node) -> Form:
        window, strides = short(node["pool_size"]), short(node["strides"])
        pads = node_pads(node, node["pool_size"])
        function = "F." + self.kind.replace("average", "avg")
        fits = all(
            2 * before <= size for (before, _), size in zip(pads, node["pool_size"], strict=True)
        )
        options = listed(stride=(strides, window))
        source = "{input}"
        if symmetric(pads) and fits:
            options += listed(padding=(short(tuple(before for before, _ in pads)), 0))
        else:
            source = f"F.pad({{input}}, {torch_pad(pads)}, value={self.fill})"
        return Form(f"{function}({source}, {window!r}{options})")


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


class MaxPool(Pool):
    """Base of the maximum pools. Padding never wins; among equal elements the first takes the gradient."""

    fill = 'float("-inf")'

    def tensorflow(self, node: Node) -> Form:
        pads = node_pads(node, node["pool_size"])
        padding = node["padding"] if isinstance(node["padding"], str) else "valid"
        source = "{input}"
        if not isinstance(node["padding"], str) and any(map(any, pads)):
            source = (
                f"tf.pad({{input}}, {full_pads(pads, 'channels_last')}, "
                "constant_values={input}.dtype.min)"
            )
        window, strides = short(node["pool_size"]), short(node["strides"])
        return Form(f"tf.nn.{self.kind}({source}, {window!r}, {strides!r}, {padding.upper()!r})")

    def numpy(self, node: Node) -> Form:
        literals = ", ".join(map(repr, self._literals(node)))
        return Form(f"{self.kind}({{input}}, {literals})")

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        (x,), (y,) = node.inputs, node.outputs
        dy = g.of(y)
        assert x is not None and dy is not None
        literals = self._literals(node)
        g.add(
            x, g.call(f"{self.kind}_gradient", (x, y, dy, *literals), (x.type,), f"d_{x.name}")[0]
        )


class MaxPool2d(MaxPool):
    """The largest element of each window.

    input: (batch, height, width, channels), or channels first by ``layout``.
    """

    kind = "max_pool2d"
    attributes = _pool_attributes(2)
    samples = (
        Sample((TensorType("float", (BATCH, 6, 7, 3)),), {}),
        Sample(
            (TensorType("float", (BATCH, 7, 6, 2)),),
            {"pool_size": 3, "strides": 2, "padding": "same"},
        ),
    )
    bad = (
        BadSample((TensorType("float", (BATCH, 1, 1, 3)),), {}, "does not fit into the input"),
        BadSample((TensorType("float", (BATCH, 8, 3)),), {}, "needs 3 axes"),
    )


class MaxPool1d(MaxPool):
    """The largest element of each window of a sequence. input: (batch, length, channels)."""

    kind = "max_pool1d"
    rank = 1
    attributes = _pool_attributes(1)
    samples = (Sample((TensorType("float", (BATCH, 7, 3)),), {}),)


OPS = (MaxPool1d, MaxPool2d)

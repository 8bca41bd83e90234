"""Pooling over all positions of an image or a sequence."""

from __future__ import annotations

from specc.ir.dims import BATCH, Dim, product
from specc.ir.graph import Node
from specc.ir.types import TensorType
from specc.ops.attributes import Attribute, Boolean
from specc.ops.base import BadSample, Form, Op, OpProblem, Port, Sample, Site
from specc.ops.gradients import GradientBuilder
from specc.ops.windows import channel_axis, check_rank, image_type, spatial_axes


class GlobalPool(Op):
    """Base of the pools over all positions; ``rank`` counts the spatial axes."""

    family = "pooling"
    layout = "image"
    mask = "stop"
    rank = 2
    attributes = (
        Attribute("keepdims", Boolean(), False, "Whether the pooled axes stay, with size 1."),
    )
    refused = {
        "data_format": "set layout",
        "output_size": "a global pool gives one value per channel; remove it",
    }

    def infer(self, site: Site) -> TensorType:
        check_rank(site, self.rank + 2, self.kind)
        axes = spatial_axes(site.input.rank, site["layout"])
        if site["keepdims"]:
            return image_type(
                (1,) * self.rank,
                site.input.shape[channel_axis(site.input.rank, site["layout"])],
                site["layout"],
            )
        kept = tuple(size for axis, size in enumerate(site.input.shape) if axis not in axes)
        return TensorType("float", kept)

    def size_from(self, site: Site, axis: int) -> tuple[int, int] | None:
        channels = channel_axis(site.input.rank, site["layout"])
        return None if site["keepdims"] and axis != channels else (0, channels)

    def flops(self, node: Node) -> Dim:
        x = node.inputs[0]
        assert x is not None
        return product(x.type.shape)

    def _axes(self, node: Node) -> int | tuple[int, ...]:
        axes = spatial_axes(self.rank + 2, node["layout"])
        return axes[0] if self.rank == 1 else axes

    def _call(self, node: Node, start: str, word: str) -> Form:
        """``start`` with the axes and, where it is wanted, the keyword that keeps them."""
        kept = f", {word}=True" if node["keepdims"] else ""
        return Form(f"{start}{self._axes(node)}{kept})")

    def _spread(self, node: Node) -> str:
        """An index that gives a result the pooled axes back, to broadcast over the input."""
        if node["keepdims"]:
            return ""
        axes = spatial_axes(self.rank + 2, node["layout"])
        places = ("None" if axis in axes else ":" for axis in range(self.rank + 2))
        return f"[{', '.join(places)}]"


class GlobalAveragePool(GlobalPool):
    """Base of the means over all positions."""

    def numpy(self, node: Node) -> Form:
        return self._call(node, "{input}.mean(axis=", "keepdims")

    def torch(self, node: Node) -> Form:
        return self._call(node, "{input}.mean(", "keepdim")

    def tensorflow(self, node: Node) -> Form:
        return self._call(node, "tf.reduce_mean({input}, ", "keepdims")

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        x, y = node.inputs[0], node.outputs[0]
        dy = g.of(y)
        assert x is not None and dy is not None
        template = (
            f"np.broadcast_to({{0}}{self._spread(node)} * ({{0}}.size / {{1}}.size), {{1}}.shape)"
        )
        g.add(x, g.expression(template, (dy, x), x.type, f"d_{x.name}"))


class GlobalAveragePool2d(GlobalAveragePool):
    """The mean of each channel over all positions.

    input: (batch, height, width, channels), or channels first by ``layout``;
    output: (batch, channels).
    """

    kind = "global_average_pool2d"
    aliases = ("global_avg_pool2d", "global_average_pooling2d")
    samples = (
        Sample((TensorType("float", (BATCH, 4, 5, 3)),)),
        Sample((TensorType("float", (BATCH, 3, 4, 5)),), {"keepdims": True}, "pytorch"),
    )
    bad = (BadSample((TensorType("float", (BATCH, 3)),), {}, "needs 3 axes"),)


class GlobalAveragePool1d(GlobalAveragePool):
    """The mean of each channel over time, over the steps that the mask keeps if there is one.

    input: (batch, length, channels), or channels first by ``layout``; mask: (batch, length), True
    where a step counts; output: (batch, channels). A sequence without any step that counts gives
    NaN, as in Keras.
    """

    kind = "global_average_pool1d"
    aliases = ("global_avg_pool1d", "global_average_pooling1d")
    rank = 1
    ports = (Port("input"), Port("mask", dtype="bool", optional=True))
    samples = (
        Sample((TensorType("float", (BATCH, 5, 3)), None)),
        Sample((TensorType("float", (BATCH, 5, 3)), TensorType("bool", (BATCH, 5)))),
        Sample((TensorType("float", (BATCH, 3, 5)), None), {"keepdims": True}, "pytorch"),
    )
    bad = (BadSample((TensorType("float", (BATCH, 3)), None), {}, "needs 2 axes"),)

    def infer(self, site: Site) -> TensorType:
        result = super().infer(site)
        mask = site.inputs[1]
        steps = site.input.shape[spatial_axes(3, site["layout"])[0]]
        if mask is not None and mask.shape != (site.input.shape[0], steps):
            raise OpProblem(
                f"the mask of {self.kind} has one value per step, bool[{steps}], not {mask}",
                port="mask",
            )
        return result

    def _masked(self, node: Node, function: str) -> Form | None:
        if node.inputs[1] is None:
            return None
        channels = channel_axis(3, node["layout"])
        return Form(
            f"{function}({{input}}, {{mask}}, {self._axes(node)}, {channels}, {node['keepdims']})"
        )

    def numpy(self, node: Node) -> Form:
        return self._masked(node, "masked_mean") or super().numpy(node)

    def torch(self, node: Node) -> Form:
        return self._masked(node, "masked_mean") or super().torch(node)

    def tensorflow(self, node: Node) -> Form:
        return self._masked(node, "masked_mean") or super().tensorflow(node)

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        (x, mask), (y,) = node.inputs, node.outputs
        if mask is None:
            super().gradient(node, g)
            return
        dy = g.of(y)
        assert x is not None and dy is not None
        template = (
            f"masked_mean_gradient({{0}}{self._spread(node)}, {{1}}, {self._axes(node)}, "
            f"{channel_axis(3, node['layout'])})"
        )
        g.add(x, g.expression(template, (dy, mask), x.type, f"d_{x.name}"))


class GlobalMaxPool(GlobalPool):
    """Base of the maxima over all positions. Equal maxima share the gradient, as everywhere."""

    def numpy(self, node: Node) -> Form:
        return self._call(node, "{input}.max(axis=", "keepdims")

    def torch(self, node: Node) -> Form:
        return self._call(node, "{input}.amax(", "keepdim")

    def tensorflow(self, node: Node) -> Form:
        return self._call(node, "tf.reduce_max({input}, ", "keepdims")

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        (x,), (y,) = node.inputs, node.outputs
        dy = g.of(y)
        assert x is not None and dy is not None
        spread = self._spread(node)
        template = (
            f"global_max_pool_gradient({{0}}, {{1}}{spread}, {{2}}{spread}, {self._axes(node)})"
        )
        g.add(x, g.expression(template, (x, y, dy), x.type, f"d_{x.name}"))


class GlobalMaxPool2d(GlobalMaxPool):
    """The largest element of each channel.

    input: (batch, height, width, channels), or channels first by ``layout``;
    output: (batch, channels).
    """

    kind = "global_max_pool2d"
    aliases = ("global_max_pooling2d",)
    samples = (
        Sample((TensorType("float", (BATCH, 4, 5, 3)),)),
        Sample((TensorType("float", (BATCH, 3, 4, 5)),), {"keepdims": True}, "pytorch"),
    )
    bad = (BadSample((TensorType("float", (BATCH, 3)),), {}, "needs 3 axes"),)


class GlobalMaxPool1d(GlobalMaxPool):
    """The largest element of each channel over time.

    input: (batch, length, channels), or channels first by ``layout``; output: (batch, channels).
    """

    kind = "global_max_pool1d"
    aliases = ("global_max_pooling1d",)
    rank = 1
    samples = (
        Sample((TensorType("float", (BATCH, 5, 3)),)),
        Sample((TensorType("float", (BATCH, 3, 5)),), {"keepdims": True}, "pytorch"),
    )
    bad = (BadSample((TensorType("float", (BATCH, 3)),), {}, "needs 2 axes"),)


OPS = (GlobalAveragePool1d, GlobalAveragePool2d, GlobalMaxPool1d, GlobalMaxPool2d)

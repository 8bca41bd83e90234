"""Dropout with masks that every backend draws alike."""

from __future__ import annotations

from specc.ir.dims import BATCH, Dim, product
from specc.ir.graph import Node
from specc.ir.types import TensorType
from specc.ops.attributes import Attribute, Number
from specc.ops.base import BadSample, Form, Module, Op, Sample
from specc.ops.gradients import GradientBuilder


class Dropout(Op):
    """In training each element is 0 with probability ``rate``, else divided by ``1 - rate``.

    The mask derives from (seed, path, step) and the element's place in the spec's layout: it is the
    same on every backend, and each call of a shared layer has its own. Inference leaves the input
    as it is (Srivastava et al., 2014).
    """

    kind = "dropout"
    family = "dropout"
    random = True
    attributes = (
        Attribute(
            "rate", Number(0, 1, below=True), doc="Probability with which an element becomes 0."
        ),
    )
    refused = {
        "p": "write rate",
        "seed": "masks derive from the seed of the spec, beside conventions, and the layer's path",
        "noise_shape": "specc draws one value per element; remove it",
        "inplace": "memory is the backend's business; remove it",
    }
    samples = (
        Sample((TensorType("float", (BATCH, 9)),), {"rate": 0.3}),
        Sample((TensorType("float", (BATCH, 3, 4, 5)),), {"rate": 0.5}, "pytorch"),
        Sample((TensorType("float", (BATCH, 9)),), {"rate": 0.0}),
    )
    bad = (
        BadSample((TensorType("float", (BATCH, 9)),), {"rate": 1.0}, "below 1"),
        BadSample((TensorType("float", (BATCH, 9)),), {"rate": -0.1}, "at least 0"),
    )

    def flops(self, node: Node) -> Dim:
        return product(node.outputs[0].type.shape)

    def _call(self, node: Node) -> str:
        """Which call of a shared layer this is, counted from 0."""
        return node.path.partition("@")[2]

    def numpy(self, node: Node) -> Form:
        if node["rate"] == 0:
            return Form("{input}")
        return Form(
            "dropout({input}, {rate}, layer_key({seed}, {path}, {call}), {step})"
            if self._call(node)
            else "dropout({input}, {rate}, layer_key({seed}, {path}), {step})",
            {"rate": node["rate"]},
            saved=("mask",),
            inference="{input}",
        )

    def torch(self, node: Node) -> Form:
        call = self._call(node)
        return Form(
            f"{{self}}({{input}}, {{step}}{f', call={call}' if call else ''})",
            module=Module("Dropout", (node["rate"],)),
            needs=("step",),
        )

    def tensorflow(self, node: Node) -> Form:
        call = self._call(node)
        use = f", use={call}" if call else ""
        return Form(
            f"{{self}}({{input}}, step={{step}}, training={{training}}{use})",
            module=Module("Dropout", (node["rate"],)),
            needs=("step", "training"),
        )

    def saved(self, node: Node) -> tuple[tuple[str, TensorType], ...]:
        return (("mask", node.outputs[0].type),) if node["rate"] else ()

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        (x,), (y,) = node.inputs, node.outputs
        dy = g.of(y)
        assert x is not None and dy is not None
        if node["rate"] == 0:
            g.add(x, dy)
        else:
            mask = g.saved(node, "mask")
            g.add(x, g.expression("{0} * {1}", (dy, mask), x.type, f"d_{x.name}"))


OPS = (Dropout,)

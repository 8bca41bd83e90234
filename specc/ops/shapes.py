"""Ops that move elements and leave them as they are."""

from __future__ import annotations

from specc.ir.dims import BATCH, product
from specc.ir.graph import Node
from specc.ir.types import TensorType
from specc.ops.base import Form, Op, Port, Sample, Site
from specc.ops.gradients import GradientBuilder


class Flatten(Op):
    """All axes but the batch in one, in the order of the spec's layout. output: (batch, elements)."""

    kind = "flatten"
    family = "shapes"
    ports = (Port("input", dtype="any"),)
    mask = "stop"
    samples = (Sample((TensorType("float", (BATCH, 3, 4, 2)),)),)

    def infer(self, site: Site) -> TensorType:
        for axis in range(1, site.input.rank):
            site.static(axis, "every size that flatten joins")
        return TensorType(site.input.dtype, (BATCH, product(site.input.shape[1:])))

    def numpy(self, node: Node) -> Form:
        return Form(f"{{input}}.reshape(-1, {node.outputs[0].type.shape[1]})")

    def torch(self, node: Node) -> Form:
        return Form("{input}.flatten(1)")

    def tensorflow(self, node: Node) -> Form:
        return Form(f"tf.reshape({{input}}, [-1, {node.outputs[0].type.shape[1]}])")

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        (x,), (y,) = node.inputs, node.outputs
        dy = g.of(y)
        assert x is not None and dy is not None
        g.add(x, g.expression("{0}.reshape({1}.shape)", (dy, x), x.type, f"d_{x.name}"))


class Transpose(Op):
    """Reorders axes; the compiler's own, to move between memory layouts."""

    kind = "transpose"
    family = "shapes"
    internal = True

    def numpy(self, node: Node) -> Form:
        return Form(f"{{input}}.transpose{node['axes']}")

    def torch(self, node: Node) -> Form:
        return Form(f"{{input}}.permute{node['axes']}")

    def tensorflow(self, node: Node) -> Form:
        return Form("tf.transpose({input}, {axes})", {"axes": list(node["axes"])})

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        (x,), (y,) = node.inputs, node.outputs
        dy = g.of(y)
        assert x is not None and dy is not None
        inverse = tuple(sorted(range(len(node["axes"])), key=node["axes"].__getitem__))
        g.add(x, g.expression(f"{{0}}.transpose{inverse}", (dy,), x.type, f"d_{x.name}"))


OPS = (Flatten, Transpose)

"""The snake activation for specc."""

from __future__ import annotations

from specc.ir.dims import BATCH, Dim, product
from specc.ir.graph import Node
from specc.ir.types import TensorType
from specc.ops.attributes import Attribute, Number
from specc.ops.base import BadSample, Form, Op, Sample
from specc.ops.gradients import GradientBuilder

_VECTOR = TensorType("float", (BATCH, 7))


class Snake(Op):
    """``x + sin(frequency * x)**2 / frequency``: an activation for periodic signals.

    Ziyin, Hartwig and Ueda, "Neural networks fail to learn periodic functions and how to fix it",
    2020.
    """

    kind = "snake"
    family = "activations"
    layout = "any"  # element by element, however the tensor lies in memory
    attributes = (
        Attribute("frequency", Number(0, above=True), 1.0, "How fast the periodic part turns."),
    )
    samples = (
        Sample((_VECTOR,)),
        Sample((TensorType("float", (BATCH, 4, 5, 3)),), {"frequency": 0.5}),
    )
    bad = (BadSample((_VECTOR,), {"frequency": 0}, "above 0"),)

    def flops(self, node: Node) -> Dim:
        return product(node.outputs[0].type.shape) * 5

    def _form(self, node: Node, sine: str) -> Form:
        template = f"{{input}} + {sine}({{frequency}} * {{input}}) ** 2 / {{frequency}}"
        return Form(template, {"frequency": node["frequency"]})

    def numpy(self, node: Node) -> Form:
        return self._form(node, "np.sin")

    def torch(self, node: Node) -> Form:
        return self._form(node, "torch.sin")

    def tensorflow(self, node: Node) -> Form:
        return self._form(node, "tf.sin")

    def jax(self, node: Node) -> Form:
        return self._form(node, "jnp.sin")

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        """The slope is 1 + sin(2 * frequency * x)."""
        (x,), (y,) = node.inputs, node.outputs
        dy = g.of(y)
        assert x is not None and dy is not None
        template = f"{{0}} * (1 + np.sin({2 * node['frequency']!r} * {{1}}))"
        g.add(x, g.expression(template, (dy, x), x.type, f"d_{x.name}"))


OPS = (Snake,)

"""Element-wise nonlinearities and softmax."""

from __future__ import annotations

from collections.abc import Mapping

from specc.ir.dims import BATCH, Dim, product
from specc.ir.graph import Node
from specc.ir.types import TensorType
from specc.ops.attributes import Attribute, Boolean, Integer, Number
from specc.ops.base import BadSample, Form, Op, Sample, Site
from specc.ops.gradients import GradientBuilder
from specc.ops.shapes import existing_axis

_VECTOR = TensorType("float", (BATCH, 7))
_IMAGE = TensorType("float", (BATCH, 4, 5, 3))


class Activation(Op):
    """Base of the element-wise nonlinearities.

    ``keeps`` says what the gradient is a function of: the output ("y") or the input ("x").
    """

    family = "activations"
    layout = "any"
    keeps = "y"
    literals: tuple[str, ...] = ()
    samples = (Sample((_VECTOR,)), Sample((_IMAGE,)))

    def flops(self, node: Node) -> Dim:
        return product(node.outputs[0].type.shape)

    def _call(self, function: str, node: Node, first: str) -> str:
        return f"{function}({', '.join([first, *(repr(node[name]) for name in self.literals)])})"

    def numpy(self, node: Node) -> Form:
        return Form(self._call(self.kind, node, "{input}"))

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        (x,), (y,) = node.inputs, node.outputs
        dy = g.of(y)
        assert x is not None and dy is not None
        template = self._call(f"{self.kind}_gradient", node, "{0}, {1}")
        kept = y if self.keeps == "y" else x
        g.add(x, g.expression(template, (dy, kept), x.type, f"d_{x.name}"))


class Relu(Activation):
    """``max(x, 0)``. The gradient at 0 is 0."""

    kind = "relu"

    def torch(self, node: Node) -> Form:
        return Form("F.relu({input})")

    def tensorflow(self, node: Node) -> Form:
        return Form("tf.nn.relu({input})")


class Sigmoid(Activation):
    """The logistic function ``1 / (1 + exp(-x))``."""

    kind = "sigmoid"

    def torch(self, node: Node) -> Form:
        return Form("torch.sigmoid({input})")

    def tensorflow(self, node: Node) -> Form:
        return Form("tf.sigmoid({input})")


class Tanh(Activation):
    """The hyperbolic tangent."""

    kind = "tanh"

    def torch(self, node: Node) -> Form:
        return Form("torch.tanh({input})")

    def tensorflow(self, node: Node) -> Form:
        return Form("tf.tanh({input})")

    def numpy(self, node: Node) -> Form:
        return Form("np.tanh({input})")


class LeakyRelu(Activation):
    """``x`` where positive, else ``negative_slope * x`` (Keras' layer: 0.3, PyTorch: 0.01)."""

    kind = "leaky_relu"
    keeps = "x"
    literals = ("negative_slope",)
    attributes = (
        Attribute(
            "negative_slope", Number(0), keras=0.3, pytorch=0.01, doc="Slope for negative inputs."
        ),
    )

    def torch(self, node: Node) -> Form:
        return Form("F.leaky_relu({input}, {slope})", {"slope": node["negative_slope"]})

    def tensorflow(self, node: Node) -> Form:
        # tf.nn.leaky_relu holds its slope in float32, also in float64 programs.
        return Form("leaky_relu({input}, {slope})", {"slope": node["negative_slope"]})


class Elu(Activation):
    """``x`` where positive, else ``alpha * (exp(x) - 1)`` (Clevert et al., 2015)."""

    kind = "elu"
    literals = ("alpha",)
    attributes = (Attribute("alpha", Number(0), 1.0, "Scale of the negative part."),)

    def torch(self, node: Node) -> Form:
        return Form("F.elu({input}, {alpha})", {"alpha": node["alpha"]})

    def tensorflow(self, node: Node) -> Form:
        if node["alpha"] == 1.0:
            return Form("tf.nn.elu({input})")
        return Form("elu({input}, {alpha})", {"alpha": node["alpha"]})


class Gelu(Activation):
    """``x * Phi(x)``, the Gaussian error linear unit; ``approximate`` takes the tanh form
    (Hendrycks and Gimpel, 2016)."""

    kind = "gelu"
    keeps = "x"
    attributes = (
        Attribute("approximate", Boolean(), False, "The tanh form instead of the exact one."),
    )
    samples = (Sample((_VECTOR,)), Sample((_IMAGE,), {"approximate": True}))

    def _call(self, function: str, node: Node, first: str) -> str:
        kernel = "gelu_tanh" if node["approximate"] else "gelu"
        return f"{function.replace('gelu', kernel)}({first})"

    def torch(self, node: Node) -> Form:
        return Form(
            'F.gelu({input}, approximate="tanh")' if node["approximate"] else "F.gelu({input})"
        )

    def tensorflow(self, node: Node) -> Form:
        # tf.nn.gelu rounds its constants to float32 in float64 programs.
        return Form(f"gelu{'_tanh' if node['approximate'] else ''}({{input}})")


class Softplus(Activation):
    """``log(1 + exp(x))``, a smooth relu."""

    kind = "softplus"
    keeps = "x"

    def torch(self, node: Node) -> Form:
        # F.softplus replaces the function by x above a threshold; this one is exact everywhere.
        return Form("torch.logaddexp({input}, torch.zeros_like({input}))")

    def tensorflow(self, node: Node) -> Form:
        return Form("tf.math.softplus({input})")


class Softmax(Activation):
    """``exp(x) / sum(exp(x))`` along an axis: probabilities that add up to one."""

    kind = "softmax"
    literals = ("axis",)
    attributes = (Attribute("axis", Integer(), -1, "The axis of the classes, the batch being 0."),)
    samples = (Sample((_VECTOR,)), Sample((_IMAGE,), {"axis": 1}))
    bad = (BadSample((_VECTOR,), {"axis": 4}, "axis 4"),)

    def infer(self, site: Site) -> TensorType:
        existing_axis(site)
        return site.input

    def torch(self, node: Node) -> Form:
        return Form("torch.softmax({input}, dim={axis})", {"axis": node["axis"]})

    def tensorflow(self, node: Node) -> Form:
        return Form(
            "tf.nn.softmax({input})"
            if node["axis"] in (-1, node.outputs[0].type.rank - 1)
            else f"tf.nn.softmax({{input}}, axis={node['axis']})"
        )


OPS = (Relu, LeakyRelu, Elu, Gelu, Sigmoid, Tanh, Softmax, Softplus)
ACTIVATIONS: Mapping[str, Op] = {op.kind: op() for op in OPS}

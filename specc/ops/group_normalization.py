"""Normalization over groups of features."""

from __future__ import annotations

from specc.ir.dims import BATCH, Dim, product
from specc.ir.graph import Node, Parameter
from specc.ir.types import TensorType
from specc.ops.advice import count, divisors_near
from specc.ops.attributes import Attribute, Integer
from specc.ops.base import BadSample, Form, Module, Op, OpProblem, Sample, Site, Weight
from specc.ops.gradients import GradientBuilder
from specc.ops.normalization import SCALE_AND_CENTER, epsilon, named, scale_and_center
from specc.ops.options import given
from specc.ops.shapes import existing_axis

_IMAGE = TensorType("float", (BATCH, 3, 2, 6))


class GroupNorm(Op):
    """Normalizes each group of features of a sample over the group and all positions.

    ``output = (input - mean) / sqrt(variance + epsilon) * gamma + beta``; neighbouring features
    form a group. Source: Wu and He, 2018.

    input: (batch, ..., features, ...) with the features on ``axis``; gamma, beta: (features,).
    """

    kind = "group_norm"
    aliases = ("group_normalization",)
    family = "normalization"
    layout = "any"
    attributes = (
        Attribute("groups", Integer(1), 32, "How many groups the features are divided into."),
        Attribute(
            "axis",
            Integer(),
            keras=-1,
            pytorch=1,
            doc="The axis of the features, the batch being 0.",
        ),
        epsilon(),
        *SCALE_AND_CENTER,
    )
    refused = {
        "num_groups": "write groups",
        "num_channels": "specc infers the number of features; remove it",
        "eps": "write epsilon",
        "affine": "write center and scale",
    }
    samples = (
        Sample((_IMAGE,), {"groups": 2}),
        Sample((_IMAGE,), {"groups": 3, "axis": 1, "scale": False}),
        Sample((TensorType("float", (BATCH, 6)),), {"groups": 2, "center": False}),
        Sample((TensorType("float", (BATCH, 6, 4)),), {"groups": 3}, "pytorch"),
        Sample(
            (TensorType("float", (BATCH, 4, 3, 2)),),
            {"groups": 2, "center": False, "scale": False},
            "pytorch",
        ),
    )
    bad = (
        BadSample((_IMAGE,), {"groups": 4}, "do not divide into 4 groups"),
        BadSample((_IMAGE,), {"groups": 2, "axis": 4}, "axis 4 does not exist"),
    )

    def infer(self, site: Site) -> TensorType:
        features = site.static(existing_axis(site), "the number of features")
        if features % site["groups"]:
            raise OpProblem(
                f"the {count(features, 'feature')} of {site.input} do not divide into "
                f"{count(site['groups'], 'group')}",
                help=f"write {count(divisors_near(features, site['groups']), 'group')}",
                attribute="groups",
                axes=((0, existing_axis(site)),),
            )
        return site.input

    def parameters(self, site: Site) -> tuple[Parameter, ...]:
        features = site.static(existing_axis(site), "the number of features")
        return scale_and_center(site, (features,), features)

    def flops(self, node: Node) -> Dim:
        return product(node.outputs[0].type.shape) * 8

    def _axis(self, node: Node) -> int:
        return int(node["axis"] % node.outputs[0].type.rank)

    def numpy(self, node: Node) -> Form:
        call = (
            f"group_norm({{input}}, {named(node, 'gamma')}, {named(node, 'beta')}, "
            f"{node['groups']}, {self._axis(node)}, {node['epsilon']})"
        )
        return Form(call, saved=("normalized", "inverse_deviation"), inference=f"{call}[0]")

    def saved(self, node: Node) -> tuple[tuple[str, TensorType], ...]:
        y, axis = node.outputs[0].type, self._axis(node)
        ones = (1,) * (y.rank - axis)
        deviation = (y.shape[0], *(1,) * (axis - 1), node["groups"], *ones)
        return ("normalized", y), ("inverse_deviation", TensorType("float", deviation))

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        (x,), (y,) = node.inputs, node.outputs
        dy = g.of(y)
        assert x is not None and dy is not None
        gamma = g.parameter(node, "gamma") if node["scale"] else None
        beta = g.parameter(node, "beta") if node["center"] else None
        wanted = (x if g.wants(x) else None, gamma, beta)
        types = [each.type if each is not None else None for each in wanted]
        names = [f"d_{each.name}" if each is not None else "_" for each in wanted]
        kept = g.saved(node, "normalized"), gamma, g.saved(node, "inverse_deviation")
        arguments = (dy, *kept, node["groups"], self._axis(node))
        for each, result in zip(
            wanted, g.call("group_norm_gradient", arguments, types, names), strict=True
        ):
            if each is not None:
                g.add(each, result)

    def torch(self, node: Node) -> Form:
        axis = self._axis(node)
        features = node.outputs[0].type.shape[axis]
        options = given(eps=(node["epsilon"], 1e-5))
        kind = "nn.GroupNorm"
        # torch's own layer fails on images that need no gradient, and may on groups of one number.
        image = node.outputs[0].type.rank == 4 and node["scale"]
        if not image and features != node["groups"] and node["scale"] == node["center"]:
            options |= given(affine=(node["scale"], True))
        else:
            kind = "GroupNorm"
            options |= given(scale=(node["scale"], True), center=(node["center"], True))
        weights = (Weight("gamma", ("weight",)), Weight("beta", ("bias",)))
        module = Module(kind, (node["groups"], features), options, weights)
        if axis == 1:
            return Form("{self}({input})", module=module)
        return Form(f"{{self}}({{input}}.movedim({axis}, 1)).movedim(1, {axis})", module=module)

    def tensorflow(self, node: Node) -> Form:
        axis = self._axis(node)
        module = Module(
            "keras.layers.GroupNormalization",
            (),
            given(
                groups=(node["groups"], 32),
                axis=(-1 if axis == node.outputs[0].type.rank - 1 else axis, -1),
                epsilon=(node["epsilon"], 1e-3),
                center=(node["center"], True),
                scale=(node["scale"], True),
            ),
            (Weight("gamma", ("gamma",)), Weight("beta", ("beta",))),
        )
        return Form("{self}({input})", module=module)


OPS = (GroupNorm,)

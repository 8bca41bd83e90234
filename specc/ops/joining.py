"""Concatenation, and the masks of ops with many inputs."""

from __future__ import annotations

from collections.abc import Sequence

from specc.ir.dims import BATCH, Dim, is_static
from specc.ir.graph import Node, Value
from specc.ir.types import TensorType
from specc.ops.attributes import Attribute, Integer
from specc.ops.base import BadSample, Form, Op, OpProblem, Port, Sample, Site
from specc.ops.gradients import GradientBuilder
from specc.ops.shapes import existing_axis


class Concatenate(Op):
    """Joins its inputs along an axis; all other sizes are equal.

    The mask (keras convention): along the last axis a step counts if it counts in any input; along
    another one the masks are joined as the inputs are.
    """

    kind = "concatenate"
    aliases = ("cat",)
    family = "shapes"
    ports = (Port("inputs", dtype="any", many=True),)
    layout = "any"
    attributes = (
        Attribute(
            "axis",
            Integer(),
            keras=-1,
            pytorch=1,
            doc="The axis along which the inputs are joined, the batch being 0.",
        ),
    )
    refused = {"dim": "write axis"}
    samples = (
        Sample((TensorType("float", (BATCH, 4)), TensorType("float", (BATCH, 3)))),
        Sample((TensorType("float", (BATCH, 2, 3)),) * 3, {"axis": 1}),
        Sample(
            (TensorType("float", (BATCH, 2, 4, 5)), TensorType("float", (BATCH, 3, 4, 5))),
            {},
            "pytorch",
        ),
    )
    bad = (
        BadSample((TensorType("float", (BATCH, 4)),), {}, "two inputs or more"),
        BadSample(
            (TensorType("float", (BATCH, 4, 3)), TensorType("float", (BATCH, 5, 3))),
            {},
            "equal sizes",
        ),
        BadSample((TensorType("float", (BATCH, 4)),) * 2, {"axis": 0}, "axis 0 is the batch"),
        BadSample((TensorType("float", (BATCH, 4)),) * 2, {"axis": 2}, "axis 2 does not exist"),
        BadSample((TensorType("float", (BATCH, 4)), TensorType("int", (BATCH, 4))), {}, "one type"),
    )

    def infer(self, site: Site) -> TensorType:
        types = joined_types(site, self.kind)
        rank = site.input.rank
        axis = existing_axis(site)
        first = (*site.input.shape[:axis], *site.input.shape[axis + 1 :])
        total: Dim = 0
        for number, each in enumerate(types):
            rest = (*each.shape[:axis], *each.shape[axis + 1 :])
            if each.rank != rank or rest != first:
                raise _unlike(site, number, axis)
            if each.dtype != site.input.dtype:
                raise OpProblem(
                    f"inputs that are joined have one type, but {site.name(number)} is {each} and "
                    f"{site.name(0)} {site.input}"
                )
            total = each.shape[axis] + total
        shape = (*site.input.shape[:axis], total, *site.input.shape[axis + 1 :])
        return TensorType(site.input.dtype, shape)

    def size_from(self, site: Site, axis: int) -> tuple[int, int] | None:
        return None if axis == existing_axis(site) else (0, axis)

    def join_masks(
        self, site: Site, path: str, inputs: tuple[Value, ...], masks: tuple[Value | None, ...]
    ) -> tuple[Node, ...]:
        if site["axis"] % site.input.rank == site.input.rank - 1:
            return either_mask(path, masks)
        nodes: list[Node] = []
        parts: list[Value] = []
        for index, (value, mask) in enumerate(zip(inputs, masks, strict=True)):
            if mask is None:
                mask = mask_value(f"{path}.steps.{index}", value.type.shape[:-1])
                nodes.append(Node(AllSteps.kind, mask.name, (value,), (mask,)))
            parts.append(mask)
        shape = self.infer(site).shape[:-1]
        joined = mask_value(f"{path}.mask", shape)
        axis = {"axis": site["axis"] % site.input.rank}
        return (*nodes, Node(self.kind, joined.name, tuple(parts), (joined,), axis))

    def numpy(self, node: Node) -> Form:
        return Form("np.concatenate({inputs}, axis={axis})", {"axis": node["axis"]})

    def torch(self, node: Node) -> Form:
        return Form("torch.cat({inputs}, dim={axis})", {"axis": node["axis"]})

    def tensorflow(self, node: Node) -> Form:
        return Form("tf.concat({inputs}, axis={axis})", {"axis": node["axis"]})

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        dy = g.of(node.outputs[0])
        assert dy is not None
        values = [value for value in node.inputs if value is not None]
        axis = node["axis"] % values[0].type.rank
        sizes = [value.type.shape[axis] for value in values]
        for index, x in enumerate(values):
            before, after = sizes[:index], sizes[: index + 1]
            if is_static(tuple(after)):
                part = f"{sum(before) or ''}:{sum(after)}"
            else:
                part = f"{_total(before, axis)}:{_total(after, axis)}"
            slices = ", ".join([":"] * axis + [part])
            g.add(x, g.expression(f"{{0}}[{slices}]", (dy, *values), x.type, f"d_{x.name}"))


def _unlike(site: Site, number: int, axis: int) -> OpProblem:
    """The problem of an input whose sizes are not those of the first one beside the axis."""
    first, other = site.input, site.inputs[number]
    assert other is not None
    message = (
        f"inputs that are joined along axis {axis} have equal sizes on all others, but "
        f"{site.name(number)} is {other} and {site.name(0)} {first}"
    )
    if other.rank != first.rank:
        small = number if other.rank < first.rank else 0
        size = ", ".join(map(str, ((first if small == 0 else other).shape[1:] or (1,))))
        missing = f"with size 1 for the axis that it lacks, e.g. [{size}]"
        return OpProblem(message, help=f"reshape {site.name(small)}, {missing}")
    differ = [each for each in range(1, first.rank) if first.shape[each] != other.shape[each]]
    wrong = [each for each in differ if each != axis]
    message += "".join(
        f"; axis {each} has {first.shape[each]} and {other.shape[each]}" for each in wrong
    )
    axes = ((0, wrong[0]), (number, wrong[0]))
    if len(differ) == 1:
        help_ = f"set axis to {differ[0]}, the only one on which they differ, or make it equal"
        return OpProblem(message, help=help_, attribute="axis", axes=axes)
    help_ = "make the sizes equal (padding: same keeps them, equal strides), or flatten both first"
    return OpProblem(message, help=help_, axes=axes)


def _total(sizes: Sequence[Dim], axis: int) -> str:
    """The sum of sizes that are known when the program runs, over the values {1}, {2} ..."""
    terms = (
        str(size) if isinstance(size, int) else f"{{{number}}}.shape[{axis}]"
        for number, size in enumerate(sizes, 1)
    )
    return " + ".join(terms)


def joined_types(site: Site, kind: str) -> tuple[TensorType, ...]:
    """The types of an op's inputs, of which there must be two or more."""
    types = tuple(each for each in site.inputs if each is not None)
    if len(types) < 2:
        wired = "one" if types else "none"
        message = f"{kind} takes two inputs or more, but {wired} is wired in"
        raise OpProblem(message, help="name them: from: [x, y], or (x, y) in the language")
    return types


def mask_value(name: str, shape: tuple[Dim, ...]) -> Value:
    return Value(name, TensorType("bool", shape), internal=True)


def either_mask(path: str, masks: tuple[Value | None, ...]) -> tuple[Node, ...]:
    """True where any of the masks is; none if some input has no mask, since all its steps count."""
    known = tuple({id(mask): mask for mask in masks if mask is not None}.values())
    if None in masks or not known:
        return ()
    result = mask_value(f"{path}.mask", known[0].type.shape)
    return (Node(AnyMask.kind, result.name, known, (result,)),)


class AnyMask(Op):
    """True where one of the masks is; the compiler's own."""

    kind = "any_mask"
    family = "shapes"
    internal = True
    ports = (Port("inputs", dtype="bool", many=True),)

    def numpy(self, node: Node) -> Form:
        return Form(" | ".join(f"{{input{index}}}" for index in range(len(node.inputs))))

    torch = tensorflow = numpy


class AllSteps(Op):
    """The mask of a value whose steps all count; the compiler's own."""

    kind = "all_steps"
    family = "shapes"
    internal = True
    ports = (Port("input", dtype="any"),)

    def numpy(self, node: Node) -> Form:
        return Form("np.ones({input}.shape[:-1], bool)")

    def torch(self, node: Node) -> Form:
        return Form("torch.ones({input}.shape[:-1], dtype=torch.bool, device={input}.device)")

    def tensorflow(self, node: Node) -> Form:
        return Form("tf.ones(tf.shape({input})[:-1], tf.bool)")


class FillMasked(Op):
    """The input where the mask is True, a constant elsewhere; the compiler's own."""

    kind = "fill_masked"
    family = "shapes"
    internal = True
    ports = (Port("input"), Port("mask", dtype="bool"))

    def numpy(self, node: Node) -> Form:
        return Form("np.where({mask}[..., None], {input}, {fill})", {"fill": node["fill"]})

    def torch(self, node: Node) -> Form:
        return Form("torch.where({mask}[..., None], {input}, {fill})", {"fill": node["fill"]})

    def tensorflow(self, node: Node) -> Form:
        like = "ones_like" if node["fill"] else "zeros_like"
        return Form(f"tf.where({{mask}}[..., None], {{input}}, tf.{like}({{input}}))")

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        (x, mask), (y,) = node.inputs, node.outputs
        dy = g.of(y)
        assert x is not None and mask is not None and dy is not None
        template = "np.where({0}[..., None], {1}, 0.0)"
        g.add(x, g.expression(template, (mask, dy), x.type, f"d_{x.name}"))


def filled(value: Value, mask: Value, fill: int, result: Value) -> Node:
    """``result`` is ``value`` with ``fill``, 0 or 1, in the place of masked steps."""
    return Node(FillMasked.kind, result.name, (value, mask), (result,), {"fill": fill})


OPS = (Concatenate, AnyMask, AllSteps, FillMasked)

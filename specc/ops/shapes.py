"""Ops that move elements and leave them as they are."""

from __future__ import annotations

from typing import Any

from specc.ir.dims import BATCH, Dim, is_static, product, symbol
from specc.ir.graph import Node
from specc.ir.types import TensorType
from specc.ops.attributes import Attribute, AttributeProblem, Integers, show
from specc.ops.base import BadSample, Form, Op, OpProblem, Port, Sample, Site
from specc.ops.gradients import GradientBuilder

_OPEN = (
    "give this axis a number where the input is declared, or put global_average_pool2d (for "
    "sequences global_average_pool1d) in its place"
)


class Flatten(Op):
    """All axes but the batch in one, in the order of the spec's layout: (batch, elements)."""

    kind = "flatten"
    family = "shapes"
    ports = (Port("input", dtype="any"),)
    mask = "stop"
    samples = (Sample((TensorType("float", (BATCH, 3, 4, 2)),)),)
    bad = (
        BadSample(
            (TensorType("float", (BATCH, symbol("T"), 2)),),
            {},
            "must be a known size, but axis 1 of the input is 'T'",
        ),
    )

    def infer(self, site: Site) -> TensorType:
        for axis in range(1, site.input.rank):
            site.static(axis, "every size that flatten joins", _OPEN)
        return TensorType(site.input.dtype, (BATCH, product(site.input.shape[1:])))

    def numpy(self, node: Node) -> Form:
        return Form(f"{{input}}.reshape(-1, {node.outputs[0].type.shape[1]})")

    def torch(self, node: Node) -> Form:
        lone = node.inputs[0] is not None and node.inputs[0].type.rank == 1
        return Form("{input}.unsqueeze(1)" if lone else "{input}.flatten(1)")

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


class Reshape(Op):
    """The same elements, in the order of the spec's layout, in another shape.

    ``target_shape`` is without the batch; one size may be -1, which stands for what is left.
    """

    kind = "reshape"
    family = "shapes"
    ports = (Port("input", dtype="any"),)
    mask = "stop"
    attributes = (
        Attribute(
            "target_shape",
            Integers(),
            doc="Sizes of the axes after the batch, one of them -1 or none.",
        ),
    )
    refused = {"shape": "write target_shape, without the batch"}
    samples = (
        Sample((TensorType("float", (BATCH, 4, 6)),), {"target_shape": [2, -1, 3]}),
        Sample((TensorType("float", (BATCH, 3, 4, 2)),), {"target_shape": [24]}, "pytorch"),
        Sample((TensorType("float", (BATCH, symbol("T"), 6)),), {"target_shape": [-1, 2, 3]}),
    )
    bad = (
        BadSample(
            (TensorType("float", (BATCH, 4, 6)),),
            {"target_shape": [5, 5]},
            "24 elements of float[4, 6] do not fit",
        ),
        BadSample(
            (TensorType("float", (BATCH, 4, 6)),), {"target_shape": [-1, 5]}, "do not divide"
        ),
        BadSample(
            (TensorType("float", (BATCH, 4, 6)),), {"target_shape": [-1, -1]}, "one size may be -1"
        ),
    )

    def infer(self, site: Site) -> TensorType:
        target: tuple[Dim, ...] = site["target_shape"]
        free = [index for index, size in enumerate(target) if size == -1]
        if len(free) > 1 or any(
            isinstance(size, int) and size < -1 or size == 0 for size in target
        ):
            raise OpProblem(
                f"the sizes of target_shape {show(target)} are positive, and one size may "
                "be -1, to be computed",
                attribute="target_shape",
            )
        total = product(site.input.shape[1:])
        known = int(product(tuple(size for size in target if size != -1)))  # type: ignore[arg-type]
        if free:
            left = total // known
            if left * known != total:
                raise OpProblem(
                    f"the {total} elements of the input {site.input} do not divide by {known}, "
                    f"the product of the other sizes of {show(target)}",
                    help=f"write a size that divides {total}",
                    attribute="target_shape",
                    axes=((0, site.input.rank - 1),),
                )
            target = (*target[: free[0]], left, *target[free[0] + 1 :])
        elif known != total:
            raise OpProblem(
                f"the {total} elements of {site.input} do not fit {show(target)}, "
                f"which has {known}",
                help=_reshape_advice(target, total),
                attribute="target_shape",
                axes=((0, site.input.rank - 1),),
            )
        return TensorType(site.input.dtype, (site.input.shape[0], *target))

    def size_from(self, site: Site, axis: int) -> str:
        return "target_shape"

    def _sizes(self, node: Node, batch: str) -> str:
        """The new sizes: -1 for the batch, or ``batch`` where -1 stands for another free size."""
        inner = node.outputs[0].type.shape[1:]
        first = "-1" if is_static(inner) else batch
        return ", ".join([first, *(str(size) if isinstance(size, int) else "-1" for size in inner)])

    def numpy(self, node: Node) -> Form:
        return Form(f"{{input}}.reshape({self._sizes(node, '{input}.shape[0]')})")

    def torch(self, node: Node) -> Form:
        return Form(f"{{input}}.reshape({self._sizes(node, '{input}.shape[0]')})")

    def tensorflow(self, node: Node) -> Form:
        return Form(f"tf.reshape({{input}}, [{self._sizes(node, 'tf.shape({input})[0]')}])")

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        (x,), (y,) = node.inputs, node.outputs
        dy = g.of(y)
        assert x is not None and dy is not None
        g.add(x, g.expression("{0}.reshape({1}.shape)", (dy, x), x.type, f"d_{x.name}"))


class _Order(Integers):
    """Axes counted from 1 after the batch."""

    def parse(self, value: Any) -> tuple[int, ...]:
        if isinstance(value, list) and value[:1] == [0]:
            without = show(value[1:])
            raise AttributeProblem(
                "0 is not a positive integer",
                f"axes are counted from 1 after the batch, which stays where it is: {without}",
            )
        return super().parse(value)


class Permute(Op):
    """Reorders the axes after the batch, as Keras' layer does.

    Output axis i is axis ``dims[i - 1]`` of the input. The batch is axis 0 and stays in front, so
    that ``dims: [2, 1]`` exchanges the first two axes after it.
    """

    kind = "permute"
    family = "shapes"
    ports = (Port("input", dtype="any"),)
    mask = "stop"
    attributes = (
        Attribute(
            "dims", _Order(minimum=1), doc="The order of the axes, counted from 1 after the batch."
        ),
    )
    samples = (
        Sample((TensorType("float", (BATCH, 4, 6)),), {"dims": [2, 1]}),
        Sample((TensorType("float", (BATCH, 3, 4, 2)),), {"dims": [2, 3, 1]}, "pytorch"),
    )
    bad = (
        BadSample((TensorType("float", (BATCH, 4, 6)),), {"dims": [1, 1]}, "each of 1 to 2 once"),
        BadSample(
            (TensorType("float", (BATCH, 4, 6)),),
            {"dims": [0, 2, 1]},
            "0 is not a positive integer",
        ),
    )

    def infer(self, site: Site) -> TensorType:
        wanted = list(range(1, site.input.rank))
        if sorted(site["dims"]) != wanted:
            raise OpProblem(
                f"dims lists each of 1 to {len(wanted)} once, the axes of {site.input} after the "
                f"batch; these are {list(site['dims'])}",
                attribute="dims",
            )
        return site.input.permuted((0, *site["dims"]))

    def size_from(self, site: Site, axis: int) -> tuple[int, int]:
        return 0, (0, *site["dims"])[axis]

    def numpy(self, node: Node) -> Form:
        return Form(f"{{input}}.transpose({', '.join(map(str, (0, *node['dims'])))})")

    def torch(self, node: Node) -> Form:
        return Form(f"{{input}}.permute({', '.join(map(str, (0, *node['dims'])))})")

    def tensorflow(self, node: Node) -> Form:
        return Form(f"tf.transpose({{input}}, {[0, *node['dims']]})")

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        (x,), (y,) = node.inputs, node.outputs
        dy = g.of(y)
        assert x is not None and dy is not None
        order = (0, *node["dims"])
        inverse = tuple(sorted(range(len(order)), key=order.__getitem__))
        g.add(x, g.expression(f"{{0}}.transpose{inverse}", (dy,), x.type, f"d_{x.name}"))


def _reshape_advice(target: tuple[Dim, ...], total: Dim) -> str:
    """What target_shape may have been meant for so many elements."""
    rest = product(target[:-1])
    if isinstance(total, int) and isinstance(rest, int) and len(target) > 1:
        without = product(target[1:])
        if without == total:
            inner = ", ".join(map(str, target[1:]))
            return f"the batch is no part of target_shape: [{inner}]"
        if total % rest == 0 and total >= rest:
            sizes = ", ".join(map(str, (*target[:-1], total // rest)))
            return f"write [{sizes}], or -1 for one size to let it be computed"
    if len(target) == 1:
        return "write flatten, or -1, to let the size be computed"
    return "write -1 for one size to let it be computed"


def existing_axis(site: Site, name: str = "axis") -> int:
    """The attribute as an index from 0; an axis that is not there, or the batch, is refused."""
    axis, rank = site[name], site.input.rank
    if not -rank <= axis < rank:
        raise OpProblem(
            f"axis {axis} does not exist: the input {site.input} has {rank} axes, counting the "
            "batch as 0",
            help=_axis_advice(axis, name, site.input),
            attribute=name,
            axes=((0, rank - 1),),
        )
    if axis % rank == 0:
        raise OpProblem(
            f"axis {axis} is the batch; the samples of a batch stay apart",
            help=f"{name}: 1 is the first axis after it" if rank > 1 else "",
            attribute=name,
        )
    return int(axis % rank)


def _axis_advice(axis: int, name: str, found: TensorType) -> str:
    """What may have been meant by an axis that is not there."""
    if axis in found.shape:
        return f"{axis} is a size: specc infers it, and {name} says which axis; remove it"
    if found.rank == 1:
        return ""
    return f"the last axis is {found.rank - 1}, or -1"


OPS = (Flatten, Transpose, Reshape, Permute)

"""Element-wise arithmetic of several values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from specc.ir.dims import BATCH, Dim, product
from specc.ir.graph import Node, Value
from specc.ir.types import TensorType
from specc.ops.base import BadSample, Form, Op, OpProblem, Port, Sample, Site
from specc.ops.gradients import GradientBuilder
from specc.ops.joining import either_mask, filled, joined_types

_VECTOR = TensorType("float", (BATCH, 5))
_SEQUENCE = TensorType("float", (BATCH, 4, 5))
_IMAGE = TensorType("float", (BATCH, 3, 4, 5))

_SAMPLES: tuple[Sample, ...] = (
    Sample((_VECTOR, _VECTOR)),
    Sample((_SEQUENCE, TensorType("float", (BATCH, 1, 5)), TensorType("float", (BATCH, 4, 1)))),
    Sample((_SEQUENCE, _VECTOR, TensorType("float", (BATCH, 1)))),
    Sample((_IMAGE, _IMAGE), {}, "pytorch"),
)
_BAD: tuple[BadSample, ...] = (
    BadSample((_VECTOR,), {}, "two inputs or more"),
    BadSample((_VECTOR, TensorType("float", (BATCH, 4))), {}, "do not fit together"),
    BadSample(
        (TensorType("float", (BATCH, 1)), TensorType("float", (BATCH,))),
        {},
        "one number per sample",
    ),
    BadSample((_SEQUENCE, _VECTOR), {}, "different numbers of axes", "pytorch"),
)


class Arithmetic(Op, ABC):
    """Base of the element-wise ops on two inputs or more.

    An axis of size 1 spreads over the others' size. Under the keras convention an input with fewer
    axes gets axes of size 1 right after the batch, as Keras' merging layers do; under pytorch it is
    refused, since torch would set its batch against another axis.
    """

    family = "arithmetic"
    layout = "any"
    ports = (Port("inputs", many=True),)
    samples = _SAMPLES
    bad = _BAD

    def infer(self, site: Site) -> TensorType:
        types = joined_types(site, self.kind)
        self._check_ranks(types, site)
        rank = max(each.rank for each in types)
        shapes = [_padded(each.shape, rank) for each in types]
        result: list[Dim] = []
        for axis in range(rank):
            sizes = [shape[axis] for shape in shapes]
            size = next((each for each in sizes if each != 1), 1)
            if any(each not in (1, size) for each in sizes):
                raise OpProblem(
                    f"the inputs of {self.kind} do not fit together: {_listed(site, types)}, with "
                    f"sizes {' and '.join(map(str, sizes))} on axis {axis}",
                    help=_size_advice(shapes, axis),
                    axes=tuple(
                        (index, axis - rank + each.rank)
                        for index, each in enumerate(types)
                        if axis - rank + each.rank > 0
                    ),
                )
            result.append(size)
        return TensorType("float", tuple(result))

    def _check_ranks(self, types: tuple[TensorType, ...], site: Site) -> None:
        ranks = {each.rank for each in types}
        if len(ranks) == 1:
            return
        listed = _listed(site, types)
        if min(ranks) == 1:
            raise OpProblem(
                f"the inputs of {self.kind} do not fit together: {listed}; one number per sample "
                "does not fit a list of them",
                help="reshape the one without axes to [1] first; setting (N, 1) against (N,) would "
                "combine every sample with every other",
            )
        if not site.keras:
            raise OpProblem(
                f"the inputs of {self.kind} have different numbers of axes: {listed}",
                help="reshape the smaller one, with size 1 for the axes that it lacks",
            )

    def join_masks(
        self, site: Site, path: str, inputs: tuple[Value, ...], masks: tuple[Value | None, ...]
    ) -> tuple[Node, ...]:
        return either_mask(path, masks)

    def flops(self, node: Node) -> Dim:
        return product(node.outputs[0].type.shape) * (len(node.inputs) - 1)

    def _terms(self, node: Node) -> list[str]:
        """The inputs as templates, with the axes that they lack."""
        rank = node.outputs[0].type.rank
        values = [value for value in node.inputs if value is not None]
        return [f"{{input{i}}}{_index(rank - v.type.rank)}" for i, v in enumerate(values)]

    @abstractmethod
    def expression(self, node: Node) -> str:
        """The result over templates of the inputs: the same text in all three frameworks."""

    def numpy(self, node: Node) -> Form:
        return Form(self.expression(node))

    torch = tensorflow = numpy

    def slope(self, node: Node, index: int) -> str:
        """What an input's gradient is multiplied by, over the values {1}, {2} ...: "" for 1."""
        return ""

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        y = node.outputs[0]
        dy = g.of(y)
        assert dy is not None
        values = [value for value in node.inputs if value is not None]
        for index, x in enumerate(values):
            slope = self.slope(node, index)
            template = _summed(f"({{0}}{slope})" if slope else "{0}", x, y.type.shape, index + 1)
            if template == "{0}":
                g.add(x, dy)
            elif g.wants(x):
                g.add(x, g.expression(template, (dy, *values), x.type, f"d_{x.name}"))


def _listed(site: Site, types: tuple[TensorType, ...]) -> str:
    """The inputs with their names: ``'a' is float[4] and 'b' float[5]``."""
    if not site.names:
        return " and ".join(map(str, types))
    named = [f"{site.name(index)} {each}" for index, each in enumerate(types)]
    return " and ".join([f"{site.name(0)} is {types[0]}", *named[1:]])


def _size_advice(shapes: list[tuple[Dim, ...]], axis: int) -> str:
    """How sizes that differ on an axis become equal."""
    differ = [each for each in range(1, len(shapes[0])) if len({s[each] for s in shapes}) > 1]
    if len(shapes[0]) == 4 and len(differ) > 1:
        return "give both ways the same strides and pools, with padding: same where sizes are odd"
    return (
        "sizes are equal, or 1; a dense layer or a 1x1 convolution changes the number of features"
    )


class Add(Arithmetic):
    """The sum of its inputs."""

    kind = "add"

    def expression(self, node: Node) -> str:
        return " + ".join(self._terms(node))


class Subtract(Arithmetic):
    """The first input minus the second."""

    kind = "subtract"
    samples = (_SAMPLES[0], Sample((_SEQUENCE, _VECTOR)), _SAMPLES[-1])
    bad = (*_BAD, BadSample((_VECTOR,) * 3, {}, "two inputs, not 3"))

    def infer(self, site: Site) -> TensorType:
        if len(site.inputs) > 2:
            raise OpProblem(
                f"subtract takes two inputs, not {len(site.inputs)}",
                help="add those that are taken away first",
            )
        return super().infer(site)

    def expression(self, node: Node) -> str:
        return " - ".join(self._terms(node))

    def slope(self, node: Node, index: int) -> str:
        return " * -1" if index else ""


class Multiply(Arithmetic):
    """The product of its inputs, element by element.

    Masked steps of an input count as 1 (keras convention, as Keras does); where all inputs are
    masked, the result is 0.
    """

    kind = "multiply"

    def fill_masked(self, node: Node, masks: tuple[Value | None, ...]) -> tuple[Node, ...]:
        y = node.outputs[0]
        fills: list[Node] = []
        inputs: list[Value | None] = []
        for index, (value, mask) in enumerate(zip(node.inputs, masks, strict=True)):
            # An input that lacks axes gets them first, and Keras loses its mask on the way.
            if value is not None and mask is not None and value.type.rank == y.type.rank:
                result = replace(value, name=f"{node.path}.filled.{index}", internal=True)
                fills.append(filled(value, mask, 1, result))
                value = result
            inputs.append(value)
        kept = either_mask(f"{node.path}.steps", masks)
        if not kept:
            return (*fills, replace(node, inputs=tuple(inputs)))
        product = replace(y, name=f"{y.name}.product", internal=True)
        made = replace(node, inputs=tuple(inputs), outputs=(product,))
        return (*fills, made, *kept, filled(product, kept[-1].outputs[0], 0, y))

    def expression(self, node: Node) -> str:
        return " * ".join(self._terms(node))

    def slope(self, node: Node, index: int) -> str:
        rank = node.outputs[0].type.rank
        values = [value for value in node.inputs if value is not None]
        others = (
            f" * {{{i + 1}}}{_index(rank - v.type.rank)}"
            for i, v in enumerate(values)
            if i != index
        )
        return "".join(others)


class Average(Arithmetic):
    """The mean of its inputs, element by element."""

    kind = "average"

    def expression(self, node: Node) -> str:
        return f"({' + '.join(self._terms(node))}) / {len(node.inputs)}"

    def slope(self, node: Node, index: int) -> str:
        return f" / {len(node.inputs)}"


def _padded(shape: tuple[Dim, ...], rank: int) -> tuple[Dim, ...]:
    """The shape with axes of size 1 after the batch."""
    return (shape[0], *(1,) * (rank - len(shape)), *shape[1:])


def _index(lacking: int) -> str:
    """An index that adds axes after the batch."""
    return f"[:, {', '.join(['None'] * lacking)}]" if lacking else ""


def _summed(template: str, x: Value, shape: Sequence[Dim], number: int) -> str:
    """The result's gradient as that of the input {number}: summed where the input was spread."""
    own = _padded(x.type.shape, len(shape))
    spread = tuple(axis for axis in range(len(shape)) if own[axis] == 1 and shape[axis] != 1)
    if spread:
        template = f"{template}.sum(axis={spread}, keepdims=True)"
    return f"{template}.reshape({{{number}}}.shape)" if x.type.rank < len(shape) else template


OPS = (Add, Average, Multiply, Subtract)

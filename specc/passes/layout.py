"""Chooses how image-like tensors lie in memory for a backend, with as few transposes as possible.

The spec's layout is what a network means. A backend's kernels want their own: PyTorch channels
first, TensorFlow
and the NumPy kernels channels last. Element-wise ops follow their input; others see the spec's
layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from specc.ir.graph import Graph, Node, Program, Value
from specc.ops.base import Op

Axes = tuple[int, ...]


def assign_layout(program: Program, layout: str, ops: Mapping[str, Op]) -> Program:
    """The program with images in the backend's layout and explicit transposes where it changes."""
    if program.layout == layout:
        return program
    return replace(program, graph=_Assigner(layout, ops).graph(program.graph))


def to_layout(rank: int, layout: str) -> Axes:
    """Physical axis i is axis ``result[i]`` of the spec, which has the other layout."""
    if layout == "channels_first":
        return (0, rank - 1, *range(1, rank - 1))
    return (0, *range(2, rank), 1)


def inverse(axes: Axes) -> Axes:
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


class _Assigner:
    def __init__(self, layout: str, ops: Mapping[str, Op]) -> None:
        self.layout, self.ops = layout, ops
        self._bodies: dict[int, Graph] = {}

    def graph(self, graph: Graph) -> Graph:
        """Inputs and outputs keep the spec's layout; a graph that is used often is done once."""
        if id(graph) not in self._bodies:
            self._bodies[id(graph)] = _GraphAssigner(self).run(graph)
        return self._bodies[id(graph)]


class _GraphAssigner:
    def __init__(self, parent: _Assigner) -> None:
        self.parent, self.layout = parent, parent.layout
        self.now: dict[int, Value] = {}  # value of the old graph -> how it lies now
        self.forms: dict[tuple[int, Axes | None], Value] = {}
        self.nodes: list[Node] = []

    def run(self, graph: Graph) -> Graph:
        for node in graph.nodes:
            self.node(node)
        outputs = tuple(self.lying(value, None) for value in graph.outputs)
        return replace(graph, nodes=tuple(self.nodes), outputs=outputs)

    def lying(self, value: Value, axes: Axes | None) -> Value:
        """``value`` with the given physical order, by a transpose if it lies otherwise."""
        current = self.now.get(id(value), value)
        if current.axes == axes:
            return current
        key = (id(value), axes)
        if key not in self.forms:
            # Back to the spec's order first, then to the wanted one, as one permutation.
            back = inverse(current.axes) if current.axes else tuple(range(current.type.rank))
            order = tuple(back[a] for a in axes) if axes else back
            suffix = "spec" if axes is None else self.layout
            made = Value(
                f"{value.name}.{suffix}", current.type.permuted(order), axes=axes, internal=True
            )
            path = made.name
            self.nodes.append(Node("transpose", path, (current,), (made,), {"axes": order}))
            self.forms[key] = made
        return self.forms[key]

    def node(self, node: Node) -> None:
        op = self.parent.ops.get(node.op)
        if op is None:  # a block or a repeat: its bodies begin and end in the spec's layout
            bodies = tuple(self.parent.graph(body) for body in node.bodies)
            self.keep(node, bodies=bodies)
        elif op.layout == "image":
            self.image(node)
        elif op.layout == "any":
            self.follow(node)
        else:
            self.keep(node)

    def keep(self, node: Node, **changes: Any) -> None:
        inputs = tuple(self.lying(v, None) if v else None for v in node.inputs)
        self.nodes.append(replace(node, inputs=inputs, **changes))

    def image(self, node: Node) -> None:
        rank = next(v.type.rank for v in node.inputs if v)
        axes = to_layout(rank, self.layout)
        inputs = tuple(
            self.lying(v, axes if v.type.rank == rank else None) if v else None for v in node.inputs
        )
        self.emit(node, inputs, axes, {"layout": self.layout})

    def follow(self, node: Node) -> None:
        """Takes the layout of its inputs where they agree, the attribute ``axis`` with it."""
        orders = {self.now.get(id(v), v).axes for v in node.inputs if v}
        axes = orders.pop() if len(orders) == 1 else None
        inputs = tuple(self.lying(v, axes) if v else None for v in node.inputs)
        changes: dict[str, Any] = {}
        if axes is not None and node.attributes.get("axis") is not None:
            changes["axis"] = axes.index(node["axis"] % len(axes))
        self.emit(node, inputs, axes, changes)

    def emit(
        self,
        node: Node,
        inputs: tuple[Value | None, ...],
        axes: Axes | None,
        changes: dict[str, Any],
    ) -> None:
        outputs = []
        for value in node.outputs:
            fits = axes is not None and value.type.rank == len(axes)
            made = (
                replace(value, type=value.type.permuted(axes), axes=axes)
                if fits and axes
                else value
            )
            self.now[id(value)] = made
            outputs.append(made)
        attributes = {**node.attributes, **changes}
        self.nodes.append(
            replace(node, inputs=inputs, outputs=tuple(outputs), attributes=attributes)
        )

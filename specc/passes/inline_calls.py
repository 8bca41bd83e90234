"""Puts the bodies of blocks and repeats in place of their uses, for backends that write flat
programs.
"""

from __future__ import annotations

from dataclasses import replace

from specc.ir.graph import Graph, Node, Program, Value, node_bodies


def inline_calls(program: Program) -> Program:
    """The same computation in one graph; paths become absolute."""
    return replace(program, graph=inline_graph(program.graph))


def inline_graph(graph: Graph) -> Graph:
    nodes: list[Node] = []
    names: dict[int, Value] = {}
    _inline(graph, "", {}, nodes, names)
    outputs = tuple(names.get(id(value), value) for value in graph.outputs)
    return replace(graph, nodes=tuple(nodes), outputs=outputs)


def _inline(
    graph: Graph, prefix: str, given: dict[int, Value], nodes: list[Node], names: dict[int, Value]
) -> None:
    """Appends the graph's nodes; ``given`` maps its inputs, ``names`` collects what its values
    became.
    """
    names.update(given)
    for node in graph.nodes:
        inputs = tuple(names.get(id(v), v) if v is not None else None for v in node.inputs)
        if node.bodies:
            _inline_bodies(node, prefix, inputs, nodes, names)
            continue
        outputs = tuple(replace(v, name=prefix + v.name) if prefix else v for v in node.outputs)
        names.update({id(old): new for old, new in zip(node.outputs, outputs, strict=True)})
        nodes.append(
            replace(
                node,
                path=prefix + node.path,
                layer=prefix + node.layer,
                inputs=inputs,
                outputs=outputs,
            )
        )


def _inline_bodies(
    node: Node,
    prefix: str,
    inputs: tuple[Value | None, ...],
    nodes: list[Node],
    names: dict[int, Value],
) -> None:
    current = [value for value in inputs if value is not None]
    for path, body in node_bodies(node):
        inner: dict[int, Value] = {}
        given = {id(old): new for old, new in zip(body.inputs, current, strict=True)}
        _inline(body, f"{prefix}{path}.", given, nodes, inner)
        current = [inner.get(id(value), value) for value in body.outputs]
    names.update({id(old): new for old, new in zip(node.outputs, current, strict=True)})

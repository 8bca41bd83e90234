"""Drops nodes whose results nothing reads, such as masks that no layer takes."""

from __future__ import annotations

from dataclasses import replace

from specc.ir.graph import Graph, Node, Program


def prune(program: Program) -> Program:
    """Every node that is left contributes to an output; named layers stay, since a user asked for
    them.
    """
    return replace(program, graph=prune_graph(program.graph))


def prune_graph(graph: Graph) -> Graph:
    needed = {id(value) for value in graph.outputs}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        asked = any(not value.internal for value in node.outputs)
        if asked or any(id(value) in needed for value in node.outputs):
            kept.append(node)
            needed |= {id(value) for value in node.inputs if value is not None}
    return replace(graph, nodes=tuple(reversed(kept)))

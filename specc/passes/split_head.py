"""Activations that only the outputs need leave the graph: training does not compute them."""

from __future__ import annotations

from dataclasses import replace

from specc.ir.graph import Graph, Program, Value


def split_head(program: Program) -> Program:
    """The graph ends at what the losses take; the head goes from there to the spec's outputs."""
    losses = program.training.losses if program.training else ()
    needed = {id(loss.prediction): loss.prediction for loss in losses}
    masks = {id(loss.mask): loss.mask for loss in losses if loss.mask is not None}
    producers = {id(value): node for node in program.graph.nodes for value in node.outputs}
    readers = {id(value) for node in program.graph.nodes for value in node.inputs if value}
    head = []
    ends: dict[int, Value] = {}
    for output in program.outputs.values():
        node = producers.get(id(output))
        source = node.inputs[0] if node else None
        moves = id(output) not in needed and id(output) not in readers and id(source) in needed
        if node is not None and source is not None and moves:
            head.append(node)
            ends[id(source)] = source
        else:
            ends[id(output)] = output
    ends |= needed | masks
    nodes = tuple(node for node in program.graph.nodes if node not in head)
    graph = replace(program.graph, outputs=tuple(ends.values()), nodes=nodes)
    outputs = tuple(program.outputs.values())
    return replace(
        program, graph=graph, head=Graph("head", tuple(ends.values()), outputs, tuple(head))
    )

"""Checks that a graph is well formed; run after every pass, where a failure is a mistake of the
compiler.
"""

from __future__ import annotations

from specc.ir.graph import Graph, Program


class InvalidGraphError(AssertionError):
    """A pass left a graph that is not one."""


def verify_program(program: Program) -> Program:
    """The program itself. Raises InvalidGraphError."""
    verify_graph(program.graph)
    if [id(v) for v in program.head.inputs] != [id(v) for v in program.graph.outputs]:
        raise InvalidGraphError("the head does not begin where the graph ends")
    verify_graph(program.head)
    return program


def verify_graph(graph: Graph, seen: set[int] | None = None) -> None:
    """Values are defined once and before their use, names are unique, bodies fit their calls."""
    seen = set() if seen is None else seen
    if id(graph) in seen:
        return
    seen.add(id(graph))
    defined = {id(value): value for value in graph.inputs}
    names = {value.name for value in graph.inputs}
    for node in graph.nodes:
        for value in node.inputs:
            if value is not None and id(value) not in defined:
                raise InvalidGraphError(
                    f"{graph.name}: {node.path} reads {value.name} before it is made"
                )
        for value in node.outputs:
            if id(value) in defined or value.name in names:
                raise InvalidGraphError(f"{graph.name}: {value.name} is made twice")
            defined[id(value)] = value
            names.add(value.name)
        given = [value.type for value in node.inputs if value is not None]
        for body in node.bodies[:1]:
            if [value.type for value in body.inputs] != given:
                raise InvalidGraphError(
                    f"{graph.name}: {node.path} does not fit the inputs of its body"
                )
        for body in node.bodies:
            verify_graph(body, seen)
    for value in graph.outputs:
        if id(value) not in defined:
            raise InvalidGraphError(f"{graph.name} returns {value.name}, which nothing makes")

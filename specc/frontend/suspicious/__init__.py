"""What a right spec says and a practitioner would not mean: the warnings, each with a code and a
name by which the spec can silence it.

A warning is given only where the spec is wrong in all likelihood. Those about values that nothing
uses (W1001) are given where names are known, those about data by ``specc.data.suspicious``.
"""

from __future__ import annotations

from specc.frontend.configure import Reporter
from specc.frontend.suspicious.flow import Flow
from specc.frontend.suspicious.initial import check_initial_values
from specc.frontend.suspicious.layers import check_layers
from specc.frontend.suspicious.losses import check_losses
from specc.frontend.suspicious.steps import check_steps
from specc.frontend.tree import Mapping
from specc.ir.graph import Graph, Program


def warn_of_suspicious(program: Program, tree: Mapping, reporter: Reporter) -> None:
    """Reports what is suspicious about a program without mistakes. ``tree`` is its spec."""
    graphs: list[Graph] = [program.graph]
    seen: set[int] = set()
    while graphs:
        graph = graphs.pop()
        if id(graph) in seen:
            continue
        seen.add(id(graph))
        flow = Flow(graph)
        check_layers(flow, reporter)
        check_initial_values(flow, reporter)
        graphs += [body for node in graph.nodes for body in node.bodies]
    if program.training is not None:
        check_losses(program.training, Flow(program.graph), reporter)
        check_steps(program, program.training, tree, reporter)

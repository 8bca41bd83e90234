"""What a right spec says and a practitioner would not mean: the warnings, each with a code and a
name by which the spec can silence it.

A warning is given only where the spec is wrong in all likelihood. Those about values that nothing
uses (W1001) are given where names are known, those about data by ``specc.data.suspicious``.
"""

from __future__ import annotations

from collections.abc import Iterator

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
    flows = [Flow(graph) for graph in _graphs(program.graph)]
    for flow in flows:
        check_layers(flow, reporter)
        check_initial_values(flow, reporter)
    if program.training is not None:
        check_losses(program.training, flows[0], reporter)
        check_steps(program.training, flows, tree, reporter)


def _graphs(main: Graph) -> Iterator[Graph]:
    """A graph and those of its blocks, each once."""
    waiting, seen = [main], set()
    while waiting:
        graph = waiting.pop()
        if id(graph) not in seen:
            seen.add(id(graph))
            yield graph
            waiting += [body for node in graph.nodes for body in node.bodies]

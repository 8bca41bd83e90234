"""Who makes and who reads the values of a graph."""

from __future__ import annotations

from specc.ir.graph import Graph, Node, Value


class Flow:
    """The neighbours of each value within one graph; what lies outside of it is not seen."""

    def __init__(self, graph: Graph) -> None:
        self.nodes = graph.nodes
        self._makers = {id(value): node for node in graph.nodes for value in node.outputs}
        self._given = {id(value) for value in graph.outputs}
        self._readers: dict[int, list[Node]] = {}
        for node in graph.nodes:
            for value in node.inputs:
                if value is not None:
                    self._readers.setdefault(id(value), []).append(node)

    def maker(self, value: Value | None) -> Node | None:
        """The layer that computes a value; None for an input of the graph."""
        return self._makers.get(id(value)) if value is not None else None

    def reader(self, value: Value) -> Node | None:
        """The only layer that reads a value; None if there are others, or the graph gives it."""
        readers = self._readers.get(id(value), [])
        return readers[0] if len(readers) == 1 and id(value) not in self._given else None

    def readers(self, value: Value) -> list[Node]:
        """All layers that read a value which the graph does not give; else none."""
        return [] if id(value) in self._given else self._readers.get(id(value), [])

"""The intermediate representation: a program of graphs of nodes in topological order, all of it
immutable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from specc.diagnostics import Span
from specc.ir.levels import DEFAULT_LEVEL
from specc.ir.types import TensorType
from specc.records import dataclass


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor in a graph. ``name`` is unique there; dots and '@' occur in it.

    ``axes`` says how the tensor lies in memory: physical axis i is axis ``axes[i]`` of the spec's
    layout
    (None: as in the spec). ``internal`` values are the compiler's own and are not traced.
    """

    name: str
    type: TensorType
    span: Span | None = None
    axes: tuple[int, ...] | None = None
    internal: bool = False


@dataclass(frozen=True)
class Initializer:
    """An initial distribution: its kind and its attributes, all filled in."""

    kind: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    span: Span | None = field(default=None, compare=False)

    def __hash__(self) -> int:
        return hash((self.kind, tuple(sorted((k, str(v)) for k, v in self.attributes.items()))))


@dataclass(frozen=True)
class Parameter:
    """A trained array or a running statistic of a layer, in the neutral layout.

    ``fan_in`` and ``fan_out`` scale its initial values; ``zero_row`` is a row that starts at 0;
    ``l1`` and ``l2`` are its penalties.
    """

    name: str
    shape: tuple[int, ...]
    initializer: Initializer
    fan_in: int = 1
    fan_out: int = 1
    trainable: bool = True
    l1: float = 0.0
    l2: float = 0.0
    zero_row: int | None = None


@dataclass(frozen=True, eq=False)
class Node:
    """An operation. ``inputs`` follow the op's ports (None where an optional one is not wired).

    ``layer`` is the path of the parameters; calls of a shared layer have one layer and different
    paths.
    ``bodies`` holds the graph of a block's use, or one graph per iteration of a repeat.
    """

    op: str
    path: str
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    parameters: tuple[Parameter, ...] = ()
    layer: str = ""
    span: Span | None = None
    bodies: tuple[Graph, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.attributes[name]

    def parameter(self, name: str) -> Parameter | None:
        return next((p for p in self.parameters if p.name == name), None)


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in topological order from inputs to outputs; paths are relative to the graph."""

    name: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    # For a block: the values of its parameters in this use, for names in the generated constructor.
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """(path, parameter) of every layer, once, in order of first use."""
        seen: set[str] = set()
        for node in self.nodes:
            for child, body in node_bodies(node):
                yield from body.parameters(f"{prefix}{child}.")
            for parameter in node.parameters:
                path = f"{node.layer}.{parameter.name}"
                if path not in seen:
                    seen.add(path)
                    yield prefix + path, parameter


def node_bodies(node: Node) -> Iterator[tuple[str, Graph]]:
    """(path, graph) of each body of a call or a repeat."""
    for index, body in enumerate(node.bodies):
        yield (f"{node.layer}.{index}" if node.op == "repeat" else node.layer), body


@dataclass(frozen=True)
class Configured:
    """A choice from a registry (optimizer, schedule, metric ...) with every attribute filled in."""

    kind: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    span: Span | None = field(default=None, compare=False)

    def __getitem__(self, name: str) -> Any:
        return self.attributes[name]


@dataclass(frozen=True)
class Loss:
    """One term of the total loss: an op node from (prediction, target, mask) to one value per
    position.
    """

    node: Node
    prediction: Value
    target: Value
    weight: float = 1.0
    mask: Value | None = None
    # The output that the user named; after fusion ``prediction`` is its logits.
    output: str = ""


@dataclass(frozen=True)
class Metric:
    """A metric of one output against one target."""

    name: str
    metric: Configured
    prediction: str
    target: str


@dataclass(frozen=True)
class Training:
    losses: tuple[Loss, ...]
    optimizer: Configured
    clip: tuple[Configured, ...]
    metrics: tuple[Metric, ...]
    epochs: int
    batch_size: int
    shuffle: bool = True


@dataclass(frozen=True)
class Program:
    """A whole spec: the model, how it is trained and on what data.

    ``graph`` goes from inputs to what the losses need (logits, after fusion); ``head`` from there
    to the spec's
    outputs. Before fusion the head is empty and the graph's outputs are the spec's.
    """

    name: str
    conventions: str
    layout: str
    dtype: str
    seed: int
    inputs: tuple[Value, ...]
    targets: tuple[Value, ...]
    outputs: Mapping[str, Value]
    graph: Graph
    head: Graph
    training: Training | None
    data: Any = None
    digest: str = ""
    origin: str = ""
    # One of ``levels.CHOICES``.
    optimize: int = DEFAULT_LEVEL
    # The names of warnings that the spec silences.
    allow: tuple[str, ...] = ()

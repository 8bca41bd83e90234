"""What each layer of a program costs: parameters, FLOPs and memory. `specc summary` prints these
figures, and the page of `specc graph` shows them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from specc.ir.dims import Dim, evaluate, product
from specc.ir.graph import node_bodies

if TYPE_CHECKING:
    from specc.ir.graph import Graph, Node, Program

BYTES = {"float32": 4, "float64": 8}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Parameters, and FLOPs and activations (in numbers) of the forward pass for one sample."""

    parameters: int
    flops: Dim
    activations: Dim

    @classmethod
    def of(cls, parts: Sequence[Cost]) -> Cost:
        """The sum of what is in a block."""
        return Cost(
            parameters=sum(part.parameters for part in parts),
            flops=total(part.flops for part in parts),
            activations=total(part.activations for part in parts),
        )


@dataclass(frozen=True, kw_only=True)
class Row(Cost):
    """One layer, block or repeat; of a repeat there are the costs of each pass, too."""

    path: str
    label: str
    kind: str
    depth: int
    shapes: tuple[str, ...]
    passes: tuple[Cost, ...] = ()


@dataclass
class Summary:
    """Figures of a program: FLOPs and activations (in numbers) are for one sample."""

    name: str
    dtype: str
    rows: list[Row] = field(default_factory=list)
    trained: int = 0
    statistics: int = 0

    @property
    def width(self) -> int:
        """Bytes of a number."""
        return BYTES[self.dtype]

    @property
    def flops(self) -> Dim:
        return total(row.flops for row in self.rows if not row.depth)

    @property
    def activations(self) -> Dim:
        return total(row.activations for row in self.rows if not row.depth)

    def totals(self) -> dict[str, str]:
        """The figures of the whole network as a reader sees them, by what they are."""
        found = {
            "trained parameters": f"{self.trained:,}",
            "running statistics": f"{self.statistics:,}" if self.statistics else "",
            "FLOPs per sample": count_text(self.flops),
            "parameters in memory": bytes_text(self.width * (self.trained + self.statistics)),
            "activations per sample": bytes_text(self.width * self.activations),
        }
        return {label: value for label, value in found.items() if value}

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "dtype": self.dtype,
            "parameters": {"trained": self.trained, "statistics": self.statistics},
            "flops": plain(self.flops),
            "bytes": {
                "parameters": self.width * (self.trained + self.statistics),
                "activations_per_sample": plain(self.width * self.activations),
            },
            "layers": [
                {
                    "path": row.path,
                    "kind": row.kind,
                    "depth": row.depth,
                    "outputs": list(row.shapes),
                    "parameters": row.parameters,
                    "flops": plain(row.flops),
                    "bytes": {
                        "parameters": self.width * row.parameters,
                        "activations_per_sample": plain(self.width * row.activations),
                    },
                }
                for row in self.rows
            ],
        }


def summarize(program: Program) -> Summary:
    """Walks the program as the spec writes it, blocks opened."""
    found = Summary(program.name, program.dtype)
    seen: set[str] = set()
    found.rows = list(_rows(program.graph, "", 0, seen))
    for _, parameter in program.graph.parameters():
        count = math.prod(parameter.shape)
        if parameter.trainable:
            found.trained += count
        else:
            found.statistics += count
    return found


def kind_of(node: Node) -> str:
    """What a node is, in the words of the spec: its op, its block, or how often it repeats."""
    if node.op == "repeat":
        return f"repeat × {len(node.bodies)}"
    return node.bodies[0].name if node.bodies else node.op


def _rows(graph: Graph, prefix: str, depth: int, seen: set[str], parent: str = "") -> Iterator[Row]:
    """Rows of a graph in its order, each followed by those of what is in it."""
    for node in graph.nodes:
        path = f"{prefix}{node.path}"
        bodies = [
            list(_rows(body, f"{prefix}{child}.", depth + 1, seen, f"{path}."))
            for child, body in node_bodies(node)
        ]
        parts = [Cost.of([row for row in rows if row.depth == depth + 1]) for rows in bodies]
        cost = Cost.of(parts) if parts else _cost(node, f"{prefix}{node.layer}", seen)
        yield Row(
            path=path,
            label=path.removeprefix(parent),
            kind=kind_of(node),
            depth=depth,
            shapes=tuple(value.type.comment() for value in node.outputs),
            parameters=cost.parameters,
            flops=cost.flops,
            activations=cost.activations,
            passes=tuple(parts) if node.op == "repeat" else (),
        )
        for rows in bodies:
            yield from rows


def _cost(node: Node, layer: str, seen: set[str]) -> Cost:
    from specc.ops.registry import find

    op = find(node.op)
    # A shared layer's parameters are counted where it is called first.
    parameters = () if layer in seen else node.parameters
    seen.add(layer)
    sizes = (product(value.type.shape) for value in node.outputs)
    return Cost(
        parameters=sum(math.prod(parameter.shape) for parameter in parameters),
        flops=evaluate(op.flops(node) if op is not None else 0, {"batch": 1}),
        activations=evaluate(total(sizes), {"batch": 1}),
    )


def total(sizes: Iterable[Dim]) -> Dim:
    """The sum of sizes, some of which may be known only when the program runs."""
    found: Dim = 0
    for size in sizes:
        found = found + size
    return found


def plain(size: Dim) -> int | str:
    """A size for JSON: a number where it is known."""
    return size if isinstance(size, int) else str(size)


def count_text(size: Dim) -> str:
    """A count in thousands, millions or billions: ``2.36 M``; nothing for 0."""
    if not isinstance(size, int):
        return str(size)
    for unit, name in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if size >= unit:
            return f"{size / unit:.2f} {name}"
    return str(size) if size else ""


def bytes_text(size: Dim) -> str:
    """A size in memory in the largest unit that it fills: ``364.4 KiB``."""
    if not isinstance(size, int):
        return f"{size} B"
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"

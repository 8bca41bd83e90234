"""What each layer of a program costs: parameters, FLOPs and memory. `specc summary` prints these
figures, and the page of `specc graph` shows them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from specc.ir.dims import Dim, evaluate, product
from specc.ir.graph import node_bodies

if TYPE_CHECKING:
    from specc.ir.graph import Graph, Node, Program

BYTES = {"float32": 4, "float64": 8}


@dataclass(frozen=True)
class Row:
    """One layer, block or repeat; a block's figures are the sums of what is in it.

    FLOPs and activations (in numbers) are those of the forward pass for one sample.
    """

    path: str
    label: str
    kind: str
    depth: int
    shapes: tuple[str, ...]
    parameters: int
    flops: Dim
    activations: Dim


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
        inner = [
            row
            for child, body in node_bodies(node)
            for row in _rows(body, f"{prefix}{child}.", depth + 1, seen, f"{prefix}{node.path}.")
        ]
        children = [row for row in inner if row.depth == depth + 1]
        row = _row(node, prefix, depth, seen, children)
        yield replace(row, label=row.path.removeprefix(parent))
        yield from inner


def _row(node: Node, prefix: str, depth: int, seen: set[str], inner: list[Row]) -> Row:
    from specc.ops.registry import find

    own = 0
    layer = f"{prefix}{node.layer}"
    # A shared layer's parameters are counted where it is called first.
    if layer not in seen:
        seen.add(layer)
        own = sum(math.prod(parameter.shape) for parameter in node.parameters)
    op = find(node.op)
    flops = op.flops(node) if op is not None else 0
    sizes = (evaluate(product(value.type.shape), {"batch": 1}) for value in node.outputs)
    return Row(
        path=f"{prefix}{node.path}",
        label=node.path,
        kind=kind_of(node),
        depth=depth,
        shapes=tuple(value.type.comment() for value in node.outputs),
        parameters=own + sum(row.parameters for row in inner),
        flops=total(row.flops for row in inner) if inner else evaluate(flops, {"batch": 1}),
        activations=total(row.activations for row in inner) if inner else total(sizes),
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

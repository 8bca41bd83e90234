"""specc summary."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from specc.cli import options
from specc.cli.drawing import kind_of
from specc.cli.programs import load
from specc.cli.terminal import console, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from specc.ir.dims import Dim
    from specc.ir.graph import Graph, Node, Program

BYTES = {"float32": 4, "float64": 8}


@click.command()
@options.spec_argument
@click.option("--depth", type=click.IntRange(min=0), help="How many levels of blocks to open.")
@options.set_option
@options.json_option
def command(spec: Path, depth: int | None, sets: dict[str, str], as_json: bool) -> None:
    """Layers with their output shapes, parameters and FLOPs, and the memory of the whole.

    FLOPs are those of the forward pass for one sample; a multiply-add counts as two. Activations
    are all values of the forward pass for one sample, as training keeps them.

    \b
    Examples:
      specc summary net.yaml
      specc summary gpt.yaml --depth 1
      specc summary net.yaml --set width=64 --json
    """
    program = load(spec, sets)
    found = summarize(program)
    if as_json:
        print_json(found.to_json())
        return
    screen = console()
    screen.print(_table(found, math.inf if depth is None else depth))
    for label, value in _totals(found).items():
        screen.print(f"{label:<24} [bold]{value}[/]")


@dataclass(frozen=True)
class Row:
    """One layer, block or repeat; a block's figures are the sums of what is in it."""

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
    def flops(self) -> Dim:
        return _sum(row.flops for row in self.rows if not row.depth)

    @property
    def activations(self) -> Dim:
        return _sum(row.activations for row in self.rows if not row.depth)

    def to_json(self) -> dict[str, Any]:
        width = BYTES[self.dtype]
        return {
            "name": self.name,
            "dtype": self.dtype,
            "parameters": {"trained": self.trained, "statistics": self.statistics},
            "flops": _plain(self.flops),
            "bytes": {
                "parameters": width * (self.trained + self.statistics),
                "activations_per_sample": _plain(width * self.activations),
            },
            "layers": [
                {
                    "path": row.path,
                    "kind": row.kind,
                    "depth": row.depth,
                    "outputs": list(row.shapes),
                    "parameters": row.parameters,
                    "flops": _plain(row.flops),
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


def _rows(graph: Graph, prefix: str, depth: int, seen: set[str], parent: str = "") -> Iterator[Row]:
    from specc.ir.graph import node_bodies

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
    from specc.ir.dims import evaluate, product
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
        flops=_sum(row.flops for row in inner) if inner else evaluate(flops, {"batch": 1}),
        activations=_sum(row.activations for row in inner) if inner else _sum(sizes),
    )


def _sum(sizes: Iterator[Dim]) -> Dim:
    total: Dim = 0
    for size in sizes:
        total = total + size
    return total


def _plain(size: Dim) -> int | str:
    return size if isinstance(size, int) else str(size)


def _table(found: Summary, depth: float) -> Table:
    from rich.table import Table

    table = Table("layer", "kind", "output", box=None, header_style="bold")
    table.add_column("parameters", justify="right")
    table.add_column("FLOPs", justify="right")
    for row in found.rows:
        if row.depth <= depth:
            count = f"{row.parameters:,}" if row.parameters else ""
            table.add_row(
                "  " * row.depth + row.label,
                row.kind,
                "\n".join(row.shapes),
                count,
                _count(row.flops),
            )
    return table


def _totals(found: Summary) -> dict[str, str]:
    width = BYTES[found.dtype]
    totals = {
        "trained parameters": f"{found.trained:,}",
        "running statistics": f"{found.statistics:,}" if found.statistics else "",
        "FLOPs per sample": _count(found.flops),
        "parameters in memory": _bytes(width * (found.trained + found.statistics)),
        "activations per sample": _bytes(width * found.activations),
    }
    return {label: value for label, value in totals.items() if value}


def _count(size: Dim) -> str:
    if not isinstance(size, int):
        return str(size)
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if size >= unit:
            return f"{size / unit:.2f} {name}"
    return str(size) if size else ""


def _bytes(size: Dim) -> str:
    if not isinstance(size, int):
        return f"{size} B"
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"

"""specc summary."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from specc.cli import options
from specc.cli.programs import load
from specc.cli.terminal import console, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from specc.page.figures import Summary


@click.command()
@options.spec_argument
@click.option("--depth", type=click.IntRange(min=0), help="How many levels of blocks to open.")
@options.set_option
@options.json_option
def command(spec: Path, depth: int | None, sets: dict[str, str], as_json: bool) -> None:
    """Layers with their output shapes, parameters, FLOPs and activations, and their totals.

    FLOPs are those of the forward pass for one sample; a multiply-add counts as two. Activations
    are all values of the forward pass for one sample, as training keeps them.

    \b
    Examples:
      specc summary net.yaml
      specc summary gpt.yaml --depth 1
      specc summary net.yaml --set width=64 --json
    """
    from specc.page.figures import summarize

    found = summarize(load(spec, sets))
    if as_json:
        print_json(found.to_json())
        return
    screen = console()
    screen.print(_table(found, math.inf if depth is None else depth))
    for label, value in found.totals().items():
        screen.print(f"{label:<24} [bold]{value}[/]")


def _table(found: Summary, depth: float) -> Table:
    from rich.table import Table

    from specc.page.figures import bytes_text, count_text

    table = Table("layer", "kind", "output", box=None, header_style="bold")
    for figure in ("parameters", "FLOPs", "activations"):
        table.add_column(figure, justify="right")
    for row in found.rows:
        if row.depth <= depth:
            table.add_row(
                "  " * row.depth + row.label,
                row.kind,
                "\n".join(row.shapes),
                f"{row.parameters:,}" if row.parameters else "",
                count_text(row.flops),
                bytes_text(found.width * row.activations),
            )
    return table

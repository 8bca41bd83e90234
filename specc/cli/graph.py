"""specc graph."""

from __future__ import annotations

from pathlib import Path

import click

from specc.cli import options
from specc.cli.files import STANDARD_OUTPUT, write_text
from specc.cli.programs import load

FORMATS = ("mermaid", "dot", "svg")
SUFFIXES = {".mmd": "mermaid", ".md": "mermaid", ".dot": "dot", ".gv": "dot", ".svg": "svg"}


@click.command()
@options.spec_argument
@click.option(
    "--format",
    "-f",
    "kind",
    type=click.Choice(FORMATS),
    help="Default: by the suffix of --output, else mermaid.",
)
@click.option("--expand", is_flag=True, help="Open blocks and repeats.")
@click.option(
    "--output", "-o", type=options.OUTPUT, default="-", help="A file; - is standard output."
)
@options.set_option
def command(spec: Path, kind: str | None, expand: bool, output: Path, sets: dict[str, str]) -> None:
    """Draw the network with its shapes.

    \b
    Examples:
      specc graph net.yaml
      specc graph net.yaml -o net.svg
      specc graph net.yaml --expand --format dot | dot -Tpdf -o net.pdf
    """
    from specc.cli.drawing import draw, to_dot, to_mermaid
    from specc.cli.layered_svg import to_svg

    write = {"mermaid": to_mermaid, "dot": to_dot, "svg": to_svg}
    chosen = kind or SUFFIXES.get(output.suffix.lower(), "mermaid")
    drawing = draw(load(spec, sets), expand)
    write_text(output, write[chosen](drawing))
    if output != STANDARD_OUTPUT:
        click.echo(output)

"""specc resolve."""

from __future__ import annotations

from pathlib import Path

import click

from specc.cli import options
from specc.cli.files import write_text


@click.command()
@options.spec_argument
@click.option(
    "--to", type=click.Choice(["yaml", "specc"]), default="yaml", help="The form to print it in."
)
@click.option(
    "--output", "-o", type=options.OUTPUT, default="-", help="A file; - is standard output."
)
@options.set_option
def command(spec: Path, to: str, output: Path, sets: dict[str, str]) -> None:
    """Print the spec with every default written out, masks included.

    What is printed is a spec, and compiles to the same program.

    \b
    Examples:
      specc resolve net.yaml
      specc resolve net.yaml --set conventions=pytorch
    """
    from specc.compiler import resolve_spec

    write_text(output, resolve_spec(spec, sets, to))

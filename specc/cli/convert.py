"""specc convert."""

from __future__ import annotations

from pathlib import Path

import click

from specc.cli import options
from specc.cli.files import STANDARD_OUTPUT, write_text

LANGUAGE = ".specc"


@click.command()
@options.spec_argument
@click.option(
    "--to",
    type=click.Choice(["yaml", "specc"]),
    help="The form to write. Default: by the suffix of --output, else the other one.",
)
@click.option(
    "--output", "-o", type=options.OUTPUT, default="-", help="A file; - is standard output."
)
def command(spec: Path, to: str | None, output: Path) -> None:
    """Turn YAML into the language, or back; comments stay. To the same form, it formats.

    \b
    Examples:
      specc convert net.yaml
      specc convert net.yaml -o net.specc
      specc convert net.yaml --to yaml -o net.yaml
    """
    from specc.frontend.formatter import to_dsl, to_yaml
    from specc.frontend.reader import read_tree
    from specc.plugins import load_operations

    load_operations()
    if to is None and output != STANDARD_OUTPUT:
        to = "specc" if output.suffix == LANGUAGE else "yaml"
    if to is None:
        to = "yaml" if spec.suffix == LANGUAGE else "specc"
    write = to_dsl if to == "specc" else to_yaml
    write_text(output, write(read_tree(spec)))
    if output != STANDARD_OUTPUT:
        click.echo(output)

"""specc schema."""

from __future__ import annotations

from pathlib import Path

import click

from specc.cli import options
from specc.cli.files import STANDARD_OUTPUT, write_text


@click.command()
@click.option(
    "--output", "-o", type=options.OUTPUT, default="-", help="A file; - is standard output."
)
def command(output: Path) -> None:
    """Print the JSON schema of a YAML spec, for editors that complete and check while you type.

    It knows the operations of installed plug-ins too.

    \b
    Examples:
      specc schema -o spec.schema.json
    Then begin a spec with:
      # yaml-language-server: $schema=spec.schema.json
    """
    import json

    from specc.frontend.schema import spec_schema
    from specc.plugins import load_operations

    load_operations()
    write_text(output, json.dumps(spec_schema(), indent=2) + "\n")
    if output != STANDARD_OUTPUT:
        click.echo(output)

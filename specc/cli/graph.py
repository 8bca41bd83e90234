"""specc graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from specc.cli import options
from specc.cli.files import STANDARD_OUTPUT, write_text
from specc.cli.programs import load, load_located

FORMATS = ("mermaid", "dot", "svg", "html")
SUFFIXES = {
    ".mmd": "mermaid",
    ".md": "mermaid",
    ".dot": "dot",
    ".gv": "dot",
    ".svg": "svg",
    ".html": "html",
    ".htm": "html",
}


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
@options.backends_option
@options.set_option
def command(
    spec: Path,
    kind: str | None,
    expand: bool,
    output: Path,
    backends: tuple[str, ...],
    sets: dict[str, str],
) -> None:
    """Draw the network with its shapes.

    The html format is one page that needs no network: the graph, whose blocks fold and unfold,
    the figures of each layer, and beside it the spec and the generated file of each --backend
    (without one all three), where the lines of a layer are marked when it is selected.

    \b
    Examples:
      specc graph net.yaml
      specc graph net.yaml -o net.svg
      specc graph net.yaml -o net.html
      specc graph net.yaml -o net.html --backend torch
      specc graph net.yaml --expand --format dot | dot -Tpdf -o net.pdf
    """
    from specc.cli.drawing import draw, to_dot, to_mermaid
    from specc.cli.layered_svg import to_svg

    chosen = kind or SUFFIXES.get(output.suffix.lower(), "mermaid")
    if chosen == "html":
        text = _page(spec, sets, backends or options.CORE_BACKENDS, expand)
    elif backends:
        raise click.UsageError("--backend is for the html format, which shows generated files")
    else:
        write = {"mermaid": to_mermaid, "dot": to_dot, "svg": to_svg}
        text = write[chosen](draw(load(spec, sets), expand))
    write_text(output, text)
    if output != STANDARD_OUTPUT:
        click.echo(output)


def _page(spec: Path, sets: Mapping[str, str], backends: Sequence[str], unfolded: bool) -> str:
    from specc.compiler import compile_program
    from specc.page.html import html_page
    from specc.page.network import page_data
    from specc.plugins import find_backend

    tree, program = load_located(spec, sets)
    sources = {
        name: (find_backend(name).title, compile_program(program, name)) for name in backends
    }
    return html_page({**page_data(program, tree, sources), "unfolded": unfolded})

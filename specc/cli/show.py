"""specc show."""

from __future__ import annotations

from pathlib import Path

import click

from specc.cli import options
from specc.cli.programs import load


@click.command()
@options.spec_argument
@click.option(
    "--after", metavar="PASS", help="The pass to stop after; 'none' is the spec as it was read."
)
@click.option("--passes", "only_list", is_flag=True, help="List the passes in their order.")
@options.set_option
def command(spec: Path, after: str | None, only_list: bool, sets: dict[str, str]) -> None:
    """Print the compiler's program: graphs, types, parameters, training.

    Passes over the statements of the NumPy file show its function.

    \b
    Examples:
      specc show net.yaml
      specc show net.yaml --after none
      specc show net.yaml --passes
    """
    from specc.backends.numpy.backend import function_after
    from specc.backends.numpy.passes import PASSES as STATEMENT_PASSES
    from specc.diagnostics import did_you_mean
    from specc.ir.text import program_text
    from specc.passes import PASSES, run_passes

    names = [each.__name__ for each in (*PASSES, *STATEMENT_PASSES)]
    if only_list:
        for each in (*PASSES, *STATEMENT_PASSES):
            click.echo(f"{each.__name__:<20} {(each.__doc__ or '').strip().splitlines()[0]}")
        return
    if after is not None and after not in (*names, "none"):
        raise click.UsageError(f"there is no pass '{after}'; {did_you_mean(after, names)}")
    program = load(spec, sets)
    if after in names[len(PASSES) :]:
        click.echo(function_after(run_passes(program), after), nl=False)
        return
    click.echo(
        program_text(program if after == "none" else run_passes(program, after or "")), nl=False
    )

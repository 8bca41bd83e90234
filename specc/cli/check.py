"""specc check."""

from __future__ import annotations

from pathlib import Path

import click

from specc.cli import options
from specc.cli.boundary import WRONG
from specc.cli.terminal import diagnostic_json, print_json
from specc.diagnostics import Diagnostic, SpecError


@click.command()
@click.argument("specs", nargs=-1, required=True, type=options.FILE)
@options.set_option
@click.option("--data", "with_data", is_flag=True, help="Open and check the data too.")
@options.json_option
@click.pass_context
def command(
    ctx: click.Context,
    specs: tuple[Path, ...],
    sets: dict[str, str],
    with_data: bool,
    as_json: bool,
) -> None:
    """Say all that is wrong with specs, without importing a framework.

    \b
    Examples:
      specc check net.yaml
      specc check examples/*.yaml --json
      specc check net.yaml --data --set training.batch_size=32
    """
    failures: list[Diagnostic] = []
    for spec in specs:
        try:
            _check(spec, sets, with_data)
        except SpecError as error:
            failures += error.diagnostics
        else:
            if not as_json:
                click.echo(f"{spec}: ok")
    if as_json:
        print_json({"ok": not failures, "diagnostics": [diagnostic_json(d) for d in failures]})
        ctx.exit(WRONG if failures else 0)
    if failures:
        raise SpecError(failures)


def _check(spec: Path, sets: dict[str, str], with_data: bool) -> None:
    from specc.compiler import load_program

    program = load_program(spec, sets)
    if with_data:
        from specc.runner.experiment import load_data, require

        require(program, "data")
        load_data(program, spec.parent)

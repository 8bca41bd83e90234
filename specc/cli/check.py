"""specc check."""

from __future__ import annotations

from pathlib import Path

import click

from specc.cli import options
from specc.cli.boundary import WRONG
from specc.cli.profiling import ProfiledCommand, profile_option
from specc.cli.terminal import diagnostic_json, print_diagnostics, print_json
from specc.diagnostics import Diagnostic, SpecError


@click.command(cls=ProfiledCommand)
@click.argument("specs", nargs=-1, required=True, type=options.FILE)
@options.set_option
@click.option("--data", "with_data", is_flag=True, help="Open and check the data too.")
@options.json_option
@profile_option
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
      specc check net.yaml --profile trace.json
    """
    failures: list[Diagnostic] = []
    warnings: list[Diagnostic] = []
    for spec in specs:
        try:
            warnings += _check(spec, sets, with_data)
        except SpecError as error:
            failures += error.diagnostics
        else:
            if not as_json:
                click.echo(f"{spec}: ok")
    if as_json:
        found = [diagnostic_json(diagnostic) for diagnostic in (*failures, *warnings)]
        print_json({"ok": not failures, "diagnostics": found})
        ctx.exit(WRONG if failures else 0)
    print_diagnostics(warnings)
    if failures:
        raise SpecError(failures)


def _check(spec: Path, sets: dict[str, str], with_data: bool) -> tuple[Diagnostic, ...]:
    """The warnings; raises SpecError with the errors."""
    from specc.compiler import load_program

    program, warnings = load_program(spec, sets)
    if with_data:
        from specc.runner.experiment import load_data, require

        require(program, "data")
        load_data(program, spec.parent)
    return warnings

"""specc check."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click

from specc.cli import options
from specc.cli.boundary import WRONG
from specc.cli.formats import FORMATS, write_as
from specc.cli.profiling import ProfiledCommand, profile_option
from specc.cli.terminal import print_diagnostics
from specc.diagnostics import WARNINGS, Diagnostic, SpecError, did_you_mean
from specc.diagnostics.visible import visible


def _warning_names(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> frozenset[str]:
    names = {name.strip().replace("-", "_") for value in values for name in value.split(",")}
    for name in sorted(names - set(WARNINGS.values())):
        help_ = did_you_mean(name, WARNINGS.values()) or "specc explain lists them"
        raise click.BadParameter(f"there is no warning '{name}'; {help_}")
    return frozenset(names)


@click.command(cls=ProfiledCommand)
@click.argument("specs", nargs=-1, required=True, type=options.FILE)
@options.set_option
@click.option("--data", "with_data", is_flag=True, help="Open and check the data too.")
@click.option(
    "--format",
    "-f",
    "form",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="text for people; json, SARIF 2.1.0 and GitHub's workflow commands for programs.",
)
@click.option("--json", "form", flag_value="json", help="Short for --format json.")
@click.option(
    "--allow",
    "allowed",
    multiple=True,
    callback=_warning_names,
    metavar="NAME",
    help="Do not give this warning; repeat it, or separate several by commas.",
)
@click.option("--deny-warnings", is_flag=True, help="Take warnings for errors, for CI.")
@profile_option
@click.pass_context
def command(
    ctx: click.Context,
    specs: tuple[Path, ...],
    sets: dict[str, str],
    with_data: bool,
    form: str,
    allowed: frozenset[str],
    deny_warnings: bool,
) -> None:
    """Say all that is wrong with specs, without importing a framework.

    \b
    Examples:
      specc check net.yaml
      specc check examples/*.yaml --json
      specc check net.yaml --data --set training.batch_size=32
      specc check specs/*.yaml --deny-warnings --format github
      specc check net.yaml --allow high_dropout
      specc check net.yaml --profile trace.json
    """
    failures: list[Diagnostic] = []
    warnings: list[Diagnostic] = []
    for spec in specs:
        found = list(_check(spec, sets, with_data, allowed))
        if deny_warnings:
            found = [replace(each, severity="error") for each in found]
        wrong = [each for each in found if each.severity == "error"]
        failures += wrong
        warnings += [each for each in found if each.severity != "error"]
        if form == "text" and not wrong:
            click.echo(f"{visible(str(spec))}: ok")
    if form != "text":
        write_as(form, _once([*failures, *warnings]), not failures)
        ctx.exit(WRONG if failures else 0)
    print_diagnostics(warnings)
    if failures:
        raise SpecError(failures)


def _check(
    spec: Path, sets: dict[str, str], with_data: bool, allowed: Collection[str]
) -> Iterator[Diagnostic]:
    """The errors of a spec, or its warnings."""
    from specc.compiler import load_program

    try:
        program, warnings = load_program(spec, sets)
        if with_data:
            from specc.runner.experiment import load_checked, require

            require(program, "data")
            warnings += load_checked(program, spec.parent)[1]
    except SpecError as error:
        yield from error.diagnostics
    else:
        yield from (each for each in warnings if each.name not in allowed)


def _once(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Two specs that include the same file have its mistakes in common."""
    return list(dict.fromkeys(diagnostics))

"""specc fuzz."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from specc.cli import options
from specc.cli.boundary import INTERRUPTED, WRONG
from specc.cli.terminal import console, print_json

if TYPE_CHECKING:
    from specc.fuzz.campaign import Campaign, Found
    from specc.fuzz.check import Outcome


@click.command()
@click.option(
    "--count", "-n", type=click.IntRange(min=1), default=100, show_default=True, help="How many."
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Where all that is drawn comes from."
)
@click.option(
    "--start", type=click.IntRange(min=0), default=0, show_default=True, help="The first index."
)
@options.backends_option
@click.option(
    "--case",
    "cases",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Run this case again (a folder of a failure, or a spec) and draw none. Repeatable.",
)
@click.option(
    "--out",
    type=options.FOLDER,
    default=Path("fuzz-failures"),
    show_default=True,
    help="Where failing cases are written, a folder each.",
)
@click.option(
    "--jobs", "-j", type=click.IntRange(min=1), help="Cases at a time. Default: the processors."
)
@click.option("--shrink/--no-shrink", default=True, help="Whether failing specs are made small.")
@options.json_option
@click.pass_context
def command(
    ctx: click.Context,
    count: int,
    seed: int,
    start: int,
    backends: tuple[str, ...],
    cases: tuple[Path, ...],
    out: Path,
    jobs: int | None,
    shrink: bool,
    as_json: bool,
) -> None:
    """Draw random specs, run them on every backend and level, and compare all that they compute.

    A case derives from the seed and its index alone: it is the same everywhere. What fails is made
    as small as it gets and written as a folder that --case runs again; the exit code is then 1.

    \b
    Examples:
      specc fuzz --count 200 --seed 1
      specc fuzz --count 1000 --backends numpy,torch --jobs 4
      specc fuzz --case fuzz-failures/1-42
      specc fuzz --seed 1 --start 42 --count 1 --no-shrink
    """
    from specc.fuzz.campaign import rerun, run
    from specc.plugins import find_backend
    from specc.runner.progress import step_bar

    chosen = backends or options.CORE_BACKENDS
    for name in chosen:
        find_backend(name)
    total = len(cases) or count
    with step_bar("fuzzing", total) as advance:
        failed = 0

        def on_case(outcome: Outcome) -> None:
            nonlocal failed
            failed += outcome.failure is not None
            advance(f"{failed} failed")

        if cases:
            campaign = rerun(cases, chosen, on_case)
        else:
            campaign = run(
                seed,
                range(start, start + count),
                chosen,
                folder=out,
                jobs=jobs,
                small=shrink,
                on_case=on_case,
            )
    if as_json:
        print_json(campaign.to_json())
    else:
        _print(campaign)
    ctx.exit(INTERRUPTED if campaign.interrupted else WRONG if campaign.failures else 0)


def _print(campaign: Campaign) -> None:
    from rich.table import Table

    out = console()
    rate = campaign.cases / campaign.seconds if campaign.seconds else 0.0
    out.print(
        f"{campaign.cases} cases on {', '.join(campaign.backends)} in {campaign.seconds:.0f} s "
        f"({rate:.1f} a second), {len(campaign.failures)} failed"
        + (", interrupted" if campaign.interrupted else "")
    )
    if campaign.shares:
        table = Table("check", "largest difference / allowed", "case")
        for name, share in campaign.shares.items():
            table.add_row(name, f"{share:.2g}", str(campaign.worst[name]))
        out.print(table)
    if campaign.not_finite:
        out.print(f"{campaign.not_finite} cases left the finite numbers, alike on every backend")
    if campaign.unsettled:
        out.print(
            f"in {len(campaign.unsettled)} cases rounding decides one tensor or more: a backend "
            "moves as far from itself if its inputs change in their last bit"
        )
    for found in campaign.failures:
        _print_failure(found)


def _print_failure(found: Found) -> None:
    failure = found.failure
    where = f" ({', '.join(failure.variants)})" if failure.variants else ""
    click.secho(
        f"\ncase {found.drawn.seed}/{found.drawn.index}: {failure.message}{where}", fg="red"
    )
    for note in failure.notes:
        click.echo(f"  {note.rstrip()}")
    if found.folder is not None:
        click.echo(f"  again: specc fuzz --case {found.folder}")

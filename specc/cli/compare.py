"""specc compare."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from specc.cli import options
from specc.cli.boundary import WRONG
from specc.cli.files import write_text
from specc.cli.terminal import print_diagnostics, print_json

if TYPE_CHECKING:
    from specc.runner.comparison import Comparison, LockStep, Settings, Step
    from specc.runner.experiment import Experiment

# A folder is refused before the comparison and not after it.
_REPORT = click.Path(dir_okay=False, path_type=Path, allow_dash=True)


def _number(ctx: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Nothing is larger than NaN: with such a tolerance no comparison could fail."""
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is not a number")
    return value


@click.command()
@options.spec_argument
@options.backends_option
@click.option("--steps", type=click.IntRange(min=1), default=200, show_default=True)
@click.option(
    "--dtype", type=click.Choice(["float32", "float64"]), default="float64", show_default=True
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    callback=_number,
    help="Exit with 1, and name the first tensor, where any difference is larger.",
)
@click.option(
    "--lock-step",
    is_flag=True,
    help="Start every step from a float64 reference and compare gradients (for float32).",
)
@click.option("--samples", type=click.IntRange(min=1), help="Use the first N training rows only.")
@click.option("--report", type=_REPORT, help="Write the figures as one HTML page.")
@click.option("--keep", type=options.FOLDER, help="Keep the generated files in this folder.")
@options.optimize_option
@options.set_option
@options.json_option
@click.pass_context
def command(
    ctx: click.Context,
    spec: Path,
    backends: tuple[str, ...],
    steps: int,
    dtype: str,
    tolerance: float | None,
    lock_step: bool,
    samples: int | None,
    report: Path | None,
    keep: Path | None,
    optimize: int,
    sets: dict[str, str],
    as_json: bool,
) -> None:
    """Prove that the backends train identically, or find where they part.

    Each backend's file runs in its own process, where specc cannot be imported, on the same data in
    the same order. A parameter's difference is |a-b| / |b-b0|: as a share of the distance that it
    has travelled since the start, for the worst pair of backends.

    \b
    Examples:
      specc compare net.yaml
      specc compare net.yaml --backends numpy,torch --steps 50 --tolerance 1e-10
      specc compare net.yaml --dtype float32 --lock-step --tolerance 1e-5
      specc compare net.yaml --report report.html
      specc compare net.yaml --json | jq .max_relative_difference
    """
    from specc.runner.comparison import Settings
    from specc.runner.experiment import Experiment
    from specc.runner.report import html_report

    chosen = backends or options.CORE_BACKENDS
    if len(chosen) < 2 and not lock_step:
        raise click.UsageError("name two backends at least: one has nothing to be compared with")
    if lock_step and report is not None:
        raise click.UsageError("--report shows a free-running comparison: leave out --lock-step")
    with tempfile.TemporaryDirectory() as scratch:
        experiment = Experiment.prepare(
            spec,
            dict.fromkeys(chosen, keep or Path(scratch)),
            sets=sets,
            dtype=dtype,
            samples=samples,
            optimize=optimize,
        )
        print_diagnostics(experiment.warnings)
        settings = Settings(experiment.batch_size, steps, dtype, tolerance, experiment.indifferent)
        if lock_step:
            _finish(ctx, _in_lock_step(experiment, settings), as_json)
        else:
            found = _freely(experiment, settings)
            if report is not None:
                write_text(report, html_report(found))
            _finish(ctx, found, as_json)


def _freely(experiment: Experiment, settings: Settings) -> Comparison:
    from specc.runner.compare import compare
    from specc.runner.progress import step_bar

    with step_bar("comparing", settings.steps) as advance:

        def on_step(step: Step) -> None:
            losses = "  ".join(f"{name} {loss:.6g}" for name, loss in step.losses.items())
            advance(f"{losses}  difference {step.largest:.1e}")

        return compare(experiment.sources, experiment.parts["train"], settings, on_step)


def _in_lock_step(experiment: Experiment, settings: Settings) -> LockStep:
    from specc.runner.lockstep import compare_in_lock_step
    from specc.runner.progress import step_bar

    with step_bar("comparing", settings.steps) as advance:
        return compare_in_lock_step(
            experiment.sources,
            experiment.parts["train"],
            settings,
            lambda step: advance(f"step {step}"),
        )


def _finish(ctx: click.Context, found: Comparison | LockStep, as_json: bool) -> None:
    from specc.cli.comparison_tables import print_comparison

    if as_json:
        print_json(found.to_json())
    else:
        print_comparison(found)
    ctx.exit(0 if found.equal else WRONG)

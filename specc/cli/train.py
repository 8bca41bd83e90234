"""specc train."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from specc.cli import options
from specc.cli.terminal import console, print_diagnostics, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from specc.runner.interruption import Interrupted
    from specc.runner.train import Trained
    from specc.runner.training_run import Request, TrainingRun


def _interval(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> dict[str, float] | None:
    """``{"steps": N}`` of ``200``, ``{"seconds": S}`` of ``30s``, ``5m`` or ``2h``."""
    if value is None:
        return None
    found = re.fullmatch(r"([1-9]\d{0,8})([smh]?)", value)
    if found is None:
        raise click.BadParameter(f"'{value}' is neither steps (200) nor a time (30s, 5m, 2h)")
    count, unit = int(found[1]), found[2]
    return {"seconds": count * {"s": 1, "m": 60, "h": 3600}[unit]} if unit else {"steps": count}


@click.command()
@options.spec_argument
@options.backends_option
@click.option(
    "--run-dir",
    type=options.FOLDER,
    help="Where to write the run. Default: runs/NAME, one folder per backend in it.",
)
@click.option(
    "--overwrite", is_flag=True, help="Replace an earlier run, when this one is finished."
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with a run that is not finished, exactly as if it had not been interrupted.",
)
@click.option(
    "--checkpoint-every",
    "every",
    metavar="STEPS|TIME",
    callback=_interval,
    help="How often to save, in steps (200) or time (30s, 5m). "
    "Default: every 10 s, and less often where that would take more than 1 % of the time.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Short for --set training.epochs=N.")
@options.dtype_option
@options.device_option
@options.optimize_option
@options.set_option
@options.json_option
@click.pass_context
def command(
    context: click.Context,
    spec: Path,
    backends: tuple[str, ...],
    run_dir: Path | None,
    overwrite: bool,
    resume: bool,
    every: dict[str, float] | None,
    epochs: int | None,
    dtype: str | None,
    device: str | None,
    optimize: int,
    sets: dict[str, str],
    as_json: bool,
) -> int:
    """Train on one backend (default: numpy), or on several side by side.

    A run folder holds the resolved spec, the generated file, the history, what the data
    preparation learnt, and the weights, which every backend can load. With several backends the
    table shows them side by side, and how far their parameters are apart.

    A training that is interrupted, by Ctrl-C too, goes on with --resume: it ends with the same
    weights to the last bit. The options of the run need not be repeated.

    \b
    Examples:
      specc train net.yaml --backend torch
      specc train net.yaml --backend numpy --backend torch --backend tensorflow
      specc train net.yaml --epochs 3 --set training.batch_size=32 --run-dir runs/small
      specc train net.yaml --resume
    """
    from specc.runner.interruption import Interrupted, interruptible
    from specc.runner.training_run import Request

    if resume and overwrite:
        raise click.UsageError("--resume goes on with a run, and --overwrite begins anew")
    if epochs is not None:
        sets = {**sets, "training.epochs": str(epochs)}
    said = context.get_parameter_source("optimize") != click.core.ParameterSource.DEFAULT
    request = Request(
        spec=spec,
        run_dir=run_dir,
        backends=backends or None,
        sets=sets or None,
        dtype=dtype,
        device=device,
        optimize=optimize if said else None,
        every=every,
    )
    try:
        with interruptible():
            run, trained = _train(request, overwrite, resume)
    except Interrupted as signal:
        _say_how_to_go_on(request, signal)
        return signal.exit_code
    _report(run, trained, as_json)
    return 0


def _train(
    request: Request, overwrite: bool, resume: bool
) -> tuple[TrainingRun, Mapping[str, Trained]]:
    from specc.runner.progress import training_bars
    from specc.runner.run_place import new_run, unfinished_run
    from specc.runner.training_run import begin, go_on

    opened = unfinished_run(request.place) if resume else new_run(request.place, overwrite)
    with opened as place:
        if resume:
            run, warnings = go_on(place, request)
            print_diagnostics(warnings)
        else:
            run = begin(place, request)
        experiment = run.experiment
        print_diagnostics(experiment.warnings)
        with training_bars(
            list(run.runs), experiment.epochs, experiment.steps_per_epoch
        ) as on_event:
            return run, run.carry_out(on_event, _say_that_it_stops)


def _say_that_it_stops() -> None:
    click.echo("stopping after this step, to save it; once more ends at once", err=True)


def _say_how_to_go_on(request: Request, signal: Interrupted) -> None:
    reached = ", ".join(f"{name} after step {step}" for name, step in signal.reached.items())
    click.echo(f"interrupted{f': {reached}' if reached else ''}", err=True)
    if signal.resumable:
        click.echo(f"go on with: {request.resume}", err=True)


def _report(run: TrainingRun, trained: Mapping[str, Trained], as_json: bool) -> None:
    from specc.runner.comparison import number
    from specc.runner.measure import worst
    from specc.runner.train import parameter_differences

    files = run.files
    differences = parameter_differences(trained, run.experiment.indifferent)
    largest = worst(differences.values())
    if as_json:
        result: dict[str, Any] = {
            name: {
                "file": str(files[name]),
                "run": str(files[name].parent),
                "seconds": found.seconds,
                "history": found.history,
                "test": found.scores,
            }
            for name, found in trained.items()
        }
        report: dict[str, Any] = {"name": run.experiment.program.name, "backends": result}
        if len(trained) > 1:
            report["max_relative_difference"] = number(largest)
        print_json(report)
        return
    screen = console()
    screen.print(_table(trained))
    if len(trained) > 1:
        share = "largest difference of a parameter, as a share of the way that it went:"
        screen.print(f"{share} [bold]{largest:.3g}[/]")
    for name, found in trained.items():
        screen.print(f"{name}: {found.seconds:.1f} s, {files[name]}", markup=False, soft_wrap=True)


def _table(trained: Mapping[str, Trained]) -> Table:
    """Every figure of every epoch, and of the test part: the backends side by side."""
    from rich.table import Table

    runs = list(trained.values())
    result = Table("epoch", "", box=None, header_style="bold")
    for name in trained:
        result.add_column(name, justify="right")
    for epoch in range(len(runs[0].history["loss"])):
        for index, metric in enumerate(runs[0].history):
            shown = (f"{run.history[metric][epoch]:.6f}" for run in runs)
            result.add_row("" if index else str(epoch + 1), metric, *shown)
    for index, metric in enumerate(runs[0].scores):
        shown = (f"{run.scores[metric]:.6f}" for run in runs)
        result.add_row("" if index else "test", metric, *shown, style="bold")
    return result

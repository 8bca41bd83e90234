"""specc train."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from specc import __version__
from specc.cli import options
from specc.cli.terminal import console, print_diagnostics, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from specc.runner.experiment import Experiment
    from specc.runner.train import Trained


@click.command()
@options.spec_argument
@options.backends_option
@click.option(
    "--run-dir",
    type=options.FOLDER,
    help="Where to write the run. Default: runs/NAME, one folder per backend in it.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier run.")
@click.option("--epochs", type=click.IntRange(min=1), help="Short for --set training.epochs=N.")
@options.dtype_option
@options.device_option
@options.optimize_option
@options.set_option
@options.json_option
def command(
    spec: Path,
    backends: tuple[str, ...],
    run_dir: Path | None,
    overwrite: bool,
    epochs: int | None,
    dtype: str | None,
    device: str | None,
    optimize: int,
    sets: dict[str, str],
    as_json: bool,
) -> None:
    """Train on one backend (default: numpy), or on several side by side.

    A run folder holds the resolved spec, the generated file, the history, what the data
    preparation learnt, and the weights, which every backend can load. With several backends the
    table shows them side by side, and how far their parameters are apart.

    \b
    Examples:
      specc train net.yaml --backend torch
      specc train net.yaml --backend numpy --backend torch --backend tensorflow
      specc train net.yaml --epochs 3 --set training.batch_size=32 --run-dir runs/small
    """
    from specc.runner.experiment import Experiment
    from specc.runner.progress import training_bars
    from specc.runner.run_folder import WEIGHTS, new_run, refuse_existing
    from specc.runner.train import train

    chosen = backends or ("numpy",)
    if epochs is not None:
        sets = {**sets, "training.epochs": str(epochs)}
    place = run_dir or Path("runs") / spec.stem
    refuse_existing(place, overwrite)
    with new_run(place, overwrite) as draft:
        folders = {name: draft / name if len(chosen) > 1 else draft for name in chosen}
        experiment = Experiment.prepare(spec, folders, sets=sets, dtype=dtype, optimize=optimize)
        print_diagnostics(experiment.warnings)
        with training_bars(chosen, experiment.epochs, experiment.steps_per_epoch) as on_event:
            trained = train(
                experiment.sources,
                experiment.parts,
                epochs=experiment.epochs,
                batch_size=experiment.batch_size,
                weights={name: folder / WEIGHTS for name, folder in folders.items()},
                dtype=dtype,
                device=device,
                on_event=on_event,
            )
        for name, folder in folders.items():
            _write_run(folder, spec, sets, experiment, trained[name])
    files = {name: place / path.relative_to(draft) for name, path in experiment.sources.items()}
    _report(experiment, trained, files, as_json)


def _write_run(
    folder: Path, spec: Path, sets: Mapping[str, str], experiment: Experiment, trained: Trained
) -> None:
    from specc.compiler import resolve_spec
    from specc.runner import run_folder

    program = experiment.program
    (folder / run_folder.SPEC).write_text(resolve_spec(spec, sets), encoding="utf-8")
    run_folder.write_json(folder / run_folder.FITTED, experiment.dataset.fitted)
    run_folder.write_json(folder / run_folder.HISTORY, trained.history)
    run_folder.write_json(
        folder / run_folder.ABOUT,
        {
            "specc": __version__,
            "name": program.name,
            "spec": str(spec.resolve()),
            "settings": dict(sets),
            "backend": trained.backend,
            "source": experiment.sources[trained.backend].name,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(trained.seconds, 3),
            "seed": program.seed,
            "dtype": experiment.dtype,
            "scores": {"test": trained.scores} if trained.scores else {},
            "environment": trained.environment,
        },
    )


def _report(
    experiment: Experiment, trained: Mapping[str, Trained], files: Mapping[str, Path], as_json: bool
) -> None:
    from specc.runner.comparison import number
    from specc.runner.measure import worst
    from specc.runner.train import parameter_differences

    differences = parameter_differences(trained, experiment.indifferent)
    largest = worst(differences.values())
    if as_json:
        result: dict[str, Any] = {
            name: {
                "file": str(files[name]),
                "run": str(files[name].parent),
                "seconds": run.seconds,
                "history": run.history,
                "test": run.scores,
            }
            for name, run in trained.items()
        }
        report: dict[str, Any] = {"name": experiment.program.name, "backends": result}
        if len(trained) > 1:
            report["max_relative_difference"] = number(largest)
        print_json(report)
        return
    screen = console()
    screen.print(_table(trained))
    if len(trained) > 1:
        share = "largest difference of a parameter, as a share of the way that it went:"
        screen.print(f"{share} [bold]{largest:.3g}[/]")
    for name, run in trained.items():
        screen.print(f"{name}: {run.seconds:.1f} s, {files[name]}", markup=False, soft_wrap=True)


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

"""specc evaluate."""

from __future__ import annotations

from pathlib import Path

import click

from specc.cli import options
from specc.cli.terminal import console, print_diagnostics, print_json


@click.command()
@click.argument("run", type=options.FOLDER)
@options.part_option
@options.raw_data_option
@options.unfinished_option
@options.json_option
def command(run: Path, part: str, data: Path | None, unfinished: bool, as_json: bool) -> None:
    """Score a trained run: its loss and metrics on a part of the data.

    \b
    Examples:
      specc evaluate runs/mnist_cnn
      specc evaluate runs/mnist_cnn --part validation --json
      specc evaluate runs/mnist_cnn --data other.npz
    """
    from specc.runner.run_data import prepared_part
    from specc.runner.run_folder import open_run, weights_of
    from specc.runner.train import evaluate

    trained = open_run(run, unfinished)
    weights, warnings = weights_of(trained)
    print_diagnostics(warnings)
    rows = prepared_part(trained, part, data)
    scores = evaluate(trained.source, trained.backend, weights, trained.dtype, rows)
    if as_json:
        print_json({"run": str(run), "part": str(data or part), "scores": scores})
        return
    screen = console()
    for name, value in scores.items():
        screen.print(f"{name} [bold]{value:.6f}[/]")

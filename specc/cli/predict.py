"""specc predict."""

from __future__ import annotations

from pathlib import Path

import click

from specc.cli import options
from specc.cli.files import STANDARD_OUTPUT, write_npz
from specc.cli.terminal import print_diagnostics, print_json


@click.command()
@click.argument("run", type=options.FOLDER)
@options.raw_data_option
@options.unfinished_option
@options.part_option
@click.option(
    "--output",
    "-o",
    type=options.OUTPUT,
    help="An npz file (- is standard output). Without one, JSON is printed.",
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Rows at a time. Default: all.")
def command(
    run: Path,
    data: Path | None,
    part: str,
    unfinished: bool,
    output: Path | None,
    batch_size: int | None,
) -> None:
    """Apply a trained run to new data, prepared as its training data were.

    \b
    Examples:
      specc predict runs/mnist_cnn --data digits.npz -o predictions.npz
      specc predict runs/text_lstm --data lines.csv
      specc predict runs/mnist_cnn --part test -o predictions.npz
    """
    from specc.runner.run_data import prepared_part
    from specc.runner.run_folder import open_run, weights_of
    from specc.runner.train import predict

    trained = open_run(run, unfinished)
    weights, warnings = weights_of(trained)
    print_diagnostics(warnings)
    inputs = prepared_part(trained, part, data, targets=False)["inputs"]
    outputs = predict(trained.source, trained.backend, weights, trained.dtype, inputs, batch_size)
    if output is None:
        print_json({name: values.tolist() for name, values in outputs.items()})
        return
    write_npz(output, outputs)
    if output == STANDARD_OUTPUT:
        return
    for name, values in outputs.items():
        click.echo(f"{output}: {name} {list(values.shape)}")

"""specc data."""

from __future__ import annotations

from pathlib import Path

import click

from specc.cli import options
from specc.cli.files import STANDARD_OUTPUT, writing
from specc.cli.programs import load
from specc.cli.terminal import console, print_diagnostics, print_json


@click.command()
@options.spec_argument
@click.option("--output", "-o", type=options.OUTPUT, help="The npz file. Default: NAME_data.npz.")
@options.dtype_option
@options.set_option
@options.json_option
def command(
    spec: Path, output: Path | None, dtype: str | None, sets: dict[str, str], as_json: bool
) -> None:
    """Write the prepared arrays, as a generated file reads them: train/NAME, test/NAME, ...

    \b
    Examples:
      specc data net.yaml -o data.npz
      python net_torch.py train data.npz
    """
    from specc.data import read_prepared, write_prepared
    from specc.runner.experiment import load_checked, require

    if output == STANDARD_OUTPUT:
        raise click.UsageError("-o names a file: arrays are not written to standard output")
    program = load(spec, sets)
    require(program, "data")
    dataset, warnings = load_checked(program, spec.parent, dtype)
    print_diagnostics(warnings)
    path = output or Path(f"{program.name}_data.npz")
    with writing(path):
        write_prepared(dataset, path)
    shapes = {
        f"{part}/{name}": [str(array.dtype), list(array.shape)]
        for part, arrays in read_prepared(path).items()
        for name, array in arrays.items()
    }
    if as_json:
        print_json({"file": str(path), "arrays": shapes})
        return
    screen = console()
    screen.print(f"{path}", markup=False, soft_wrap=True)
    for name, (kind, shape) in shapes.items():
        screen.print(f"  {name:<24} {kind} {shape}", markup=False)

"""specc build."""

from __future__ import annotations

from pathlib import Path

import click

from specc.cli import options
from specc.cli.files import STANDARD_OUTPUT, write_text
from specc.cli.profiling import ProfiledCommand, profile_option
from specc.cli.programs import load
from specc.cli.terminal import print_json


@click.command(cls=ProfiledCommand)
@options.spec_argument
@options.backends_option
@click.option(
    "--output",
    "-o",
    type=options.OUTPUT,
    help="The file (one backend), or the folder; - is standard output. Default: this folder.",
)
@click.option(
    "--only",
    type=click.Choice(["all", "model"]),
    default="all",
    help="model: the model and its parameter loading, for those who bring their own training.",
)
@options.optimize_option
@options.set_option
@options.json_option
@profile_option
def command(
    spec: Path,
    backends: tuple[str, ...],
    output: Path | None,
    only: str,
    optimize: int,
    sets: dict[str, str],
    as_json: bool,
) -> None:
    """Write the generated file of each backend: NAME_BACKEND.py.

    Without --backend all three are written. Nothing is written unless all of them compile.

    \b
    Examples:
      specc build net.yaml
      specc build net.yaml --backend torch -o model.py
      specc build net.yaml --backend torch --only model -o -
      specc build net.yaml --set width=64 -o generated/
      specc build net.yaml --profile
      specc build net.yaml --backend numpy --optimize 0
    """
    from specc.compiler import compile_program

    chosen = backends or options.CORE_BACKENDS
    one_file = output is not None and (output == STANDARD_OUTPUT or output.suffix == ".py")
    if one_file and len(chosen) > 1:
        raise click.UsageError("-o names one file: choose one backend, or name a folder")
    program = load(spec, sets)
    texts = {backend: compile_program(program, backend, only, optimize) for backend in chosen}
    folder = output or Path()
    files = {
        backend: output
        if one_file and output is not None
        else folder / f"{program.name}_{backend}.py"
        for backend in texts
    }
    for backend, text in texts.items():
        write_text(files[backend], text)
    if as_json:
        print_json({"files": {backend: str(path) for backend, path in files.items()}})
    elif output != STANDARD_OUTPUT:
        for path in files.values():
            click.echo(path)

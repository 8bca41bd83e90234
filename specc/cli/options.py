"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from specc.ir.levels import CHOICES, COMPILED_LEVEL, DEFAULT_LEVEL

CORE_BACKENDS = ("numpy", "torch", "tensorflow")


def _pairs(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    found = {}
    for value in values:
        name, equals, setting = value.partition("=")
        if not equals or not name.strip():
            raise click.BadParameter(f"'{value}' is not of the form path=value")
        found[name.strip()] = setting.strip()
    return found


def _backends(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    names = [name.strip() for value in values for name in value.split(",") if name.strip()]
    if values and not names:
        raise click.BadParameter("this names no backend")
    return tuple(dict.fromkeys(names))


FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
OUTPUT = click.Path(path_type=Path, allow_dash=True)

spec_argument = click.argument("spec", type=FILE)
set_option = click.option(
    "--set",
    "sets",
    multiple=True,
    callback=_pairs,
    metavar="PATH=VALUE",
    help="Set any value of the spec by its dotted path, e.g. training.epochs=3. Repeatable.",
)
backends_option = click.option(
    "--backend",
    "--backends",
    "-b",
    "backends",
    multiple=True,
    callback=_backends,
    metavar="NAME",
    help="A backend; repeat it, or separate several by commas.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on standard output."
)
dtype_option = click.option(
    "--dtype", type=click.Choice(["float32", "float64"]), help="The precision to compute in."
)


def optimize_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--optimize, and its highest level by the names that it has in the frameworks."""
    level = click.option(
        "--optimize",
        type=click.IntRange(min(CHOICES), max(CHOICES)),
        default=DEFAULT_LEVEL,
        show_default=True,
        help="; ".join(f"{level}: {meaning}" for level, meaning in CHOICES.items()) + ".",
    )
    compiled = click.option(
        "--compile",
        "--jit",
        "optimize",
        flag_value=COMPILED_LEVEL,
        type=int,
        help=f"Short for --optimize {COMPILED_LEVEL}: torch.compile on PyTorch, XLA on TensorFlow.",
    )
    return level(compiled(command))


part_option = click.option(
    "--part",
    type=click.Choice(["train", "validation", "test"]),
    default="test",
    show_default=True,
    help="The part of the run's own data.",
)
raw_data_option = click.option(
    "--data", type=FILE, help="Other rows: an npz or csv file, unprepared, named as in the spec."
)
unfinished_option = click.option(
    "--unfinished", is_flag=True, help="Where the run is not finished, take its last checkpoint."
)
device_option = click.option(
    "--device", help="Where to run, by the framework's name: cpu, cuda, mps."
)

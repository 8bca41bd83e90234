"""docs/semantics.md names attributes that exist, with the defaults that they have."""

import re
from pathlib import Path

import pytest
import yaml

from specc.data.split import SPLIT
from specc.frontend.training import TRAINING
from specc.ops.losses import LOSSES
from specc.ops.registry import OPS
from specc.training.clipping import CLIPPINGS
from specc.training.initializers import INITIALIZERS
from specc.training.optimizers import OPTIMIZERS
from specc.training.schedules import SCHEDULES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/semantics.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and line.count(" | ") == 4 and "Tested in" not in line
]
TABLES = (OPS, LOSSES, OPTIMIZERS, SCHEDULES, CLIPPINGS, INITIALIZERS)
# 1e-7 is a number in specs, as in YAML 1.2; PyYAML reads it as a word.
NUMBER = re.compile(r"-?\d+(\.\d*)?(e-?\d+)?")


def attributes(kind: str) -> dict:
    if kind in ("training", "split"):
        return {a.name: a for a in (TRAINING if kind == "training" else SPLIT)}
    return {a.name: a for table in TABLES if kind in table for a in table[kind].attributes}


def value(text: str) -> object:
    return float(text) if NUMBER.fullmatch(text) else yaml.safe_load(text)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_defaults_are_as_stated(row: list[str]) -> None:
    _, attribute, *cells, tests = row
    found = re.match(r"`(\w+)\.(\w+)`", attribute)
    if found:
        kind, name = found.groups()
        assert name in attributes(kind), f"{kind} has no {name}"
        for conventions, cell in zip(("keras", "pytorch"), cells, strict=True):
            if stated := re.match(r"`([^`]*)`(?=$|[:,])", cell):
                default = attributes(kind)[name].default_for(conventions)
                assert default == value(stated[1]), conventions
    for test in filter(None, tests.split(", ")):
        assert (ROOT / "tests" / test).exists(), test


def test_every_row_is_read_and_names_a_test() -> None:
    table, _, _ = PAGE.partition("## Which Keras")
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    assert len(ROWS) == sum("Tested in" not in line for line in lines) > 60
    assert all(tests for *_, tests in ROWS)

"""The fuzz target on thousands of inputs, and on all that it ever broke."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.hostile.mutations import mutate, seeds
from tests.hostile.target import exercise

FOUND = sorted((Path(__file__).parent / "found").iterdir())
RESULTS = {"refused", "read", "built"}
"""`exercise` raises whatever else may come of an input."""


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.name)
def test_found(path: Path) -> None:
    assert exercise(path.read_bytes(), path.suffix[1:], thorough=True) in RESULTS


@pytest.mark.parametrize("part", range(8))
def test_mutants(part: int) -> None:
    """The same inputs as ``python -m tests.hostile.fuzz_frontend --plain --seed 0``."""
    specs, results = seeds(), set()
    for index in range(500 * part, 500 * (part + 1)):
        draw = random.Random(f"0/{index}")
        form, text = draw.choice(specs)
        results.add(exercise(mutate(text.encode(), form, draw), form))
    assert results == RESULTS


@pytest.mark.parametrize("form", ["yaml", "specc"])
def test_every_seed(form: str) -> None:
    for kind, text in seeds():
        if kind == form:
            assert exercise(text.encode(), form, thorough=True) in RESULTS

"""A comparison finds every kind of corruption: a check that never fails proves nothing.

Each mutation changes one place in the text of one generated file, which then no longer trains as
the NumPy file does; the comparison has to say so, and to name what went wrong first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from specc.compiler import compile_spec, load_program
from specc.passes.indifferent import indifferent
from specc.runner.compare import compare
from specc.runner.comparison import Comparison, Settings

SPECS = Path(__file__).parent / "specs"
BACKENDS = ("numpy", "torch", "tensorflow")
ROWS, BATCH, STEPS = 20, 8, 4  # past an epoch, whose last batch is a partial one
TOLERANCE = 1e-10


@dataclass(frozen=True)
class Mutation:
    """``old`` becomes ``new`` in the file of ``spec`` for ``backend``, and ``tensor`` is named.

    ``kind`` says as what: an activation, a gradient, a parameter, ...
    """

    what: str
    spec: str
    backend: str
    old: str
    new: str
    kind: str
    tensor: str

    def __str__(self) -> str:
        return f"{self.backend}-{self.what.replace(' ', '_')}"


def mutations() -> Iterator[Mutation]:
    """What ``mutations.txt`` lists."""
    text = (Path(__file__).parent / "mutations.txt").read_text(encoding="utf-8")
    spec = backend = ""
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        if len(lines) == 1:
            spec, backend = lines[0].strip("[]").split()
        elif lines:
            what, _, named = lines[0].partition(": ")
            kind, _, tensor = named.partition(" ")
            old, new = (line[2:] for line in lines[1:])
            yield Mutation(what, spec, backend, old, new, kind, tensor)


Runs = Callable[[str, dict[str, str]], Comparison]


def examples(spec: str) -> dict[str, dict[str, np.ndarray]]:
    """Random inputs and targets, with padding among the words."""
    rng = np.random.default_rng(0)
    if spec == "pictures":
        inputs, target = {"image": rng.standard_normal((ROWS, 7, 6, 2))}, "label"
    elif spec in ("words", "sentences", "pieces"):
        words = rng.integers(1, 9, (ROWS, 6))
        heard = np.arange(6) < rng.integers(1, 7, ROWS)[:, None]
        if spec == "pieces":
            words[:, ::2] *= rng.integers(0, 2, (ROWS, 3))
            inputs = {"words": words, "heard": heard}
        else:
            inputs = {"words": words * heard}
        if spec == "sentences":
            return {"inputs": inputs, "targets": {"tags": rng.standard_normal((ROWS, 6, 2))}}
        return {"inputs": inputs, "targets": {"rating": rng.standard_normal((ROWS, 2))}}
    else:
        inputs, target = {"signal": rng.standard_normal((ROWS, 6, 3))}, "class"
    return {"inputs": inputs, "targets": {target: rng.integers(0, 3, ROWS)}}


@pytest.fixture(scope="module")
def texts() -> Callable[[str, str], str]:
    """The generated files as they should be, each made once."""
    made: dict[tuple[str, str], str] = {}

    def text(spec: str, backend: str) -> str:
        if (spec, backend) not in made:
            made[spec, backend] = compile_spec(SPECS / f"{spec}.yaml", backend=backend)
        return made[spec, backend]

    return text


@pytest.fixture
def run(tmp_path: Path) -> Runs:
    """Compares the given texts of a spec's files."""

    def run(spec: str, files: dict[str, str]) -> Comparison:
        paths = {}
        for name, text in files.items():
            paths[name] = tmp_path / f"{name}.py"
            paths[name].write_text(text, encoding="utf-8")
        found = indifferent(load_program(SPECS / f"{spec}.yaml")[0])
        settings = Settings(BATCH, STEPS, "float64", TOLERANCE, found)
        return compare(paths, examples(spec), settings)

    return run


@pytest.mark.parametrize("spec", sorted(path.stem for path in SPECS.iterdir()))
def test_the_files_as_they_are_train_alike(
    spec: str, texts: Callable[[str, str], str], run: Runs
) -> None:
    found = run(spec, {backend: texts(spec, backend) for backend in BACKENDS})
    assert found.equal, found.first_difference
    assert found.max_relative_difference <= TOLERANCE
    assert all(value > 0 for value in found.steps[-1].losses.values())


@pytest.mark.parametrize("mutation", [*mutations()], ids=str)
def test_a_mutation_is_found(
    mutation: Mutation, texts: Callable[[str, str], str], run: Runs
) -> None:
    text = texts(mutation.spec, mutation.backend)
    assert text.count(mutation.old) == 1, f"{mutation.old!r} must stand in the file exactly once"
    mutated = text.replace(mutation.old, mutation.new)
    found = run(mutation.spec, {"numpy": texts(mutation.spec, "numpy"), "mutated": mutated})
    assert not found.equal
    first = found.first_difference
    assert first is not None and first.difference > TOLERANCE
    assert (first.kind, first.tensor) == (mutation.kind, mutation.tensor), str(first)

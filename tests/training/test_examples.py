"""Every example trains the same on every backend, in both of its forms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from specc.compiler import load_program
from specc.frontend.formatter import to_dsl, to_yaml
from specc.frontend.reader import read_tree
from specc.ir.text import program_text
from specc.testing import assert_equivalent

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@dataclass(frozen=True)
class Run:
    """How far an example is trained: past an epoch, whose last batch is a partial one."""

    samples: int
    batch_size: int
    steps: int
    sets: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        per_epoch = -(-self.samples // self.batch_size)
        assert self.samples % self.batch_size and self.steps > per_epoch


# What takes longer gets fewer samples, or a smaller network.
RUNS = {
    "image_classification": Run(samples=40, batch_size=16, steps=8),
    "mnist_cnn": Run(samples=40, batch_size=16, steps=8),
    "text_lstm": Run(
        samples=60,
        batch_size=16,
        steps=10,
        sets=(("parameters.vocabulary", "300"), ("parameters.length", "12")),
    ),
}
USUAL = Run(samples=150, batch_size=32, steps=14)


@pytest.mark.parametrize("spec", EXAMPLES, ids=lambda path: path.stem)
def test_trains_the_same_everywhere(spec: Path) -> None:
    run = RUNS.get(spec.stem, USUAL)
    sets = {"training.batch_size": str(run.batch_size), **dict(run.sets)}
    found = assert_equivalent(spec, steps=run.steps, samples=run.samples, sets=sets)
    assert len(found.steps) == run.steps and found.steps[-1].epoch > 0
    assert found.max_relative_difference <= 1e-10
    assert found.max_statistics_difference <= 1e-10


@pytest.mark.parametrize("spec", EXAMPLES, ids=lambda path: path.stem)
def test_both_forms_are_one_program(spec: Path, tmp_path: Path) -> None:
    wanted = program_text(load_program(spec)[0])
    language = tmp_path / f"{spec.stem}.specc"
    language.write_text(to_dsl(read_tree(spec)), encoding="utf-8")
    assert program_text(load_program(language)[0]) == wanted
    back = tmp_path / f"{spec.stem}.yaml"
    back.write_text(to_yaml(read_tree(language)), encoding="utf-8")
    assert program_text(load_program(back)[0]) == wanted
    assert to_dsl(read_tree(back)) == language.read_text(encoding="utf-8")

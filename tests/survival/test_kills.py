"""Interrupted and uninterrupted trainings end alike, to the bit, wherever they are interrupted.

`campaign.py` does many more of the trials.
"""

from __future__ import annotations

import random

import numpy as np
import pytest

from specc.runner.experiment import Experiment
from specc.runner.process import Team
from tests.survival.trials import EPOCHS, prepare, reference, trial

BACKENDS = ("numpy", "torch", "tensorflow")


@pytest.mark.parametrize("conventions", ["keras", "pytorch"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_training_may_stop_after_every_single_step(tmp_path, backend, conventions):
    """A worker that is told to stop from the beginning makes one step at a time."""
    spec = prepare(tmp_path, epochs=3, conventions=conventions)
    experiment = Experiment.prepare(spec, {backend: tmp_path})
    plan = {"epochs": 3, "batch_size": 16, "key": "k", "every": {}}
    ends, stops = [], []
    with Team(experiment.sources) as team:
        worker = team.workers[backend]
        worker.ask("data", parts=experiment.parts)
        for name in ("whole", "in steps"):
            folder = tmp_path / name
            folder.mkdir()
            while True:
                worker.ask("build")
                reached = worker.ask("train", folder=str(folder), **plan)
                if not reached["stopped"]:
                    break
                stops.append(reached["step"])
            ends.append((worker.ask("parameters"), worker.ask("state"), reached["history"]))
            worker.stop()
    steps = experiment.steps_per_epoch
    assert steps == 4
    # A step that ends an epoch is followed by its validation, and the training stops after that.
    assert stops == list(range(1, 3 * steps + 1))
    for one, other in zip(*(end[:2] for end in ends), strict=True):
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name], other[name]) for name in one)
    assert ends[0][2] == ends[1][2]
    assert len(ends[0][2]["val_loss"]) == 3


@pytest.mark.parametrize(
    ("backends", "trials"),
    [(("numpy",), 4), (("torch",), 2), (("tensorflow",), 1), (("numpy", "torch"), 1)],
)
def test_a_training_that_is_killed_at_any_moment_goes_on(tmp_path, backends, trials):
    spec = prepare(tmp_path, min(EPOCHS[name] for name in backends) // 4)
    wanted = reference(spec, backends)
    generator = random.Random(len(backends))
    for _ in range(trials):
        found = trial(spec, backends, wanted, generator)
        assert not found.problems, found

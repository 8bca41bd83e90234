"""What counts as a difference: bounds, not-a-numbers, missing tensors, and what is left out."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from specc.fuzz.case import Case
from specc.fuzz.check import _compile
from specc.fuzz.crew import Crash, Crew, Variant
from specc.fuzz.data import batches, data_of
from specc.fuzz.judge import Finding, distance, judge
from specc.fuzz.spec import accepted
from specc.ir.graph import Program

SPEC: dict[str, Any] = {
    "specc": 1,
    "name": "case",
    "dtype": "float64",
    "inputs": {"x": [4]},
    "targets": {"t": {"shape": [], "dtype": "int"}},
    "layers": [
        {"name": "a", "dense": {"units": 5}},
        {"name": "n", "batch_norm": {}},
        {"name": "y", "dense": {"units": 3, "activation": "softmax"}},
    ],
    "outputs": ["y"],
    "training": {
        "loss": {"sparse_categorical_crossentropy": {"prediction": "y", "target": "t"}},
        "optimizer": {"sgd": {"learning_rate": 0.1}},
        "metrics": ["accuracy"],
    },
}
Results = dict[str, Any]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Program, Results, dict[str, Any]]:
    """The program, what its NumPy file computes, and the inputs."""
    folder: Path = tmp_path_factory.mktemp("judge")
    found = accepted(SPEC)
    assert found is not None
    case = Case(0, 0, SPEC)
    data = data_of(found[0], "0/0", case.rows + case.short, False)
    request = {"traced": False, "data": data, "steps": batches(case.rows, case.short)}
    with Crew(("numpy",)) as crew:
        results = crew.examine(_compile(found[0], folder, ("numpy",)), request)
    first = next(iter(results.values()))
    assert not isinstance(first, Crash)
    return found[0], first, data["inputs"]


def failures(ran: Any, change: Callable[[Results], None]) -> list[Finding]:
    """What is found when one of two equal results is changed."""
    program, results, inputs = ran
    other = copy.deepcopy(results)
    change(other)
    both = {Variant("numpy", 1): results, Variant("torch", 1): other}
    return [each for each in judge(program, both, inputs) if not each.share <= 1]


def test_equal_results_are_equal(ran: Any) -> None:
    assert failures(ran, lambda results: None) == []


def scaled(part: str, name: str, factor: float) -> Callable[[Results], None]:
    def change(results: Results) -> None:
        results[part] = {**results[part], name: results[part][name] * factor}

    return change


@pytest.mark.parametrize("part", ["inference", "training", "gradients"])
def test_differences_are_relative_to_the_tensor(part: str, ran: Any) -> None:
    name = "y.kernel" if part == "gradients" else "y"
    assert failures(ran, scaled(part, name, 1 + 1e-13)) == []
    found = failures(ran, scaled(part, name, 1 + 1e-9))
    assert found[0].tensor == name
    assert found[0].check == part.removesuffix("s")


def test_noise_beside_the_whole_gradient_is_none(ran: Any) -> None:
    def change(size: float) -> Callable[[Results], None]:
        def add(results: Results) -> None:
            results["gradients"] = {
                **results["gradients"],
                "n.beta": results["gradients"]["n.beta"] + size,
            }

        return add

    assert failures(ran, change(1e-15)) == []
    assert failures(ran, change(1e-9))


def test_a_proven_noise_is_not_judged_and_others_are(ran: Any) -> None:
    """a.bias stands before a batch norm: its gradient is zero but for rounding."""
    assert failures(ran, scaled("gradients", "a.bias", 3.0)) == []
    assert failures(ran, scaled("gradients", "a.kernel", 3.0))


def test_initial_values_are_equal_to_the_last_bit(ran: Any) -> None:
    found = failures(ran, scaled("initial", "a.kernel", 1 + 1e-15))
    assert found[0].check == "initial"


def test_steps_are_measured_by_the_way(ran: Any) -> None:
    def moved(share: float) -> Callable[[Results], None]:
        def change(results: Results) -> None:
            start, step = results["initial"]["y.kernel"], results["steps"][0]
            way = step["y.kernel"] - start
            results["steps"] = [{**step, "y.kernel": start + way * (1 + share)}]
            results["steps"] += ran[1]["steps"][1:]

        return change

    assert failures(ran, moved(1e-13)) == []
    (found, *_) = failures(ran, moved(1e-8))
    assert (found.check, found.tensor) == ("step 0", "y.kernel")


def test_a_running_statistic_is_judged(ran: Any) -> None:
    def change(results: Results) -> None:
        last = results["steps"][-1]
        moved = {**last, "n.moving_variance": last["n.moving_variance"] * (1 + 1e-6)}
        results["steps"] = [*results["steps"][:-1], moved]
        results["resumed"] = moved

    (found,) = failures(ran, change)
    assert (found.check, found.tensor) == ("step 4", "n.moving_variance")


def test_one_that_is_not_a_number_differs(ran: Any) -> None:
    assert failures(ran, scaled("training", "y", np.nan))
    assert failures(ran, scaled("gradients", "y.kernel", np.inf))


def test_those_that_are_not_numbers_on_both_sides_are_the_same() -> None:
    one, other = np.array([np.nan, np.inf, 1.0]), np.array([np.nan, np.inf, 1.5])
    assert distance(one, other) == 0.5
    assert distance(one, np.array([np.nan, -np.inf, 1.0])) == np.inf
    assert distance(one, np.array([1.0, np.inf, 1.0])) == np.inf


def test_a_missing_tensor_and_a_wrong_shape_differ(ran: Any) -> None:
    def without(results: Results) -> None:
        results["gradients"] = {k: v for k, v in results["gradients"].items() if k != "y.bias"}

    def narrow(results: Results) -> None:
        results["training"] = {**results["training"], "n": results["training"]["n"][:, :1]}

    assert failures(ran, without)[0].tensor == "y.bias"
    assert failures(ran, narrow)[0].check == "shape"


def test_a_step_that_was_not_resumed_differs(ran: Any) -> None:
    found = failures(ran, scaled("resumed", "a.kernel", 1 + 1e-15))
    assert [each.check for each in found] == ["resumed"]


def test_a_loss_that_moves_parameters_differs(ran: Any) -> None:
    found = failures(ran, scaled("untouched", "a.kernel", 1 + 1e-15))
    assert [each.check for each in found] == ["untouched"]


def test_an_accuracy_is_judged(ran: Any) -> None:
    def wrong(results: Results) -> None:
        results["scores"] = {**results["scores"], "accuracy": 2.0}

    assert [each.tensor for each in failures(ran, wrong)] == ["accuracy"]


def test_exact_results_are_never_excused(ran: Any) -> None:
    for part in ("initial", "untouched", "resumed"):
        assert failures(ran, scaled(part, "a.kernel", 1 + 1e-15))[0].exact
    assert not failures(ran, scaled("gradients", "y.kernel", 2.0))[0].exact

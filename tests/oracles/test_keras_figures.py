"""What docs/semantics.md says of the exactness of Keras' backends is what they give."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PAGE = (Path(__file__).parents[2] / "docs/semantics.md").read_text(encoding="utf-8")
SECTION = PAGE[PAGE.index("## Which Keras to compare with") :]
EXACT = 1e-14
# (backend, figure): how the page states it. What is measured is within a factor of 2 of that.
STATED = {
    ("tensorflow", "leaky_relu"): "leaky_relu (1.5e-8",
    ("tensorflow", "attention"): "attention (9e-9)",
    ("tensorflow", "gelu"): "gelu (1.6e-9)",
    ("tensorflow", "l2"): "l2 penalty (2.2e-8",
    ("tensorflow", "momentum"): "off by 1.9e-7 of the way",
    ("torch", "attention"): "attention by 1e-7",
    ("torch", "trained"): "parameters by 3e-8",
    ("jax", "attention"): "attention by 1e-7",
    ("jax", "attention_patched"): "attention on JAX (7e-8)",
    ("jax", "trained"): "parameters by 3e-8",
}

Figures = dict[str, dict[str, Any]]


def measure(backend: str, **environment: str) -> dict[str, Any]:
    own = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("keras_figures.py"))],
        env={**os.environ, **own, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def figures() -> Figures:
    return {name: measure(name, JAX_ENABLE_X64="1") for name in ("tensorflow", "torch", "jax")}


@pytest.mark.parametrize(("backend", "name"), STATED)
def test_figures_are_as_stated(figures: Figures, backend: str, name: str) -> None:
    stated = STATED[backend, name]
    assert stated in SECTION
    number = next(float(word.strip("()")) for word in stated.split() if "e-" in word)
    assert number / 2 <= figures[backend][name] <= number * 2


def test_python_numbers_pass_through_float32_on_tensorflow_alone(figures: Figures) -> None:
    assert figures["tensorflow"]["cast"] == 0.8999999761581421
    assert str(figures["tensorflow"]["cast"]) in SECTION
    for backend in ("torch", "jax"):
        found = figures[backend]
        assert found["cast"] == 0.9
        assert max(found[name] for name in ("leaky_relu", "gelu", "l2", "momentum")) < EXACT


def test_what_returns_float32(figures: Figures) -> None:
    """And no longer does with the line that the page gives."""
    assert (figures["torch"]["tanh"], figures["torch"]["divide_no_nan"]) == ("float64", "float32")
    assert (figures["jax"]["tanh"], figures["jax"]["divide_no_nan"]) == ("float32", "float64")
    assert "`tanh` on JAX, `divide_no_nan` on PyTorch" in SECTION
    for backend in ("torch", "jax"):
        for name in ("tanh", "divide_no_nan"):
            assert figures[backend][f"{name}_patched"] == "float64"
    assert figures["torch"]["attention_patched"] < EXACT


def test_jax_needs_its_64_bits(figures: Figures) -> None:
    assert figures["jax"]["dtype"] == "float64"
    assert measure("jax", JAX_ENABLE_X64="0")["dtype"] == "float32"


def test_sums_along_the_wrong_axis_on_tensorflow(figures: Figures) -> None:
    assert figures["tensorflow"]["add_as_large_as_the_batch"] > 0.1
    assert max(figures[name]["add_as_large_as_the_batch"] for name in ("torch", "jax")) < EXACT


def test_batch_norm_and_padded_averages_on_torch(figures: Figures) -> None:
    assert figures["torch"]["variance_at_10000"] == 0
    assert figures["torch"]["padded_average"] > 0.1
    for backend in ("tensorflow", "jax"):
        assert figures[backend]["variance_at_10000"] == 1.25
        assert figures[backend]["padded_average"] < EXACT


def test_probabilities_are_clipped_and_logits_are_not(figures: Figures) -> None:
    for found in figures.values():
        assert found["clipped"] == pytest.approx(-np.log(1e-7), rel=1e-7)
        assert found["one_hot"] == pytest.approx(-np.log(1e-7), rel=1e-7)
        assert found["from_logits"] == 1000
    assert figures["torch"]["saturated_gradient"] == 0
    for backend in ("torch", "jax"):
        assert figures[backend]["sparse"] == figures[backend]["one_hot"]
    # Clipped to 1e-7 first, and divided by the sum of 0.5 then.
    assert figures["tensorflow"]["sparse"] == pytest.approx(-np.log(2e-7), rel=1e-7)
    assert figures["tensorflow"]["logits_gradient"] > 0.1


def test_the_second_moment_of_a_row_that_is_read_twice(figures: Figures) -> None:
    """(1 + 2)^2, which Keras on TensorFlow takes for 1^2 + 2^2."""
    assert [figures[name]["second_moment"] for name in ("tensorflow", "torch", "jax")] == [5, 9, 9]

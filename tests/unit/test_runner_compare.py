"""compare: equal files pass, and each kind of corruption is found and named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from specc.diagnostics import SpecError
from specc.runner.compare import compare
from specc.runner.comparison import Settings
from specc.runner.lockstep import compare_in_lock_step
from specc.runner.process import Worker
from specc.testing.equivalence import failure_table

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="module")
def train() -> dict[str, dict[str, np.ndarray]]:
    generator = np.random.default_rng(3)
    x = generator.standard_normal((22, 4))
    return {"inputs": {"x": x}, "targets": {"y": np.sin(x[:, :3])}}


def corrupted(tmp_path: Path, name: str, old: str, new: str) -> Path:
    text = (FIXTURES / name).read_text()
    assert text.count(old) == 1
    path = tmp_path / f"corrupted_{name}"
    path.write_text(text.replace(old, new))
    return path


def test_equal_files_are_equal_across_epochs_and_partial_batches(train):
    sources = {"numpy": FIXTURES / "tiny_numpy.py", "torch": FIXTURES / "tiny_torch.py"}
    seen = []
    found = compare(sources, train, Settings(8, 9, tolerance=1e-10), seen.append)
    assert found.equal
    assert found.max_relative_difference < 1e-13
    assert [step.epoch for step in seen] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert found.steps[-1].losses["torch"] < found.steps[0].losses["torch"]
    assert set(found.steps[0].differences) == {
        "hidden.kernel",
        "hidden.bias",
        "scores.kernel",
        "scores.bias",
    }
    assert found.environment["numpy"]["numpy"] == np.__version__


@pytest.mark.parametrize(
    ("old", "new", "kind", "tensor"),
    [
        ("SLOPE = 1.0", "SLOPE = 1.0 + 1e-8", "activation", "hidden"),
        ("RATE = 0.1", "RATE = 0.1 + 1e-9", "parameter", "hidden.kernel"),
        ('": d_scores.sum(0)', '": d_scores[1:].sum(0)', "gradient", "scores.bias"),
        ("np.mean((scores - y) ** 2))", "np.mean((scores - y) ** 2) + 1e-8)", "loss", ""),
        ("((4, 5)) / 2", "((4, 5)) / 2.0000001", "initial_parameter", "hidden.kernel"),
        ("key=[seed, epoch]", "key=[seed, epoch + 1]", "batch_order", "of epoch 0"),
    ],
)  # fmt: skip
def test_a_corruption_is_found_and_named(tmp_path, train, old, new, kind, tensor):
    bad = corrupted(tmp_path, "tiny_numpy.py", old, new)
    sources = {"good": FIXTURES / "tiny_numpy.py", "bad": bad}
    found = compare(sources, train, Settings(8, 4, tolerance=1e-10))
    assert not found.equal
    first = found.first_difference
    assert (first.kind, first.tensor, first.step) == (kind, tensor, 0)
    assert first.backends == ("good", "bad")


def test_a_difference_of_a_later_step_is_found_at_its_step(tmp_path, train):
    bad = corrupted(
        tmp_path, "tiny_numpy.py", "        self.count += 1\n", "        self.count += 1\n"
        "        if self.count == 4:\n            self.model['scores.bias'] += 1e-6\n",
    )  # fmt: skip
    sources = {"good": FIXTURES / "tiny_numpy.py", "bad": bad}
    first = compare(sources, train, Settings(8, 6, tolerance=1e-10)).first_difference
    assert (first.kind, first.tensor, first.step) == ("parameter", "scores.bias", 3)


def test_a_difference_that_only_inference_has_is_found(tmp_path, train):
    old = 'return {"scores": forward(model, cast(model, inputs["x"]))[1]}'
    bad = corrupted(tmp_path, "tiny_numpy.py", old, old.replace("[1]}", "[1] + 1e-6}"))
    sources = {"good": FIXTURES / "tiny_numpy.py", "bad": bad}
    found = compare(sources, train, Settings(8, 2, tolerance=1e-10))
    first = found.first_difference
    assert (first.kind, first.tensor, first.step) == ("prediction", "scores", 1)
    assert "prediction scores" in failure_table(found)


def test_an_indifferent_tensor_is_listed_and_not_judged(tmp_path, train):
    bad = corrupted(
        tmp_path, "tiny_numpy.py", "        self.count += 1\n",
        "        self.model['scores.bias'] = self.model['scores.bias'] * 1.01\n",
    )  # fmt: skip
    sources = {"good": FIXTURES / "tiny_numpy.py", "bad": bad}
    settings = Settings(8, 1, tolerance=1e-10, indifferent=("scores.bias",))
    found = compare(sources, train, settings)
    assert found.equal
    assert found.to_json()["indifferent"] == ["scores.bias"]
    assert found.steps[0].indifferent["scores.bias"] > 1e-3


def test_a_run_that_breaks_down_on_one_side_is_infinitely_different(tmp_path, train):
    bad = corrupted(tmp_path, "tiny_numpy.py", "RATE = 0.1", "RATE = float('nan')")
    sources = {"good": FIXTURES / "tiny_numpy.py", "bad": bad}
    found = compare(sources, train, Settings(8, 2, tolerance=1e-10))
    assert found.to_json()["max_relative_difference"] == "inf"
    assert found.first_difference.kind == "parameter"


def test_float32_in_lock_step_stays_at_rounding_level(train):
    sources = {"numpy": FIXTURES / "tiny_numpy.py", "torch": FIXTURES / "tiny_torch.py"}
    found = compare_in_lock_step(sources, train, Settings(8, 7, "float32", 1e-5))
    assert found.equal
    assert 1e-9 < found.max_gradient_error < 1e-6
    assert 0 < found.updates["torch"] < 1e-4


def test_a_file_that_imports_specc_is_refused(tmp_path):
    path = tmp_path / "dependent.py"
    path.write_text("import specc.diagnostics\n")
    with pytest.raises(SpecError, match="E1002.*must not import specc"), Worker("numpy", path) as w:
        w.wait()


def test_a_missing_framework_says_how_to_get_it(tmp_path):
    path = tmp_path / "net.py"
    path.write_text("raise ModuleNotFoundError('none', name='tensorflow.keras')\n")
    with (
        pytest.raises(SpecError, match=r"E1001.*\n.*specc\[tensorflow\]"),
        Worker("tensorflow", path) as w,
    ):
        w.wait()  # fmt: skip


def test_a_process_that_dies_shows_what_it_printed_last(tmp_path):
    path = tmp_path / "net.py"
    path.write_text("import os, sys\nprint('out of luck', flush=True)\nos._exit(9)\n")
    with (
        pytest.raises(SpecError, match=r"(?s)ended with code 9.*out of luck"),
        Worker("numpy", path) as w,
    ):
        w.wait()  # fmt: skip

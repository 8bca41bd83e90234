"""train, evaluate, predict, compare, data and the pytest plug-in on a small spec."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from specc.cli.boundary import guarded
from specc.cli.group import cli
from specc.testing import assert_equivalent

SPEC = """\
specc: 1
name: curve
seed: 3
inputs: {x: {shape: [3]}}
targets: {y: {shape: [1]}}
layers:
  - dense: {units: 6, activation: tanh}
  - {name: out, dense: {units: 1}}
outputs: [out]
training:
  loss: {mean_squared_error: {prediction: out, target: y}}
  optimizer: {sgd: {learning_rate: 0.1}}
  metrics: [mean_absolute_error]
  epochs: 3
  batch_size: 16
data:
  source: npz
  path: curve.npz
  split: {validation: 0.1, test: 0.2}
  prepare: {x: [standardize]}
"""


@pytest.fixture
def spec(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(5)
    x = 3 + 2 * generator.standard_normal((60, 3))
    np.savez(tmp_path / "curve.npz", x=x, y=np.sin(x[:, :1]))
    (tmp_path / "curve.yaml").write_text(SPEC)
    return "curve.yaml"


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert guarded(cli, arguments) == code, capsys.readouterr().err
    return capsys.readouterr().out


def test_a_run_can_be_evaluated_repeated_and_used(spec, capsys):
    found = json.loads(run(capsys, "train", spec, "--json"))
    trained = found["backends"]["numpy"]
    assert len(trained["history"]["loss"]) == 3
    folder = Path("runs/curve")
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "curve_numpy.py",
        "fitted.json",
        "history.json",
        "run.json",
        "spec.yaml",
        "weights.safetensors",
    }
    assert json.loads((folder / "history.json").read_text()) == trained["history"]
    assert set(load_file(folder / "weights.safetensors")) == {
        "dense.kernel",
        "dense.bias",
        "out.kernel",
        "out.bias",
    }
    scored = json.loads(run(capsys, "evaluate", str(folder), "--json"))
    assert scored["scores"] == trained["test"]
    # The resolved spec in the run is a spec: trained again it gives the same history.
    (Path("again.yaml")).write_text((folder / "spec.yaml").read_text())
    again = json.loads(run(capsys, "train", "again.yaml", "--json"))
    assert again["backends"]["numpy"]["history"] == trained["history"]


def test_new_rows_are_prepared_as_the_training_rows_were(spec, capsys):
    run(capsys, "train", spec, "--epochs", "1", "--json")
    with np.load("curve.npz") as archive:
        np.savez("some.npz", x=archive["x"][:4], y=archive["y"][:4])
    found = json.loads(run(capsys, "predict", "runs/curve", "--data", "some.npz"))
    assert np.shape(found["out"]) == (4, 1)
    run(capsys, "predict", "runs/curve", "--data", "some.npz", "-o", "predictions.npz")
    with np.load("predictions.npz") as archive:
        assert archive["out"].tolist() == found["out"]
    scores = json.loads(run(capsys, "evaluate", "runs/curve", "--data", "some.npz", "--json"))
    with np.load("some.npz") as archive:
        error = float(np.mean((np.array(found["out"]) - archive["y"]) ** 2))
    assert scores["scores"]["loss"] == pytest.approx(error, rel=1e-5)


def test_an_earlier_run_is_not_lost(spec, capsys):
    run(capsys, "train", spec, "--epochs", "1", "--json")
    before = Path("runs/curve/run.json").read_text()
    assert guarded(cli, ["train", spec]) == 1
    assert "error[E1004]" in capsys.readouterr().err
    assert Path("runs/curve/run.json").read_text() == before
    run(capsys, "train", spec, "--epochs", "2", "--overwrite", "--json")
    assert json.loads(Path("runs/curve/run.json").read_text())["settings"] == {
        "training.epochs": "2"
    }


def test_backends_are_shown_side_by_side(spec, capsys):
    shown = run(capsys, "train", spec, "--backend", "numpy,torch", "--epochs", "2")
    assert "numpy" in shown.splitlines()[0]
    assert "torch" in shown.splitlines()[0]
    assert "largest difference of a parameter" in shown
    for name in ("numpy", "torch"):
        assert f"runs/curve/{name}/curve_{name}.py" in shown
    assert guarded(cli, ["evaluate", "runs/curve"]) == 1
    assert "did you mean runs/curve/numpy?" in capsys.readouterr().err


def test_compare_passes_prints_and_reports(spec, capsys):
    options = ("compare", spec, "--backends", "numpy,torch", "--steps", "7", "--tolerance", "1e-10")
    found = json.loads(run(capsys, *options, "--report", "report.html", "--json"))
    assert found["backends"] == ["numpy", "torch"]
    assert found["steps"] == 7
    assert found["dtype"] == "float64"
    assert found["max_relative_difference"] < 1e-10
    assert found["max_loss_difference"] < 1e-10
    assert found["first_difference"] is None
    assert "Equal at every step" in Path("report.html").read_text()


def test_compare_fails_with_one_where_the_tolerance_is_too_small_for_rounding(spec, capsys):
    options = ("compare", spec, "-b", "numpy,torch", "--steps", "7", "--tolerance", "1e-20")
    shown = run(capsys, *options, code=1)
    assert "first difference: step 0" in shown


def test_compare_in_lock_step_judges_gradients_by_float64(spec, capsys):
    options = ("compare", spec, "-b", "numpy,torch", "--steps", "5", "--dtype", "float32")
    options += ("--lock-step", "--tolerance")
    found = json.loads(run(capsys, *options, "1e-5", "--json"))
    assert 0 < found["max_relative_difference"] < 1e-5 and found["mode"] == "lock_step"
    shown = run(capsys, *options, "1e-20", code=1)
    assert "outside 1e-20" in shown and "median gradient error of float32" in shown
    for name in ("dense.kernel", "dense.bias", "out.kernel", "out.bias"):
        assert name in shown


def test_backends_say_whether_their_files_can_run_here(capsys):
    found = {each["name"]: each for each in json.loads(run(capsys, "backends", "--json"))}
    assert {"numpy", "torch", "tensorflow"} <= found.keys()
    assert [found[name]["missing"] for name in ("numpy", "torch")] == [{}, {}]
    assert found["torch"]["installed"].keys() == {"torch"}
    assert "NumPy" in run(capsys, "backends")


def test_a_framework_that_is_missing_is_named(spec, capsys, monkeypatch):
    import specc.cli.backends as listing

    monkeypatch.setattr(listing, "find_spec", lambda module: None)
    found = {each["name"]: each for each in json.loads(run(capsys, "backends", "--json"))}
    assert "torch" in found["torch"]["missing"] and found["torch"]["installed"] == {}
    assert "pip install" in run(capsys, "backends")


def test_compare_needs_something_to_compare(spec, capsys):
    assert guarded(cli, ["compare", spec, "-b", "numpy"]) == 2


def test_data_are_written_as_a_generated_file_reads_them(spec, capsys):
    run(capsys, "data", spec, "-o", "prepared.npz")
    run(capsys, "build", spec, "--backend", "numpy")
    command = [sys.executable, "curve_numpy.py", "train", "prepared.npz", "--epochs", "1"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    with np.load("prepared.npz") as archive:
        assert archive["train/x"].shape == (42, 3)
        assert abs(archive["train/x"].mean()) < 1e-6


def test_build_writes_all_or_nothing(spec, capsys):
    assert guarded(cli, ["build", spec, "-b", "numpy,nowhere", "-o", "out"]) == 1
    assert "nowhere" in capsys.readouterr().err
    assert not Path("out").exists()
    assert guarded(cli, ["build", spec, "-b", "numpy,torch", "-o", "net.py"]) == 2
    assert run(capsys, "build", spec, "-b", "numpy", "-o", "net.py") == "net.py\n"
    assert run(capsys, "build", spec, "-b", "numpy", "-o", "-") == Path("net.py").read_text()


def test_a_spec_without_data_says_what_is_missing(spec, capsys):
    Path(spec).write_text(SPEC.partition("data:")[0])
    assert guarded(cli, ["train", spec]) == 1
    assert "error[E1007]: the spec has no data section" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["nan", "-1", "much"])
def test_a_tolerance_that_is_none_is_refused(text, tmp_path):
    if text != "much":
        with pytest.raises(ValueError, match="is no tolerance"):
            assert_equivalent("net.yaml", tolerance=float(text))
    run = [sys.executable, "-m", "pytest", "--collect-only", f"--specc-tolerance={text}"]
    ended = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 4
    assert "--specc-tolerance" in ended.stderr


def test_assert_equivalent_returns_figures_or_names_the_first_tensor(spec):
    found = assert_equivalent(spec, ("numpy", "torch"), steps=4)
    assert found.max_relative_difference < 1e-10
    with pytest.raises(AssertionError, match="first difference: step 0: .*\n\ntensor"):
        assert_equivalent(spec, ("numpy", "torch"), steps=4, tolerance=1e-20)


def test_pytest_collects_specs_where_it_is_asked_to(spec):
    Path("test_own.py").write_text("def test_own():\n    pass\n")
    Path("part.yaml").write_text("blocks: {}\n")
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    options = ["--specc-backends", "numpy,torch", "--specc-steps", "3"]

    def ran(*arguments: str) -> str:
        done = subprocess.run([*pytest_, *arguments], capture_output=True, text=True, check=False)
        return done.stdout

    assert "1 passed" in ran()
    assert "1 passed" in ran("--specc", ".", *options)
    assert "2 passed" in ran("test_own.py", "--specc", spec, *options)
    Path(spec).write_text(SPEC.replace("tanh", "tanhh"))
    assert "there is no activation 'tanhh'" in ran("--specc", spec, *options)


def test_the_unused_plug_in_imports_nothing():
    code = "import sys, pytest; a = set(sys.modules); import specc.testing.pytest_plugin"
    code += "; print(*sorted(set(sys.modules) - a))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["specc", "specc.testing", "specc.testing.pytest_plugin"]

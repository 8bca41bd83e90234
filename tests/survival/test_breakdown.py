"""A training that breaks down: the first step, the first tensor, the likely cause, the place."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from specc.cli.boundary import guarded
from specc.cli.group import cli
from specc.compiler import load_program
from specc.runner import checkpoint
from specc.runner.diverged import diagnosis, unexplained

SPEC = """\
specc: 1
name: net
seed: 3
inputs: {{x: {{shape: {shape}}}}}
targets: {{y: {{shape: [1]}}}}
layers: {layers}
outputs: [out]
training:
  loss: {{mean_squared_error: {{prediction: out, target: y}}}}
  optimizer: {{sgd: {{learning_rate: {rate}}}}}
  epochs: 50
  batch_size: 16
data: {{source: npz, path: net.npz}}
allow: {allow}
"""
DENSE = "[{dense: {units: 6, activation: relu}}, {name: out, dense: {units: 1}}]"
RNN = (
    "[{name: memory, simple_rnn: {units: 30, activation: relu, return_sequences: false}}, "
    "{name: out, dense: {units: 1}}]"
)


def write(
    x: np.ndarray, layers: str = DENSE, rate: float = 0.01, y: np.ndarray | None = None
) -> None:
    np.savez("net.npz", x=x, y=np.ones((len(x), 1)) if y is None else y)
    shape = list(x.shape[1:])
    allow = "[learning_rate, unscaled_input]"
    Path("net.yaml").write_text(SPEC.format(shape=shape, layers=layers, rate=rate, allow=allow))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train(capsys, *options: str) -> str:
    """What a training that breaks down says."""
    code = guarded(cli, ["train", "net.yaml", *options])
    told = capsys.readouterr().err
    assert code == 1, told
    return told[told.index("error[E1011]") :]


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).standard_normal(shape)


@pytest.mark.parametrize("backend", ["numpy", "torch", "tensorflow"])
def test_the_learning_rate_on_every_backend(capsys, backend):
    write(random(60, 3), rate=30.0)
    told = train(capsys, "--backend", backend)
    assert f"training on {backend} broke down at step " in told
    assert "the learning rate of 30 is too large: the loss grew from " in told
    assert "help: divide the learning rate by 10" in told
    assert not Path("runs").exists()


def test_the_step_is_the_first_one_however_late_it_is_noticed(capsys):
    """Step by step by hand, as the runner does not do it."""
    write(random(60, 3), rate=30.0)
    told = train(capsys)
    assert guarded(cli, ["build", "net.yaml", "-b", "numpy", "-o", "net.py"]) == 0
    script = """if True:
        import numpy as np, net
        model = net.build(); trainer = net.Trainer(model)
        arrays = np.load("net.npz")
        for step in range(1000):
            order = net.batch_order(net.SEED, step // 4, 60)
            rows = order[step % 4 * 16:][:16]
            loss = trainer.step({"x": arrays["x"][rows]}, {"y": arrays["y"][rows]})
            after = net.get_parameters(model)
            if not (np.isfinite(loss) and all(np.isfinite(a).all() for a in after.values())):
                print(step); break
    """
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert f"broke down at step {int(ran.stdout)}, in epoch {int(ran.stdout) // 4 + 1}:" in told


def test_data_without_scale(capsys):
    write(random(60, 3) * 1e9, rate=0.1)
    told = train(capsys)
    assert "the input 'x' is unscaled: its values go up to " in told
    assert "help: scale it: prepare: {x: [standardize]}" in told


def test_data_that_the_precision_cannot_hold(capsys):
    x = random(60, 3)
    x[7] = 1e300
    write(x)
    told = train(capsys)
    assert "the first that is not finite is the input 'x'" in told
    assert "the data hold values that are not finite as float32" in told


def test_a_recurrent_layer(capsys):
    write(3 * random(60, 60, 3), RNN, rate=0.05, y=random(60, 1) * 50)
    told = train(capsys, "--set", "conventions=pytorch")
    assert "what 'memory' computes over 60 time steps is a product" in told
    assert "clip: {global_norm: 1.0}" in told


def test_what_was_trained_before_is_kept(capsys):
    """The rate rises slowly: there are checkpoints before it is too large."""
    write(random(60, 3))
    text = Path("net.yaml").read_text()
    rate = "{polynomial: {initial_learning_rate: 0.01, end_learning_rate: 100, decay_steps: 100}}"
    Path("net.yaml").write_text(text.replace("learning_rate: 0.01}", f"learning_rate: {rate}}}"))
    told = train(capsys, "--checkpoint-every", "3")
    assert "what was trained is kept in runs/net: " in told
    assert "evaluate and predict take it with --unfinished" in told
    kept = checkpoint.read(Path("runs/net") / checkpoint.NAME)
    assert 0 < kept.step <= int(re.search(r"at step (\d+)", told)[1])
    assert all(np.isfinite(each).all() for each in kept.parameters.values())
    assert guarded(cli, ["evaluate", "runs/net", "--part", "train", "--unfinished"]) == 0


def figures(least: float = -1.0, most: float = 1.0, nan: int = 0, infinite: int = 0) -> dict:
    return {"size": 10, "nan": nan, "infinite": infinite, "least": least, "most": most}


def told_of(**changes: object) -> str:
    """The diagnosis of a report with the changes, for a net of one hidden layer."""
    write(random(60, 3), "[{name: hidden, dense: {units: 6}}, {name: out, dense: {units: 1}}]")
    program, _ = load_program("net.yaml")
    names = ("hidden.kernel", "hidden.bias", "out.kernel", "out.bias")
    report = {
        "step": 9,
        "epoch": 2,
        "loss": 0.5,
        "losses": {"first_step": 0, "lowest": 0.4, "lowest_step": 3, "last": [0.5, 0.5, 0.5]},
        "inputs": {"x": figures()},
        "targets": {"y": figures()},
        "activations": {"out": figures(), "hidden": figures()},
        **{kind: {name: figures() for name in names} for kind in ("gradients", "before", "after")},
        **changes,
    }
    return str(diagnosis(program, "numpy", "float32", report))


def test_tensors_are_looked_at_in_the_order_in_which_they_are_computed():
    bad = figures(nan=2)
    names = ("hidden.kernel", "hidden.bias", "out.kernel", "out.bias")
    gradients = {name: bad if "kernel" in name else figures() for name in names}
    after = dict.fromkeys(names, bad)
    told = told_of(activations={"out": bad, "hidden": bad}, loss=math.nan, gradients=gradients)
    assert "the output of 'hidden' (2 of 10 values)" in told and "{name: hidden" in told
    told = told_of(loss=math.nan, gradients=gradients)
    assert "the first that is not finite" not in told
    told = told_of(gradients=gradients, after=after)
    # The backward pass comes to the last layer first.
    assert "the loss was still 0.5, but the gradient of out.kernel (2 of 10 values)" in told
    told = told_of(after=after)
    assert "the parameter hidden.kernel after the optimizer's step (2 of 10 values)" in told


def test_what_is_left_is_overflow_in_the_layer_with_the_largest_values():
    told = told_of(loss=math.inf, activations={"out": figures(most=3e38), "hidden": figures()})
    assert "those of 'out' go up to 3e+38" in told


def test_the_logarithm_of_zero(capsys):
    """In float32 1 - 1e-12 is 1, so this epsilon keeps no probability away from it."""
    write(np.full((60, 3), 100.0), y=np.zeros((60, 1)))
    text = Path("net.yaml").read_text()
    loss = "{binary_crossentropy: {prediction: out, target: y, epsilon: 1.0e-12}}"
    text = text.replace("{mean_squared_error: {prediction: out, target: y}}", loss)
    ones = "activation: relu, kernel_initializer: ones"
    text = text.replace("units: 1}", f"units: 1, {ones}}}").replace(
        "activation: relu}", f"{ones}}}"
    )
    Path("net.yaml").write_text(text)
    told = train(capsys)
    assert "binary_crossentropy takes the logarithm of a probability" in told
    assert "those of 'out' reach from 1800 to 1800" in told


def test_a_device_that_does_not_compute_the_same_twice():
    told = str(unexplained("torch", 120))
    assert "error[E1011]: training on torch broke down before step 120" in told
    assert "the same steps from the last good state stayed finite" in told

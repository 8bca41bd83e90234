"""``build --only model``: the network with its parameters, without the training."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from specc.compiler import compile_spec

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "examples" / "image_classification.yaml"
BACKENDS = ("numpy", "torch", "tensorflow")
SCRIPT = """
import sys
import numpy as np
import model
images = np.linspace(0, 1, 3 * 28 * 28).reshape(3, 28, 28, 1)
net = model.build(dtype="float64")
np.save(sys.argv[1], model.predict(net, {"image": images})["probabilities"])
"""


@pytest.fixture(scope="module")
def predictions(tmp_path_factory):
    found = {}
    for backend in BACKENDS:
        folder = tmp_path_factory.mktemp(backend)
        text = compile_spec(SPEC, backend=backend, only="model")
        (folder / "model.py").write_text(text)
        command = [sys.executable, "-c", SCRIPT, "out.npy"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        found[backend] = np.load(folder / "out.npy"), text
    return found


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_predicts_as_the_others_do(predictions, backend):
    difference = np.abs(predictions[backend][0] - predictions["numpy"][0]).max()
    assert predictions[backend][0].shape == (3, 10)
    assert difference < 1e-14


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_has_no_training(predictions, backend):
    text = predictions[backend][1]
    assert "class Trainer" not in text and "Optimizer" not in text and "EPOCHS" not in text


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_passes_the_linter(predictions, backend):
    command = [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), "-"]
    run = subprocess.run(
        command, input=predictions[backend][1], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout

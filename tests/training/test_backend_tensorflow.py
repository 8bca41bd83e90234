"""Generated TensorFlow files: the whole contract against PyTorch files of the same spec."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from specc.compiler import compile_spec

ROOT = Path(__file__).parents[2]
BLOCKS = """
spec 1 blocks
input image: float[8, 8, 3]
target label: int[]

block unit(filters, stride = 1) {
  input x
  y = x | conv2d(filters, 3, strides=stride, padding="same", use_bias=false) as conv | relu
  z = y | conv2d(filters, 1, kernel_regularizer=l2(0.01)) | tanh
  output z
}
layer weights = dense(5, activation="gelu")
gelu_tanh = image
  | unit(6) as parameters
  | repeat(2, i) {
      input x
      x | unit(4 + 2 * i, 2) as forward
    } as stage
pooled = gelu_tanh | flatten | dropout(0.4) as metrics | dense(5) | leaky_relu(0.3)
record = pooled | weights | weights | dense(4, activation="elu") as train_step
weighted_mean = record | dense(3, activation="softmax")
output weighted_mean

training {
  loss sparse_categorical_crossentropy(weighted_mean, label)
  optimizer momentum(learning_rate=0.05)
  metrics accuracy
  epochs 2
  batch_size 16
}
"""
MASKS = """
spec 1 masks
input words: int[T]
target label: int[]
block head(units) {
  input x
  y = x | dense(units, activation="tanh") | dropout(0.3)
  z = y | lstm(units)
  output z
}
h = words
  | embedding(10, 6, mask_zero=true)
  | lstm(5, return_sequences=true)
  | dropout(0.2)
  | lstm(6, return_sequences=true)
  | head(4)
probabilities = h | dense(3, activation="softmax")
output probabilities

training {
  loss sparse_categorical_crossentropy(probabilities, label)
  optimizer adam(learning_rate=1e-2)
  metrics accuracy
  epochs 2
  batch_size 16
}
"""


def run(*command: str | Path) -> str:
    # The file selects Keras' backend, whatever the shell says.
    own = {"KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment = {**os.environ, **own}
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of four specs for both backends."""
    folder = tmp_path_factory.mktemp("tensorflow")
    own = {"blocks": BLOCKS, "masks": MASKS}
    for name, text in own.items():
        (folder / f"{name}.specc").write_text(text)
    specs = [*(ROOT / f"examples/{name}.yaml" for name in ("mlp", "mnist_cnn"))]
    for spec in [*specs, *(folder / f"{name}.specc" for name in own)]:
        for backend in ("tensorflow", "torch"):
            source = compile_spec(spec, backend=backend)
            (folder / f"{spec.stem}_{backend}.py").write_text(source)
    return folder


@pytest.mark.parametrize("name", ["mlp", "mnist_cnn", "blocks", "masks"])
def test_trains_as_the_pytorch_file(folder: Path, name: str) -> None:
    found = []
    for backend in ("tensorflow", "torch"):
        file, out = folder / f"{name}_{backend}.py", folder / f"{name}_{backend}.npz"
        run("-W", "error::UserWarning", Path(__file__).parent / "file_probe.py", file, out)
        found.append(np.load(out))
    ours, theirs = found
    assert set(ours.files) == set(theirs.files)
    for key in ours.files:
        a, b = ours[key], theirs[key]
        assert a.shape == b.shape and a.dtype == b.dtype, key
        moved = theirs[key.replace("trained", "initial")] if key.startswith("trained/") else 0
        distance = np.linalg.norm(np.ravel(a - b)) / max(np.linalg.norm(np.ravel(b - moved)), 1e-30)
        assert distance < 1e-12, (key, distance)


def test_traces_once_for_full_batches_and_once_for_all_others(folder: Path) -> None:
    code = """
import sys; sys.path.insert(0, sys.argv[1])
import numpy as np, mlp_tensorflow as file
rng = np.random.default_rng(0)
draw = lambda shapes, n: {k: rng.integers(0, 2, (n, *s)) if k in file.INTEGERS
                          else rng.standard_normal((n, *s)) for k, (_, *s) in shapes.items()}
trainer, original, calls = file.Trainer(file.build()), file.apply, 0
def apply(*arguments, **keywords):
    global calls
    calls += 1
    return original(*arguments, **keywords)
file.apply = apply
for size in (8, 5, 1, file.BATCH_SIZE, file.BATCH_SIZE):
    x, y = draw(file.INPUTS, size), draw(file.TARGETS, size)
    trainer.step(x, y), trainer.step(x, y, np.ones(size)), trainer.evaluate(x, y)
assert calls == 6, calls  # weighted, not weighted and in inference mode, twice each
assert file.keras.config.dtype_policy().name == "float32"
file.build(dtype="float64")
assert file.keras.config.dtype_policy().name == "float32"
"""
    run("-W", "error::DeprecationWarning:mlp_tensorflow", "-c", code, folder)


def test_refuses_another_backend_of_keras(folder: Path) -> None:
    code = """
import os, sys; sys.path.insert(0, sys.argv[1])
os.environ["KERAS_BACKEND"] = "torch"
import keras
try:
    import mlp_tensorflow
except ImportError as error:
    assert "already runs on torch" in str(error)
else:
    raise SystemExit("imported")
"""
    run("-c", code, folder)


def test_passes_the_projects_checks(folder: Path) -> None:
    files = sorted(folder.glob("*_tensorflow.py"))
    run("-m", "ruff", "check", "--config", ROOT / "pyproject.toml", *files)
    run("-m", "ruff", "format", "--check", "--config", ROOT / "pyproject.toml", *files)

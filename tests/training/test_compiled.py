"""Files for the framework's own compiler (--optimize 2) train as the others do."""

import importlib.util
from functools import partialmethod
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from torch import nn

from specc.compiler import compile_spec

SPEC = """\
specc: 1
name: compiled
dtype: float64
inputs: {x: {shape: [5, 3]}}
targets: {label: {shape: [], dtype: int}}
layers:
  - {conv1d: {filters: 8, kernel_size: 3, activation: tanh}}
  - {batch_norm: {}}
  - {dropout: 0.3}
  - {gru: 4}
  - {dense: {units: 3, activation: softmax}}
training:
  loss: {sparse_categorical_crossentropy: {prediction: dense, target: label}}
  optimizer: adam
  batch_size: 6
  epochs: 2
"""


def build(backend: str, level: int, folder: Path) -> ModuleType:
    path = folder / f"{backend}_{level}.py"
    spec = folder / "compiled.yaml"
    spec.write_text(SPEC)
    path.write_text(compile_spec(spec, backend=backend, optimize=level))
    found = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize("backend", ["torch", "tensorflow"])
def test_compiled_files_train_as_the_others_do(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The whole of torch.compile but its C++ code: a compiler need not be installed here.
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="aot_eager"))
    rng = np.random.default_rng(0)
    x, y = {"x": rng.normal(size=(16, 5, 3))}, {"label": rng.integers(0, 3, 16)}
    runs = []
    for level in (1, 2):
        file = build(backend, level, tmp_path)
        trainer = file.Trainer(file.build())
        history = trainer.fit(x, y, epochs=2)  # full batches, and a last one of 4 rows
        model = trainer.model
        traced = file.trace(model, x, training=True, step=3)
        runs.append(
            [
                np.asarray(history["loss"]),
                *file.get_parameters(model).values(),
                *file.predict(model, x).values(),
                *traced.values(),
            ]
        )
    for plain, compiled in zip(*runs, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-10, atol=1e-12)


def test_compiled_files_say_so(tmp_path: Path) -> None:
    spec = tmp_path / "compiled.yaml"
    spec.write_text(SPEC)
    texts = {
        (backend, level): compile_spec(spec, backend=backend, optimize=level)
        for backend in ("numpy", "torch", "tensorflow")
        for level in (1, 2)
    }
    assert "model.compile()" in texts["torch", 2] and "jit_compile=True" in texts["tensorflow", 2]
    assert "compile()" not in texts["torch", 1] and "jit_compile" not in texts["tensorflow", 1]
    assert texts["numpy", 2] == texts["numpy", 1]

"""One value per feature: Keras normalizes it to beta, PyTorch refuses to train on it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generated_modules import generate

BACKENDS = ("numpy", "torch", "tensorflow")


def one_row(conventions: str, backend: str, folder: Path, **attributes: Any) -> tuple[Any, ...]:
    """A generated batch_norm with a batch of one row."""
    spec = {
        "specc": 1,
        "conventions": conventions,
        "dtype": "float64",
        "inputs": {"x": {"shape": [4]}},
        "targets": {"target": {"shape": [4]}},
        "layers": [{"name": "y", "batch_norm": attributes}],
        "training": {
            "loss": {"mean_squared_error": {"prediction": "y", "target": "target"}},
            "optimizer": {"sgd": {"learning_rate": 0.1}},
        },
    }
    file = generate(json.dumps(spec), backend, folder)
    return file, {"x": np.arange(4.0)[None]}, {"target": np.ones((1, 4))}


@pytest.mark.parametrize("backend", BACKENDS)
def test_keras_takes_one_value(backend: str, tmp_path: Path) -> None:
    file, inputs, targets = one_row("keras", backend, tmp_path)
    model = file.build()
    file.Trainer(model).step(inputs, targets)
    found = file.get_parameters(model)
    assert np.abs(found["y.beta"] - 0.05).max() < 1e-15  # moved by 0.1 * 2 / 4 from 0
    assert np.abs(found["y.moving_mean"] - 0.01 * np.arange(4.0)).max() < 1e-15
    assert np.abs(found["y.moving_variance"] - 0.99).max() < 1e-15


@pytest.mark.parametrize("attributes", [{}, {"scale": False}])
@pytest.mark.parametrize("backend", BACKENDS)
def test_pytorch_refuses_one_value(
    backend: str, attributes: dict[str, Any], tmp_path: Path
) -> None:
    file, inputs, targets = one_row("pytorch", backend, tmp_path, **attributes)
    model = file.build()
    assert file.predict(model, inputs)["y"].shape == (1, 4)
    with pytest.raises(Exception, match="more than 1 value per"):
        file.Trainer(model).step(inputs, targets)

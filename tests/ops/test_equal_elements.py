"""Where several elements are the largest: the first of a window takes the gradient, those of a
global pool share it, and the first class is the prediction."""

import json
from pathlib import Path

import numpy as np
import pytest
from generated_modules import generate

BACKENDS = ("numpy", "torch", "tensorflow")
# Each row's share of the gradient of its output: equal rows stand in the order 1, 2, 3, 4.
POOLS = {
    "max_pool1d": ({"pool_size": 2}, [1, 0, 1, 0]),
    "global_max_pool1d": ({}, [0.25, 0.25, 0.25, 0.25]),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pool", POOLS)
def test_who_takes_the_gradient_of_equal_elements(pool: str, backend: str, tmp_path: Path) -> None:
    attributes, shares = POOLS[pool]
    embedding = {"input_dim": 6, "output_dim": 2, "embeddings_initializer": "ones"}
    spec = {
        "specc": 1,
        "dtype": "float64",
        "inputs": {"ids": {"shape": [4], "dtype": "int"}},
        "targets": {"target": {"shape": [1]}},
        "layers": [
            {"name": "rows", "embedding": embedding},
            {"name": "pool", pool: attributes},
            {"name": "flat", "flatten": {}},
            {"name": "y", "dense": {"units": 1, "kernel_initializer": "ones"}},
        ],
        "training": {"loss": {"mean_squared_error": {"prediction": "y", "target": "target"}}},
    }
    file = generate(json.dumps(spec), backend, tmp_path)
    inputs, targets = {"ids": np.array([[1, 2, 3, 4]])}, {"target": np.array([[9.0]])}
    _, gradients = file.loss_and_gradients(file.build(), inputs, targets)
    found = gradients["rows.embeddings"][1:5, 0]
    assert np.allclose(found / gradients["y.bias"], shares, rtol=1e-15)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_first_of_equal_classes_is_the_prediction(backend: str, tmp_path: Path) -> None:
    spec = {
        "specc": 1,
        "inputs": {"x": {"shape": [2]}},
        "targets": {"label": {"shape": [], "dtype": "int"}},
        "layers": [{"name": "p", "dense": {"units": 4, "kernel_initializer": "zeros"}}],
        "training": {
            "loss": {
                "sparse_categorical_crossentropy": {
                    "prediction": "p",
                    "target": "label",
                    "from_logits": True,
                }
            },
            "metrics": ["accuracy"],
        },
    }
    file = generate(json.dumps(spec), backend, tmp_path)
    x = {"x": np.ones((4, 2), np.float32)}
    found = file.Trainer(file.build()).evaluate(x, {"label": np.array([0, 0, 0, 1])})
    assert found["accuracy"] == 0.75

"""Masks on their way through the ops, and normalization in training, against Keras itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from generated_modules import generate
from numpy_kernel_checks import assert_close

VOCABULARY, WIDTH, STEPS = 5, 4, 6


def spec(layers: list[dict[str, Any]]) -> dict[str, Any]:
    """A network of two sequences of ids; id 0 of both is padding, ``plain`` has no mask."""
    table = {"input_dim": VOCABULARY, "output_dim": WIDTH}
    embeddings = [
        {"name": "left", "embedding": {**table, "mask_zero": True}, "from": "a"},
        {"name": "right", "embedding": {**table, "mask_zero": True}, "from": "b"},
        {"name": "plain", "embedding": table, "from": "b"},
    ]
    return {
        "specc": 1,
        "name": "case",
        "dtype": "float64",
        "inputs": {name: {"shape": [STEPS], "dtype": "int"} for name in "ab"},
        "targets": {"target": {"shape": [WIDTH]}},
        "layers": [*embeddings, *layers],
        "outputs": ["y"],
        "training": {
            "loss": {"mean_squared_error": {"prediction": "y", "target": "target"}},
            "optimizer": {"sgd": {"learning_rate": 0.1}},
        },
    }


MEAN = {"name": "y", "global_average_pool1d": {}}
LAYERS = keras.layers
JOINS: dict[str, tuple[list[dict[str, Any]], Callable[..., Any]]] = {
    "add": (
        [{"add": {}, "from": ["left", "right"]}, MEAN],
        lambda left, right, plain: LAYERS.Add()([left, right]),
    ),
    "add without a mask": (
        [{"add": {}, "from": ["left", "plain"]}, MEAN],
        lambda left, right, plain: LAYERS.Add()([left, plain]),
    ),
    "multiply": (
        [{"multiply": {}, "from": ["left", "right"]}, MEAN],
        lambda left, right, plain: LAYERS.Multiply()([left, right]),
    ),
    "multiply, all steps": (
        [
            {"multiply": {}, "from": ["left", "right"]},
            {"reshape": {"target_shape": [-1]}},
            {"name": "y", "dense": {"units": WIDTH}},
        ],
        lambda left, right, plain: LAYERS.Dense(WIDTH)(
            LAYERS.Flatten()(LAYERS.Multiply()([left, right]))
        ),
    ),
    "multiply without a mask": (
        [{"multiply": {}, "from": ["left", "plain"]}, MEAN],
        lambda left, right, plain: LAYERS.Multiply()([left, plain]),
    ),
    "features": (
        [{"concatenate": {}, "from": ["left", "right"]}, {"dense": {"units": WIDTH}}, MEAN],
        lambda left, right, plain: LAYERS.Dense(WIDTH)(LAYERS.Concatenate()([left, right])),
    ),
    "features without a mask": (
        [{"concatenate": {}, "from": ["left", "plain"]}, {"dense": {"units": WIDTH}}, MEAN],
        lambda left, right, plain: LAYERS.Dense(WIDTH)(LAYERS.Concatenate()([left, plain])),
    ),
    "steps": (
        [{"concatenate": {"axis": 1}, "from": ["left", "plain", "right"]}, MEAN],
        lambda left, right, plain: LAYERS.Concatenate(axis=1)([left, plain, right]),
    ),
    "normalized": (
        [{"batch_norm": {}, "from": "left"}, {"layer_norm": {}}, MEAN],
        lambda left, right, plain: LAYERS.LayerNormalization()(LAYERS.BatchNormalization()(left)),
    ),
}


# Flatten says that it drops the mask, which is what the case is about.
@pytest.mark.filterwarnings("ignore:Layer 'flatten")
@pytest.mark.usefixtures("keras_float64")
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", JOINS)
def test_masks_go_where_keras_takes_them(name: str, training: bool, tmp_path: Path) -> None:
    layers, build = JOINS[name]
    rng = np.random.default_rng(0)
    ids = {key: rng.integers(0, VOCABULARY, (3, STEPS)) for key in "ab"}
    for each in ids.values():
        each[:, 0] = 1
    file = generate(json.dumps(spec(layers)), "numpy", tmp_path)
    model = file.build()
    given = {n: rng.uniform(0.5, 1.5, v.shape) for n, v in file.get_parameters(model).items()}
    file.set_parameters(model, given)

    oracle, embeddings = keras_model(build)
    # Keras lists the variables of a layer as specc does.
    others = [layer for layer in oracle.layers if layer not in embeddings]
    weights = [variable for layer in [*embeddings, *others] for variable in layer.variables]
    for variable, value in zip(weights, given.values(), strict=True):
        variable.assign(value)
    expected = oracle([tf.constant(ids["a"]), tf.constant(ids["b"])], training=training)

    target = {"target": np.zeros((3, WIDTH))}
    found = file.trace(model, ids, target, training=training)["y"]
    assert_close(found, expected.numpy())


def keras_model(build: Callable[..., Any]) -> tuple[keras.Model, list[keras.Layer]]:
    """The network and its embeddings: left, right, plain."""
    a, b = (keras.Input((STEPS,), dtype="int64") for _ in range(2))
    layers = [LAYERS.Embedding(VOCABULARY, WIDTH, mask_zero=mask) for mask in (True, True, False)]
    values = [layer(ids) for layer, ids in zip(layers, (a, b, b), strict=True)]
    result = build(*values)
    if len(result.shape) > 2:
        result = LAYERS.GlobalAveragePooling1D()(result)
    return keras.Model([a, b], result), layers

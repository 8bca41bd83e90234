"""Attention of generated files against nn.MultiheadAttention, and its masks against Keras."""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from generated_modules import generate
from torch import nn

BACKENDS = ["numpy", "torch", "tensorflow"]
STEPS, WORDS, FEATURES, HEADS = 5, 9, 6, 2
WORD_ROWS = np.array([[1, 2, 3, 4, 5], [3, 1, 4, 0, 0], [0, 0, 8, 7, 2], [0, 5, 0, 6, 0]])


def spec_of(attention: str, conventions: str = "keras", mask_zero: str = "true") -> str:
    table = f"embedding: {{input_dim: {WORDS}, output_dim: {FEATURES}, mask_zero: {mask_zero}}}"
    return f"""\
specc: 1
name: reader
conventions: {conventions}
dtype: float64
inputs:
  words: {{shape: [{STEPS}], dtype: int}}
  others: {{shape: [{STEPS}], dtype: int}}
targets: {{goal: {{shape: [{STEPS}, {FEATURES}]}}}}
layers:
  - {{name: embed, {table}, from: words}}
  - {{name: memory, {table}, from: others}}
  - {{name: y, {attention}}}
outputs: [y]
training:
  loss: {{mean_squared_error: {{prediction: y, target: goal}}}}
  optimizer: {{sgd: {{learning_rate: 0.1}}}}
  epochs: 1
  batch_size: 4
"""


def prepared(text: str, backend: str, folder) -> tuple:
    """A generated file, its model, random parameters and a batch."""
    module = generate(text, backend, folder)
    model = module.build()
    rng = np.random.default_rng(0)
    values = {
        path: 0.7 * rng.standard_normal(array.shape)
        for path, array in module.get_parameters(model).items()
    }
    module.set_parameters(model, values)
    inputs = {"words": WORD_ROWS, "others": np.roll(WORD_ROWS, 1, axis=0)}
    goal = rng.standard_normal((len(WORD_ROWS), STEPS, FEATURES))
    return module, model, values, inputs, goal


def close(actual: np.ndarray, expected: np.ndarray, tolerance: float) -> bool:
    return bool(np.abs(actual - expected).max() <= tolerance * np.abs(expected).max())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("causal", [False, True])
def test_computes_what_pytorch_does(causal, backend, tmp_path):
    options = f"num_heads: {HEADS}, causal: {str(causal).lower()}"
    text = spec_of(f"multi_head_attention: {{{options}}}, from: embed", "pytorch", "false")
    module, model, values, inputs, goal = prepared(text, backend, tmp_path)
    layer = nn.MultiheadAttention(FEATURES, HEADS, batch_first=True).double()
    packed = np.concatenate([flat_of(values, part) for part in ("query", "key", "value")])
    bias = np.concatenate([values[f"y.{part}.bias"].ravel() for part in ("query", "key", "value")])
    state = {"in_proj_weight": packed, "in_proj_bias": bias}
    state |= {
        "out_proj.weight": flat_of(values, "output"),
        "out_proj.bias": values["y.output.bias"],
    }
    layer.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
    table = torch.tensor(values["embed.embeddings"], requires_grad=True)
    x = table[torch.tensor(WORD_ROWS)]
    later = torch.ones(STEPS, STEPS, dtype=torch.bool).triu(1) if causal else None
    y = layer(x, x, x, attn_mask=later, need_weights=False)[0]
    loss = ((y - torch.tensor(goal)) ** 2).mean()
    loss.backward()

    assert close(module.predict(model, inputs)["y"], y.detach().numpy(), 1e-13)
    found_loss, found = module.loss_and_gradients(model, inputs, {"goal": goal})
    assert found_loss == pytest.approx(loss.item(), rel=1e-13)
    assert close(found["embed.embeddings"], table.grad.numpy(), 1e-12)
    assert close(flat_of(found, "output"), layer.out_proj.weight.grad.numpy(), 1e-12)
    packed = np.concatenate([flat_of(found, part) for part in ("query", "key", "value")])
    assert close(packed, layer.in_proj_weight.grad.numpy(), 1e-12)
    bias = np.concatenate([found[f"y.{part}.bias"].ravel() for part in ("query", "key", "value")])
    assert close(bias, layer.in_proj_bias.grad.numpy(), 1e-12)


def flat_of(arrays: dict, part: str) -> np.ndarray:
    """A kernel as PyTorch lays it out: (out, in)."""
    return arrays[f"y.{part}.kernel"].reshape(FEATURES, FEATURES).T


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_masks_are_those_of_keras(causal, cross, backend, tmp_path):
    """The keys' mask keeps padding out, the loss skips the padded queries.

    Keras' own attention is exact to 5e-9 only, in float64.
    """
    ports = "{query: embed, value: memory}" if cross else "{query: embed}"
    options = f"num_heads: {HEADS}, key_dim: 4, value_dim: 3, causal: {str(causal).lower()}"
    text = spec_of(f"multi_head_attention: {{{options}}}, from: {ports}")
    module, model, values, inputs, goal = prepared(text, backend, tmp_path)
    layer = keras.layers.MultiHeadAttention(HEADS, 4, value_dim=3, dtype="float64")
    layer.build((None, STEPS, FEATURES), (None, STEPS, FEATURES))
    weights = [values[name] for name in values if name.startswith("y.")]
    layer.set_weights(weights)
    tables = [tf.Variable(values[f"{name}.embeddings"]) for name in ("embed", "memory")]
    keys = inputs["others"] if cross else inputs["words"]
    query_mask = inputs["words"] != 0
    with tf.GradientTape() as tape:
        query = tf.gather(tables[0], inputs["words"])
        y = layer(
            query,
            tf.gather(tables[1], keys) if cross else query,
            query_mask=tf.constant(query_mask),
            value_mask=tf.constant(keys != 0),
            use_causal_mask=causal,
        )
        loss = tf.reduce_mean(tf.boolean_mask(tf.reduce_mean((y - goal) ** 2, -1), query_mask))
    gradient = tf.convert_to_tensor(tape.gradient(loss, tables[0])).numpy()
    # To a query without any key Keras gives the mean of all values.
    judged = query_mask & has_key(keys, causal)
    assert close(module.predict(model, inputs)["y"][judged], y.numpy()[judged], 2e-8)
    if (judged == query_mask).all():
        found_loss, found = module.loss_and_gradients(model, inputs, {"goal": goal})
        assert found_loss == pytest.approx(float(loss), rel=2e-8)
        assert close(found["embed.embeddings"], gradient, 1e-7)


def has_key(keys: np.ndarray, causal: bool) -> np.ndarray:
    """Which queries may attend to something, (N, T)."""
    allowed = np.broadcast_to(keys[:, None] != 0, (*keys.shape, STEPS))
    return (np.tril(allowed) if causal else allowed).any(-1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_query_without_keys_gets_the_bias(backend, tmp_path):
    attention = (
        f"multi_head_attention: {{num_heads: {HEADS}}}, from: {{query: embed, value: memory}}"
    )
    module, model, values, inputs, goal = prepared(spec_of(attention), backend, tmp_path)
    inputs["others"] = inputs["others"].copy()
    inputs["others"][1] = 0
    y = module.predict(model, inputs)["y"]
    assert np.array_equal(y[1], np.broadcast_to(values["y.output.bias"], y[1].shape))
    loss, gradients = module.loss_and_gradients(model, inputs, {"goal": goal})
    assert np.isfinite(loss)
    assert all(np.isfinite(array).all() for array in gradients.values())


def test_initial_values_follow_the_convention(tmp_path):
    attention = f"multi_head_attention: {{num_heads: {HEADS}}}, from: embed"
    for conventions, fan_out, biggest in (("keras", FEATURES, None), ("pytorch", 3 * FEATURES, 1)):
        text = spec_of(attention, conventions, "false")
        module = generate(text, "numpy", tmp_path)
        values = module.get_parameters(module.build())
        limit = np.sqrt(6 / (FEATURES + fan_out))
        for part in ("query", "key", "value"):
            assert 0.8 * limit < np.abs(values[f"y.{part}.kernel"]).max() <= limit
            assert not values[f"y.{part}.bias"].any()
        limit = np.sqrt(6 / (2 * FEATURES)) if biggest is None else 1 / np.sqrt(FEATURES)
        assert 0.8 * limit < np.abs(values["y.output.kernel"]).max() <= limit

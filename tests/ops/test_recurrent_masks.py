"""Recurrent layers of generated files against Keras and PyTorch: outputs, states and gradients.

The masks come from word 0, wherever it stands: padding on the right, on the left, gaps, and
sequences of nothing else.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from generated_modules import generate
from torch import nn

from specc.diagnostics import SpecError

BACKENDS = ["numpy", "torch", "tensorflow"]
pytestmark = pytest.mark.usefixtures("keras_float64")
STEPS, WORDS, FEATURES, UNITS = 6, 9, 3, 4

WORD_ROWS = np.array(
    [
        [1, 2, 3, 4, 5, 6],
        [3, 1, 4, 0, 0, 0],
        [0, 0, 0, 8, 7, 2],
        [0, 5, 0, 0, 6, 0],
        [0, 0, 0, 0, 0, 0],
        [2, 0, 0, 0, 0, 7],
    ]
)

# name: (layer of the spec, how Keras makes it)
LAYERS = {
    "lstm": ("lstm: {{units: 4{}}}", keras.layers.LSTM),
    "gru": ("gru: {{units: 4{}}}", keras.layers.GRU),
    "gru_reset_before": (
        "gru: {{units: 4, reset_after: false{}}}",
        lambda units, **options: keras.layers.GRU(units, reset_after=False, **options),
    ),
    "simple_rnn": (
        "simple_rnn: {{units: 4, activation: relu{}}}",
        lambda units, **options: keras.layers.SimpleRNN(units, activation="relu", **options),
    ),
}
OPTIONS = {
    "last": {},
    "sequences": {"return_sequences": True},
    "backwards": {"go_backwards": True},
    "backwards_sequences": {"go_backwards": True, "return_sequences": True},
    "both": {"bidirectional": True},
    "both_sequences": {"bidirectional": True, "return_sequences": True},
    "both_sum": {"bidirectional": True, "merge": "sum"},
    "both_average_sequences": {"bidirectional": True, "merge": "ave", "return_sequences": True},
    "no_bias": {"use_bias": False, "return_sequences": True},
}
# TensorFlow files use the layers of the oracle: a few options show that they are wired rightly.
CASES = [
    pytest.param(kind, choice, backend, id=f"{kind}-{choice}-{backend}")
    for kind in LAYERS
    for choice in OPTIONS
    for backend in BACKENDS
    if backend != "tensorflow" or choice in ("last", "backwards", "both_sum", "both_sequences")
]


def yaml_of(options: dict) -> str:
    plain = {True: "true", False: "false"}
    return "".join(f", {name}: {plain.get(value, value)}" for name, value in options.items())


def make_keras(kind: str, options: dict) -> keras.Layer:
    options = dict(options)
    both, merge = options.pop("bidirectional", False), options.pop("merge", "concat")
    layer = LAYERS[kind][1](UNITS, **options)
    return keras.layers.Bidirectional(layer, merge_mode=merge) if both else layer


def spec_of(layers: list[str], width: int, mask_zero: str = "true", head: str = "keras") -> str:
    listed = "\n".join(f"  - {layer}" for layer in layers)
    return f"""\
specc: 1
name: reader
conventions: {head}
dtype: float64
inputs: {{words: {{shape: [{STEPS}], dtype: int}}}}
targets: {{goal: {{shape: [{width}]}}}}
layers:
  - name: embed
    embedding: {{input_dim: {WORDS}, output_dim: {FEATURES}, mask_zero: {mask_zero}}}
{listed}
  - {{name: y, flatten: {{}}}}
outputs: [y]
training:
  loss: {{mean_squared_error: {{prediction: y, target: goal}}}}
  optimizer: {{sgd: {{learning_rate: 0.1}}}}
  epochs: 1
  batch_size: 4
"""


def randomize(module, model, seed: int = 0) -> dict:
    """Gives every parameter values that are far from special; they are returned."""
    rng = np.random.default_rng(seed)
    values = {
        path: 0.7 * rng.standard_normal(array.shape)
        for path, array in module.get_parameters(model).items()
    }
    module.set_parameters(model, values)
    return values


def weights_of(layer: str, values: dict) -> list:
    """A layer's values in the order of Keras' get_weights."""
    return [
        values[f"{layer}.{way}{name}"]
        for way in ("", "backward.")
        for name in ("kernel", "recurrent_kernel", "bias")
        if f"{layer}.{way}{name}" in values
    ]


def keras_oracle(layers: list[keras.Layer], values: dict, goal: np.ndarray) -> tuple:
    """Output, loss and gradients of an embedding, layers named rnn1, rnn2 ..., and the flat end."""
    embed = keras.layers.Embedding(WORDS, FEATURES, mask_zero=True)
    words = keras.Input((STEPS,), dtype="int64")
    x = embed(words)
    for layer in layers:
        x = layer(x)
    model = keras.Model(words, x)
    embed.set_weights([values["embed.embeddings"]])
    for index, layer in enumerate(layers, 1):
        layer.set_weights(weights_of(f"rnn{index}", values))
    with tf.GradientTape() as tape:
        y = tf.reshape(model(WORD_ROWS), [len(WORD_ROWS), -1])
        loss = tf.reduce_mean((y - goal) ** 2)
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    return y.numpy(), float(loss), [tf.convert_to_tensor(each).numpy() for each in gradients]


def assert_close(actual, expected, tolerance=1e-12):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= tolerance * max(np.abs(expected).max(), 1e-3)


ORACLES: dict[str, tuple] = {}


def check(chosen: list[tuple[str, dict]], backend: str, folder) -> None:
    """A file whose layers are rnn1, rnn2 ... of these kinds and options, against Keras."""
    listed = [
        f"{{name: rnn{i}, {LAYERS[kind][0].format(yaml_of(options))}}}"
        for i, (kind, options) in enumerate(chosen, 1)
    ]
    width = width_of(chosen[-1][1])
    module = generate(spec_of(listed, width), backend, folder)
    model = module.build()
    values = randomize(module, model)
    goal = np.random.default_rng(1).standard_normal((len(WORD_ROWS), width))
    if str(chosen) not in ORACLES:
        layers = [make_keras(kind, options) for kind, options in chosen]
        ORACLES[str(chosen)] = keras_oracle(layers, values, goal)
    y, loss, expected = ORACLES[str(chosen)]
    inputs = {"words": WORD_ROWS}
    assert_close(module.predict(model, inputs)["y"], y)
    found_loss, found = module.loss_and_gradients(model, inputs, {"goal": goal})
    assert found_loss == pytest.approx(loss, rel=1e-12)
    ordered = [found["embed.embeddings"]]
    for index in range(1, len(chosen) + 1):
        ordered += weights_of(f"rnn{index}", found)
    assert len(ordered) == len(found) == len(expected)
    for actual, wanted in zip(ordered, expected, strict=True):
        assert_close(actual, wanted)


def width_of(options: dict) -> int:
    steps = STEPS if options.get("return_sequences") else 1
    joined = options.get("bidirectional") and options.get("merge", "concat") == "concat"
    return steps * UNITS * (2 if joined else 1)


@pytest.mark.parametrize(("kind", "choice", "backend"), CASES)
def test_one_layer(kind, choice, backend, tmp_path):
    check([(kind, OPTIONS[choice])], backend, tmp_path)


STACKS = {
    "lstm_lstm": [("lstm", "sequences"), ("lstm", "last")],
    "both_gru": [("lstm", "both_sequences"), ("gru", "last")],
    "gru_both": [("gru", "sequences"), ("gru_reset_before", "both_sequences")],
    "three": [("lstm", "both_sequences"), ("lstm", "both_sequences"), ("simple_rnn", "both")],
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("stack", STACKS)
def test_stacked(stack, backend, tmp_path):
    check([(kind, OPTIONS[choice]) for kind, choice in STACKS[stack]], backend, tmp_path)


def states_spec(kind: str, options: str, conventions: str = "keras") -> str:
    """A layer that begins with given states and gives its last ones."""
    states = ["h", "c"] if kind == "lstm" else ["h"]
    inputs = ", ".join(f"{s}0: {{shape: [{UNITS}]}}" for s in states)
    outputs = ["y", *states]
    losses = "".join(
        f"\n    - mean_squared_error: {{prediction: {name}, target: {name}_goal}}"
        for name in outputs
    )
    targets = ", ".join(f"{name}_goal: {{shape: [{UNITS}]}}" for name in outputs)
    return f"""\
specc: 1
name: reader
conventions: {conventions}
dtype: float64
inputs: {{words: {{shape: [{STEPS}], dtype: int}}, {inputs}}}
targets: {{{targets}}}
layers:
  - name: embed
    embedding: {{input_dim: {WORDS}, output_dim: {FEATURES}, mask_zero: true}}
    from: words
  - name: rnn1
    {kind}: {{units: {UNITS}, return_sequences: false, return_state: true{options}}}
    from: {{input: embed, initial_state: [{", ".join(f"{s}0" for s in states)}]}}
    outputs: [{", ".join(outputs)}]
outputs: [{", ".join(outputs)}]
training:
  loss:{losses}
  optimizer: {{sgd: {{learning_rate: 0.1}}}}
  epochs: 1
  batch_size: 4
"""


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("backwards", ["", ", go_backwards: true"])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_states_go_in_and_out(kind, backwards, backend, tmp_path):
    """An empty sequence keeps its state, and its output is 0 all the same."""
    module = generate(states_spec(kind, backwards), backend, tmp_path)
    model = module.build()
    values = randomize(module, model)
    rng = np.random.default_rng(2)
    rows = len(WORD_ROWS)
    names = ["y", "h", "c"][: 3 if kind == "lstm" else 2]
    inputs = {"words": WORD_ROWS}
    inputs |= {f"{s}0": rng.standard_normal((rows, UNITS)) for s in names[1:]}
    goals = {f"{name}_goal": rng.standard_normal((rows, UNITS)) for name in names}

    layer = LAYERS[kind][1](UNITS, return_state=True, go_backwards=bool(backwards))
    layer.build((rows, STEPS, FEATURES))
    layer.set_weights(weights_of("rnn1", values))
    table = tf.Variable(values["embed.embeddings"])
    with tf.GradientTape() as tape:
        x = tf.gather(table, WORD_ROWS)
        states = [tf.constant(inputs[f"{s}0"]) for s in names[1:]]
        results = layer(x, initial_state=states, mask=tf.constant(WORD_ROWS != 0))
        loss = sum(
            tf.reduce_mean((result - goals[f"{name}_goal"]) ** 2)
            for name, result in zip(names, results, strict=True)
        )
    variables = [table, *(v.value for v in layer.trainable_variables)]
    gradients = [tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, variables)]

    predicted = module.predict(model, inputs)
    assert np.array_equal(predicted["y"][4], np.zeros(UNITS))
    assert np.array_equal(predicted["h"][4], inputs["h0"][4])
    for name, result in zip(names, results, strict=True):
        assert_close(predicted[name], result.numpy())
    found_loss, found = module.loss_and_gradients(model, inputs, goals)
    assert found_loss == pytest.approx(float(loss), rel=1e-12)
    for path, wanted in zip(values, gradients, strict=True):
        assert_close(found[path], wanted)


def torch_weights(layer: str, values: dict, gates: list[int]) -> dict:
    """PyTorch's names for a layer's values; gates are the spec's blocks in PyTorch's order."""

    def reordered(array: np.ndarray) -> np.ndarray:
        blocks = np.split(array, len(gates), axis=-1)
        return np.concatenate([blocks[gate] for gate in gates], axis=-1)

    found = {}
    for way, suffix in (("", "_l0"), ("backward.", "_l0_reverse")):
        if f"{layer}.{way}kernel" not in values:
            continue
        found[f"weight_ih{suffix}"] = reordered(values[f"{layer}.{way}kernel"]).T
        found[f"weight_hh{suffix}"] = reordered(values[f"{layer}.{way}recurrent_kernel"]).T
        bias = values[f"{layer}.{way}bias"]
        second = values.get(f"{layer}.{way}recurrent_bias")
        both = bias if second is None else (bias, second)
        found[f"bias_ih{suffix}"], found[f"bias_hh{suffix}"] = map(reordered, both)
    return {name: torch.tensor(value) for name, value in found.items()}


TORCH_LAYERS = {
    "lstm": ("lstm: {units: 4", nn.LSTM, {}, [0, 1, 2, 3]),
    "gru": ("gru: {units: 4", nn.GRU, {}, [1, 0, 2]),
    "relu": ("rnn: {units: 4, activation: relu", nn.RNN, {"nonlinearity": "relu"}, [0]),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", TORCH_LAYERS)
def test_pytorch_convention(kind, bidirectional, backend, tmp_path):
    """Sequences by default, and two biases that are trained apart."""
    source, cls, options, gates = TORCH_LAYERS[kind]
    both = ", bidirectional: true" if bidirectional else ""
    width = STEPS * UNITS * (1 + bidirectional)
    text = spec_of([f"{{name: rnn1, {source}{both}}}}}"], width, "false", "pytorch")
    module = generate(text, backend, tmp_path)
    model = module.build()
    limit = 1 / np.sqrt(UNITS)
    for path, array in module.get_parameters(model).items():
        if path.startswith("rnn1"):
            assert 0.3 * limit < np.abs(array).max() <= limit, path
    values = randomize(module, model)
    goal = np.random.default_rng(1).standard_normal((len(WORD_ROWS), width))

    layer = cls(FEATURES, UNITS, batch_first=True, bidirectional=bidirectional, **options).double()
    layer.load_state_dict(torch_weights("rnn1", values, gates))
    table = torch.tensor(values["embed.embeddings"], requires_grad=True)
    y = layer(table[torch.tensor(WORD_ROWS)])[0].flatten(1)
    loss = ((y - torch.tensor(goal)) ** 2).mean()
    loss.backward()

    assert_close(module.predict(model, {"words": WORD_ROWS})["y"], y.detach().numpy())
    found_loss, found = module.loss_and_gradients(model, {"words": WORD_ROWS}, {"goal": goal})
    assert found_loss == pytest.approx(float(loss), rel=1e-12)
    assert_close(found["embed.embeddings"], table.grad.numpy())
    expected = {name: p.grad for name, p in layer.named_parameters()}
    for name, wanted in torch_weights("rnn1", found, gates).items():
        assert_close(wanted.numpy(), expected[name].numpy())


def test_the_initial_state_names_all_its_parts(tmp_path):
    text = states_spec("lstm", "").replace("initial_state: [h0, c0]", "initial_state: h0")
    with pytest.raises(SpecError) as error:
        generate(text, "numpy", tmp_path)
    assert error.value.diagnostics[0].message == (
        "'initial_state' of lstm takes 2 values (initial_h, initial_c), but 1 is wired in"
    )

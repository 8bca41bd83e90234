"""Values and gradients of Keras' own layers and losses in float64: python keras_layers.py ROOT

On the TensorFlow backend, where layers are exact. Every folder of ROOT is a case.
"""

import sys
from pathlib import Path
from typing import Any

import keras
import layer_files
import numpy as np
import tensorflow as tf
from keras import layers, losses

# Keras rounds Python floats to float32, also in float64: its leaky_relu is off by 1e-8 (a slope of
# 0.3), its gelu by 1e-9. For these the published formula decides.


def gelu(x: tf.Tensor) -> tf.Tensor:
    """Hendrycks and Gimpel (2016): x times the normal distribution function."""
    return x * (1 + tf.math.erf(x / tf.constant(2**0.5, x.dtype))) / 2


def gelu_tanh(x: tf.Tensor) -> tf.Tensor:
    """Hendrycks and Gimpel (2016): the approximation by tanh."""
    inner = tf.constant((2 / np.pi) ** 0.5, x.dtype) * (x + 0.044715 * x**3)
    return x * (1 + tf.tanh(inner)) / 2


LAYERS: dict[str, Any] = {
    "add": layers.Add,
    "average": layers.Average,
    "average_pool1d": lambda pool_size=2, **more: layers.AveragePooling1D(pool_size, **more),
    "average_pool2d": lambda pool_size=2, **more: layers.AveragePooling2D(pool_size, **more),
    "batch_norm": layers.BatchNormalization,
    "concatenate": layers.Concatenate,
    "conv1d": layers.Conv1D,
    "conv2d": layers.Conv2D,
    "dense": layers.Dense,
    "depthwise_conv2d": layers.DepthwiseConv2D,
    "elu": layers.ELU,
    "embedding": layers.Embedding,
    "flatten": layers.Flatten,
    "gelu": lambda approximate=False: layers.Activation(gelu_tanh if approximate else gelu),
    "global_average_pool1d": layers.GlobalAveragePooling1D,
    "global_average_pool2d": layers.GlobalAveragePooling2D,
    "global_max_pool1d": layers.GlobalMaxPooling1D,
    "global_max_pool2d": layers.GlobalMaxPooling2D,
    "group_norm": layers.GroupNormalization,
    "gru": layers.GRU,
    "layer_norm": layers.LayerNormalization,
    "leaky_relu": lambda negative_slope=0.3: layers.Activation(
        lambda x: tf.maximum(x, 0) + negative_slope * tf.minimum(x, 0)
    ),
    "lstm": layers.LSTM,
    "max_pool1d": layers.MaxPooling1D,
    "max_pool2d": layers.MaxPooling2D,
    "multi_head_attention": layers.MultiHeadAttention,
    "multiply": layers.Multiply,
    "permute": layers.Permute,
    "relu": layers.ReLU,
    "reshape": layers.Reshape,
    "sigmoid": lambda: layers.Activation("sigmoid"),
    "simple_rnn": layers.SimpleRNN,
    "softmax": layers.Softmax,
    "softplus": lambda: layers.Activation("softplus"),
    "subtract": layers.Subtract,
    "tanh": lambda: layers.Activation("tanh"),
}
LOSSES = {
    "binary_crossentropy": losses.BinaryCrossentropy,
    "categorical_crossentropy": losses.CategoricalCrossentropy,
    "huber": losses.Huber,
    "mean_absolute_error": losses.MeanAbsoluteError,
    "mean_squared_error": losses.MeanSquaredError,
    "sparse_categorical_crossentropy": losses.SparseCategoricalCrossentropy,
}
ATTENTION = ("query", "key", "value", "output")
RENAMED = {"dilation": "dilation_rate"}


def make(kind: str, attributes: dict[str, Any]) -> Any:
    """Keras' layer: the attributes are its keywords."""
    keywords = {RENAMED.get(name, name): value for name, value in attributes.items()}
    if keywords.pop("bidirectional", False):
        merge = keywords.pop("merge", "concat")
        return layers.Bidirectional(LAYERS[kind](**keywords), merge_mode=merge)
    if isinstance(keywords.get("padding"), int):
        padding = layers.ZeroPadding2D(keywords.pop("padding"))
        inner = LAYERS[kind](**keywords)
        return keras.Sequential([padding, inner])
    return LAYERS[kind](**keywords)


def weights(layer: Any) -> dict[str, Any]:
    """The weights of a layer by the names that a spec gives them."""
    if isinstance(layer, layers.Bidirectional):
        backward = {f"backward.{v.name}": v for v in layer.backward_layer.weights}
        return {v.name: v for v in layer.forward_layer.weights} | backward
    if isinstance(layer, layers.MultiHeadAttention):
        parts = {name: getattr(layer, f"_{name}_dense") for name in ATTENTION}
        return {f"{name}.{v.name}": v for name, part in parts.items() for v in part.weights}
    return {v.name: v for v in layer.weights}


class Network:
    """The layer behind its probes."""

    def __init__(self, use: layer_files.Use) -> None:
        self.use = use
        self.probes = {
            name.partition(".")[0]: layers.Dense(array.shape[1])
            for name, array in use.parameters.items()
            if name.startswith("probe") and name.endswith(".kernel")
        }
        attributes = dict(use.attributes)
        if use.kind == "multi_head_attention":
            attributes.pop("causal", None)
            attributes.setdefault("key_dim", use.types[0][-1] // attributes["num_heads"])
        self.layer = make(use.kind, attributes) if not use.loss else None

    def __call__(self, training: bool) -> list[Any]:
        wires = []
        types = self.use.types[:1] if self.use.loss else self.use.types
        for index, kind in enumerate(types):
            x = None if kind is None else tf.constant(self.use.inputs.get(f"x{index}"))
            if (probe := self.probes.get(f"probe{index}")) is not None:
                x = probe(x)
            wires.append(x)
        if self.layer is None:
            y = tf.sigmoid(wires[0])
            return [tf.reshape(y, [len(y), *self.use.types[0][1:]])]
        y = self._apply(wires, training)
        return list(y) if isinstance(y, list | tuple) else [y]

    def _apply(self, wires: list[Any], training: bool) -> Any:
        first, *others = wires
        if self.use.kind in ("lstm", "gru", "simple_rnn"):
            *state, mask = others
            states = [each for each in state if each is not None]
            # A mask that comes with the input is dropped by Keras where an initial state is given.
            if states and mask is not None:
                return self.layer(first, initial_state=states, mask=mask)
            if mask is not None:
                keras.src.backend.set_keras_mask(first, mask)
            return self.layer(first, initial_state=states or None)
        if self.use.kind in ("batch_norm", "global_average_pool1d"):
            if others[0] is not None:
                keras.src.backend.set_keras_mask(first, others[0])
            extra = {"training": training} if self.use.kind == "batch_norm" else {}
            return self.layer(first, **extra)
        if self.use.kind == "multi_head_attention":
            return self._attend(*wires)
        return self.layer(wires if others else first)

    def _attend(self, query: Any, value: Any, key: Any, mask: Any) -> Any:
        # Keras rounds this factor to float32 where it stays a Python float.
        self.layer._inverse_sqrt_key_dim = tf.constant(self.layer._key_dim**-0.5, tf.float64)
        if mask is not None and len(mask.shape) == 2:
            mask = mask[:, None]
        causal = bool(self.use.attributes.get("causal"))
        value = query if value is None else value
        return self.layer(query, value, key, attention_mask=mask, use_causal_mask=causal)

    def weights(self) -> dict[str, Any]:
        found = {
            f"{name}.{key}": v for name, p in self.probes.items() for key, v in weights(p).items()
        }
        own = weights(self.layer) if self.layer is not None else {}
        return found | {f"y.{key}": v for key, v in own.items()}


def compute(use: layer_files.Use) -> dict[str, dict[str, Any]]:
    network = Network(use)
    network(training=False)
    held = network.weights()
    assert held.keys() == use.parameters.keys(), (sorted(held), sorted(use.parameters))
    for name, variable in held.items():
        variable.assign(use.parameters[name])
    inference = network(training=False)
    trained = {name: v for name, v in held.items() if v.trainable}
    with tf.GradientTape() as tape:
        outputs = network(training=True)
        total = 0.0
        for name, output in zip(use.outputs, outputs, strict=True):
            loss = LOSSES[use.kind](**use.attributes) if use.loss else losses.MeanSquaredError()
            total += loss(use.targets[f"t_{name}"], output)
    values = {"total": total.numpy()}
    if use.loss and len(use.types[0]) > 1:
        weights = tf.reshape(
            tf.constant(use.weights, tf.float64), [-1, *[1] * (len(use.types[0]) - 2)]
        )
        values["weighted"] = loss(use.targets["t_y"], outputs[0], sample_weight=weights).numpy()
    gradients = tape.gradient(total, [v.value for v in trained.values()])
    return {
        "loss": values,
        "gradient": {
            name: tf.convert_to_tensor(gradient).numpy()
            for name, gradient in zip(trained, gradients, strict=True)
        },
        "inference": dict(zip(use.outputs, map(np.asarray, inference), strict=True)),
        "training": dict(zip(use.outputs, map(np.asarray, outputs), strict=True)),
        "statistics": {name: v.numpy() for name, v in held.items() if "moving" in name},
    }


if __name__ == "__main__":
    keras.config.set_floatx("float64")
    for path in sorted(Path(sys.argv[1]).iterdir()):
        layer_files.run(path, compute)

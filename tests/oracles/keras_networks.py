"""The example networks as a Keras user writes them, trained by compile and fit.

python keras_networks.py FOLDER...   with KERAS_BACKEND torch or jax: on TensorFlow the optimizers
are not exact in float64. The losses take logits: there Keras clips probabilities to
[1e-7, 1 - 1e-7].
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, losses, optimizers, regularizers
from keras.src.backend.common import dtypes
from oracle_files import Arrays, Run


def mlp() -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(64, activation="sigmoid", name="dense"),
            layers.Dense(32, activation="tanh", name="dense_2"),
            layers.Dense(10, name="probabilities"),
        ]
    )
    model.compile(optimizers.SGD(0.5), losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def mnist_cnn() -> keras.Model:
    image = keras.Input((28, 28, 1))
    x = layers.Conv2D(32, 3, activation="relu", name="conv1")(image)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(64, 3, activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(64, 3, activation="relu", name="conv3")(x)
    x = layers.Flatten()(x)
    x = layers.Dense(64, activation="relu", name="hidden")(x)
    model = keras.Model(image, layers.Dense(10, name="probabilities")(x))
    model.compile(optimizers.Adam(1e-3), losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def speech_lstm() -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((25, 12)),
            layers.LSTM(64, return_sequences=True, name="lstm1"),
            layers.LSTM(64, name="lstm2"),
            layers.Dense(9, name="probabilities"),
        ]
    )
    model.compile(optimizers.Adam(3e-3), losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def text_lstm() -> keras.Model:
    words = keras.Input((40,), dtype="int64")
    x = layers.Embedding(4000, 64, mask_zero=True, name="embedding")(words)
    x = layers.LSTM(64, name="lstm")(x)
    model = keras.Model(words, layers.Dense(4, name="probabilities")(x))
    model.compile(
        optimizers.Adam(1e-3, global_clipnorm=1.0),
        losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


class FixedDropout(layers.Layer):
    """Dropout with given masks, since no two backends of Keras draw the same.

    ``mask(shape, step)`` is the generated file's; ``step`` gives the number of the step.
    """

    def __init__(self, mask: Callable[..., np.ndarray], step: Callable[[], int]) -> None:
        super().__init__()
        self.mask, self.step = mask, step

    def call(self, x: Any, training: bool = False) -> Any:
        if not training or x.shape[0] is None:
            return x
        return x * keras.ops.convert_to_tensor(self.mask(tuple(x.shape), self.step()))


def regularized(run: Run) -> keras.Model:
    file = run.generated()
    key = file.layer_key(file.SEED, "drop")

    def mask(shape: tuple[int, ...], step: int) -> np.ndarray:
        return file.dropout_mask(shape, 0.3, key, step, np.float64)

    image = keras.Input((28, 28, 1))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="conv")(image)
    x = layers.BatchNormalization(momentum=0.9, name="norm")(x)
    x = layers.Activation("gelu")(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    x = FixedDropout(mask, lambda: int(model.optimizer.iterations))(x)
    x = layers.Flatten()(x)
    x = layers.Dense(
        32,
        activation="elu",
        kernel_regularizer=regularizers.L2(0.01),
        bias_regularizer=regularizers.L1(0.001),
        name="hidden",
    )(x)
    x = layers.LayerNormalization(name="features")(x)
    model = keras.Model(image, layers.Dense(10, name="scores")(x))
    rate = optimizers.schedules.PiecewiseConstantDecay([15, 30], [3e-3, 1e-3, 5e-4])
    optimizer = optimizers.AdamW(rate, weight_decay=0.01, clipnorm=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.compile(optimizer, losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def tagger() -> keras.Model:
    words = keras.Input((40,), dtype="int64")
    x = layers.Embedding(4000, 16, mask_zero=True, name="embedding")(words)
    x = layers.Bidirectional(layers.LSTM(12, return_sequences=True), name="both")(x)
    x = layers.BatchNormalization(momentum=0.9, name="norm")(x)
    x = layers.GRU(12, return_sequences=True, name="second")(x)
    model = keras.Model(words, layers.Dense(4, name="scores")(x))
    rate = optimizers.schedules.CosineDecay(3e-3, 30, alpha=0.1)
    model.compile(
        optimizers.RMSprop(rate, momentum=0.9),
        losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


NETWORKS: dict[str, Callable[..., keras.Model]] = {
    network.__name__: network
    for network in (mlp, mnist_cnn, speech_lstm, text_lstm, regularized, tagger)
}


def use_double_precision() -> None:
    """Float64 throughout, which set_floatx alone does not give.

    On every backend but TensorFlow Keras 3.15 turns the result of an op with mixed types, or of one
    that could have been given integers (tanh, divide_no_nan, sqrt), from float64 into float32.
    """
    keras.config.set_floatx("float64")
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"


def weights(model: keras.Model) -> dict[str, keras.Variable]:
    """Every weight by the path that a spec gives it: layer.weight."""
    found = {}
    for layer in model.layers:
        own = {each.name: each for each in layer.weights}
        if isinstance(layer, layers.Bidirectional):
            own = {each.name: each for each in layer.forward_layer.weights}
            own |= {f"backward.{each.name}": each for each in layer.backward_layer.weights}
        found |= {f"{layer.name}.{name}": variable for name, variable in own.items()}
    return found


def train(run: Run) -> tuple[Arrays, list[float]]:
    network = NETWORKS[run.name]
    model = network(run) if network is regularized else network()
    held = weights(model)
    assert held.keys() == run.start.keys(), (sorted(held), sorted(run.start))
    for name, variable in held.items():
        variable.assign(run.start[name])
    found = []
    for inputs, targets in run.epochs():
        history = model.fit(
            inputs, targets, batch_size=run.batch_size, shuffle=False, verbose=0
        ).history
        found += history["loss"]
    return {name: np.array(keras.ops.convert_to_numpy(v)) for name, v in held.items()}, found


if __name__ == "__main__":
    use_double_precision()
    for folder in sys.argv[1:]:
        own = Run(Path(folder))
        own.write(*train(own))

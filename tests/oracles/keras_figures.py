"""How exact Keras is in float64 on its backend (KERAS_BACKEND): python keras_figures.py

Prints {name: figure} as JSON: relative errors against the formula in NumPy, unless said otherwise.
"""

import json
import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import layers, losses, optimizers
from keras.src.backend.common import dtypes

RNG = np.random.default_rng(0)
X = RNG.standard_normal((64, 32))


def numpy(x: Any) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(x))


def error(found: Any, wanted: Any) -> float:
    """The largest difference as a share of the largest value; infinite where shapes differ."""
    found, wanted = numpy(found), np.asarray(wanted)
    if found.shape != wanted.shape:
        return math.inf
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def attention() -> float:
    layer, x = layers.MultiHeadAttention(2, 3), RNG.standard_normal((3, 5, 6))
    found = layer(x, x)
    held = {"/".join(v.path.split("/")[-2:]): numpy(v) for v in layer.weights}
    query, key, value = (
        np.einsum("bti,ihd->bthd", x, held[f"{name}/kernel"]) + held[f"{name}/bias"]
        for name in ("query", "key", "value")
    )
    scores = np.exp(np.einsum("bthd,bshd->bhts", query, key) / math.sqrt(3))
    heads = np.einsum("bhts,bshd->bthd", scores / scores.sum(-1, keepdims=True), value)
    output = np.einsum("bthd,hdo->bto", heads, held["attention_output/kernel"])
    return error(found, output + held["attention_output/bias"])


def padded_average() -> float:
    """Keras' padding "same" over 6 elements: none before, one after them, not counted."""
    image = RNG.standard_normal((1, 6, 6, 1))
    means = [[image[0, i : i + 3, j : j + 3, 0].mean() for j in (0, 2, 4)] for i in (0, 2, 4)]
    found = layers.AveragePooling2D(3, 2, padding="same")(image)
    return error(numpy(found)[0, :, :, 0], means)


def layer_figures() -> Iterator[tuple[str, Any]]:
    x = keras.ops.convert_to_tensor(X)
    yield "leaky_relu", error(layers.LeakyReLU(0.3)(X), np.where(X > 0, X, 0.3 * X))
    exact = X * (1 + np.vectorize(math.erf)(X / math.sqrt(2))) / 2
    yield "gelu", error(keras.activations.gelu(x), exact)
    yield "l2", error(keras.regularizers.L2(0.01)(x), 0.01 * np.sum(X * X))
    row, column = RNG.standard_normal((3, 3, 4)), RNG.standard_normal((3, 1, 1))
    summed = layers.Add()([keras.ops.convert_to_tensor(each) for each in (row, column)])
    yield "add_as_large_as_the_batch", error(summed, row + column)
    norm = layers.BatchNormalization(momentum=0.0, dtype="float32")
    norm(np.float32([[1e4], [1e4 + 1], [1e4 + 2], [1e4 + 3]]), training=True)
    yield "variance_at_10000", float(numpy(norm.moving_variance)[0])  # the value itself: 1.25
    yield "padded_average", padded_average()


def loss_figures() -> Iterator[tuple[str, Any]]:
    """Values of losses, not errors."""
    saturated = np.array([[1 - 1e-12, 1e-12]])
    yield "clipped", float(losses.CategoricalCrossentropy()(np.array([[0.0, 1.0]]), saturated))
    logits = np.array([[1e3, 0.0]])
    fused = losses.CategoricalCrossentropy(from_logits=True)(np.array([[0.0, 1.0]]), logits)
    yield "from_logits", float(fused)
    short = np.array([[1e-9, 0.2, 0.3]])  # which does not sum to 1
    yield "one_hot", float(losses.CategoricalCrossentropy()(np.eye(3)[:1], short))
    yield "sparse", float(losses.SparseCategoricalCrossentropy()(np.array([0]), short))


def logits_gradient() -> float:
    """For targets that do not sum to 1."""
    import tensorflow as tf

    logits, targets = RNG.standard_normal((4, 3)), RNG.random((4, 3))
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = losses.CategoricalCrossentropy(from_logits=True)(targets, variable)
    softmax = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    wanted = (softmax * targets.sum(-1, keepdims=True) - targets) / len(logits)
    return error(tape.gradient(loss, variable), wanted)


def saturated_gradient() -> float:
    """The largest gradient of the logits, where the right class has no probability: 1 is right."""
    import torch

    logits = torch.tensor([[100.0, 0.0]], dtype=torch.float64, requires_grad=True)
    target = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    losses.CategoricalCrossentropy()(target, torch.softmax(logits, -1)).backward()
    assert logits.grad is not None
    return float(logits.grad.abs().max())


def momentum() -> float:
    """The way of a variable in 20 steps."""
    gradients = np.random.default_rng(1).standard_normal((20, 3))
    variable = keras.Variable(np.ones(3))
    optimizer = optimizers.SGD(0.1, momentum=0.9)
    optimizer.build([variable])
    wanted, velocity = np.zeros(3), np.zeros(3)
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        velocity = 0.9 * velocity - 0.1 * gradient
        wanted += velocity
    return error(numpy(variable) - 1, wanted)


def second_moment() -> float:
    """The value itself: a row that is read twice, with gradients 1 and 2, has (1 + 2)^2."""
    model = keras.Sequential([keras.Input((2,), dtype="int32"), layers.Embedding(4, 1)])
    optimizer = optimizers.Adam(1e-3, beta_2=0.0)
    model.compile(optimizer, loss=lambda target, output: keras.ops.sum(target * output))
    model.train_on_batch(np.array([[1, 1]]), np.array([[[1.0], [2.0]]]))
    (moment,) = (v for v in optimizer.variables if "velocity" in v.path)
    return float(numpy(moment)[1, 0])


def trained() -> dict[str, np.ndarray]:
    """A small network's parameters after 40 steps, from the same start."""
    start = np.random.default_rng(2)
    model = keras.Sequential([keras.Input((32,)), layers.Dense(8, "tanh"), layers.Dense(3)])
    for variable in model.weights:
        variable.assign(start.standard_normal(variable.shape) / 3)
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizers.SGD(0.1), loss)
    labels = np.arange(64) % 3
    model.fit(X, labels, batch_size=16, epochs=10, shuffle=False, verbose=0)
    return {f"{index}": numpy(variable) for index, variable in enumerate(model.weights)}


def figures() -> Iterator[tuple[str, Any]]:
    keras.config.set_floatx("float64")
    keras.utils.set_random_seed(0)
    yield "cast", float(keras.ops.cast(0.9, "float64"))  # the value itself
    yield "dtype", str(numpy(keras.Variable(np.ones(1))).dtype)
    yield from layer_figures()
    yield from loss_figures()
    yield "momentum", momentum()
    yield "second_moment", second_moment()
    if keras.backend.backend() == "tensorflow":
        yield "attention", attention()
        yield "logits_gradient", logits_gradient()
        return
    if keras.backend.backend() == "torch":
        yield "saturated_gradient", saturated_gradient()
    x = keras.ops.convert_to_tensor(X)
    for when in ("", "_patched"):
        yield f"tanh{when}", str(keras.backend.standardize_dtype(keras.ops.tanh(x).dtype))
        ratio = keras.ops.divide_no_nan(x, 2.0)
        yield f"divide_no_nan{when}", str(keras.backend.standardize_dtype(ratio.dtype))
        yield f"attention{when}", attention()
        if not when:
            plain = trained()
            dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    exact = trained()
    yield "trained", max(error(plain[name], exact[name]) for name in exact)


if __name__ == "__main__":
    print(json.dumps(dict(figures())))

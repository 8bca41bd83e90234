"""What the examples reach in plain Keras: the same models written by hand, on the same prepared
data.

    python benchmarks/keras_baselines.py [NAME ...]

Prints a line of a Markdown table per example. The models follow Keras' own conventions, also for
``motion``, whose spec follows PyTorch's. Figures vary a little with the seed and the machine.
"""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import yaml
from keras import layers
from sklearn.linear_model import QuantileRegressor

from specc.data import Dataset, Part, load

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SEED = 7


def data_of(name: str) -> Dataset:
    """The prepared data of an example, as its spec says."""
    spec = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8"))
    parameters = spec.get("parameters", {})

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [filled(item) for item in value]
        return parameters.get(value[1:], value) if isinstance(value, str) and value else value

    def declared(section: str) -> dict[str, tuple[tuple[Any, ...], str]]:
        return {
            key: (tuple(filled(item["shape"])), item.get("dtype", "float"))
            for key, item in spec[section].items()
        }

    return load(
        filled(spec["data"]), EXAMPLES, declared("inputs"), declared("targets"), spec["seed"]
    )


def mlp() -> tuple[keras.Model, int, int]:
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(64, activation="sigmoid"),
            layers.Dense(32, activation="tanh"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model, 60, 32


def mnist_cnn() -> tuple[keras.Model, int, int]:
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model, 10, 64


def image_classification() -> tuple[keras.Model, int, int]:
    def convolution(x: Any, filters: int, size: int, stride: int) -> Any:
        x = layers.Conv2D(filters, size, stride, padding="same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    def residual(x: Any, filters: int, stride: int) -> Any:
        y = layers.ReLU()(convolution(x, filters, 3, stride))
        y = convolution(y, filters, 3, 1)
        return layers.ReLU()(layers.Add()([y, convolution(x, filters, 1, stride)]))

    image = keras.Input((28, 28, 1))
    x = layers.ReLU()(convolution(image, 16, 3, 2))
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        x = residual(x, filters, stride)
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, layers.Dense(10, activation="softmax")(x))
    rate = keras.optimizers.schedules.CosineDecay(0.0, 628, warmup_target=0.05, warmup_steps=50)
    optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model, 6, 64


def speech_lstm() -> tuple[keras.Model, int, int]:
    model = keras.Sequential(
        [
            keras.Input((25, 12)),
            layers.LSTM(64, return_sequences=True),
            layers.LSTM(64),
            layers.Dense(9, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model, 40, 32


def text_lstm() -> tuple[keras.Model, int, int]:
    model = keras.Sequential(
        [
            keras.Input((40,), dtype="int32"),
            layers.Embedding(4000, 64, mask_zero=True),
            layers.LSTM(64),
            layers.Dense(4, activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.Adam(1e-3, global_clipnorm=1.0)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model, 3, 32


def breast_cancer() -> tuple[keras.Model, int, int]:
    model = keras.Sequential(
        [
            keras.Input((30,)),
            layers.Dense(16, activation="relu", kernel_regularizer=keras.regularizers.L2(1e-3)),
            layers.Dropout(0.2),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.RMSprop(1e-3), "binary_crossentropy", metrics=["accuracy"])
    return model, 60, 32


def market_volatility() -> tuple[keras.Model, int, int]:
    model = keras.Sequential(
        [keras.Input((20, 1)), layers.GRU(16), layers.Dense(1, activation="softplus")]
    )
    model.compile(
        keras.optimizers.Adam(1e-3), "mean_absolute_error", metrics=["mean_absolute_error"]
    )
    return model, 10, 64


def motion() -> tuple[keras.Model, int, int]:
    model = keras.Sequential(
        [
            keras.Input((100, 6)),
            layers.Conv1D(32, 5, strides=2, activation="relu"),
            layers.LSTM(32),
            layers.Dense(4),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(5e-3, weight_decay=0.01), loss, metrics=["accuracy"])
    return model, 40, 8


def two_inputs() -> tuple[keras.Model, int, int]:
    left, right = keras.Input((8, 8, 1), name="left"), keras.Input((8, 8, 1), name="right")
    encode = layers.Conv2D(16, 3, activation="relu")
    embed = layers.Dense(32, activation="tanh")
    codes = [embed(layers.Flatten()(encode(image))) for image in (left, right)]
    pair = layers.Concatenate()([*codes, layers.Multiply()(codes)])
    hidden = layers.Dense(32, activation="relu")(pair)
    same = layers.Dense(1, activation="sigmoid", name="same")(hidden)
    digit = layers.Dense(10, activation="softmax", name="digit")(codes[0])
    model = keras.Model({"left": left, "right": right}, {"same": same, "digit": digit})
    model.compile(
        keras.optimizers.Adam(2e-3),
        {"same": "binary_crossentropy", "digit": "sparse_categorical_crossentropy"},
        loss_weights={"same": 1.0, "digit": 0.5},
        metrics={"same": ["accuracy"], "digit": ["accuracy"]},
    )
    return model, 20, 64


MODELS: dict[str, Callable[[], tuple[keras.Model, int, int]]] = {
    function.__name__: function
    for function in (
        mlp,
        mnist_cnn,
        image_classification,
        speech_lstm,
        text_lstm,
        breast_cancer,
        market_volatility,
        motion,
        two_inputs,
    )
}


def forecasts(data: Dataset) -> str:
    """Mean absolute errors on the test part of simpler forecasts of the volatility.

    Naive: the deviation of the last 5 returns. Month: that of all 20. Linear: the function of the
    absolute returns of the 20 days with the least absolute error on the training part, which is
    what the network minimises too. Median: the training part's.
    """
    assert data.test is not None

    def parts(part: Part) -> tuple[np.ndarray, np.ndarray]:
        return part.inputs["returns"][..., 0].astype(float), part.targets["volatility"][:, 0]

    def error(forecast: Any, truth: np.ndarray) -> float:
        return float(np.abs(forecast - truth).mean())

    (past, known), (returns, truth) = parts(data.train), parts(data.test)
    fitted = QuantileRegressor(quantile=0.5, alpha=0, solver="highs").fit(np.abs(past), known)
    linear = fitted.predict(np.abs(returns))
    return (
        f"naive {error(returns[:, -5:].std(1), truth):.4f}, "
        f"month {error(returns.std(1), truth):.4f}, "
        f"linear {error(linear, truth):.4f}, "
        f"median {error(np.median(known), truth):.4f}"
    )


def arrays(part: Part) -> tuple[Any, Any]:
    """Inputs and targets as Keras takes them: a single one bare, several by name."""
    single = len(part.inputs) == 1
    pick: Callable[[dict[str, np.ndarray]], Any] = (
        (lambda found: next(iter(found.values()))) if single else (lambda found: found)
    )
    return pick(part.inputs), pick(part.targets)


def run(name: str) -> str:
    """Trains one example and describes what it reaches on its test part."""
    data = data_of(name)
    assert data.test is not None
    keras.utils.set_random_seed(SEED)
    model, epochs, batch_size = MODELS[name]()
    start = time.perf_counter()
    model.fit(
        *arrays(data.train),
        epochs=epochs,
        batch_size=batch_size,
        verbose=0,
        validation_data=arrays(data.validation) if data.validation else None,
    )
    seconds = time.perf_counter() - start
    reached = model.evaluate(*arrays(data.test), verbose=0, return_dict=True)
    loss = reached.pop("loss")
    figures = ", ".join(
        f"{metric} {value:.4f}" for metric, value in reached.items() if not metric.endswith("loss")
    )
    if name == "market_volatility":
        figures += f" ({forecasts(data)})"
    assert math.isfinite(loss)
    steps = epochs * math.ceil(len(data.train) / batch_size)
    return f"| {name} | {figures} | {loss:.4f} | {epochs} | {steps} | {seconds:.1f} |"


def main(names: list[str]) -> None:
    print("| example | on the test part | test loss | epochs | steps | seconds |")
    print("|---|---|---|---|---|---|")
    for name in names or list(MODELS):
        print(run(name), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

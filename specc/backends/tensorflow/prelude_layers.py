"""Layers of generated TensorFlow files whose meaning Keras' own do not have."""

import math
from operator import attrgetter
from typing import Any

import keras
import tensorflow as tf

from specc.backends.prelude_shared import layer_key
from specc.backends.tensorflow.prelude_random import dropout


class Block(keras.Layer):
    """A layer that leaves Keras' implicit masks alone: here a mask is an argument."""

    def __init__(self) -> None:
        super().__init__()
        self.supports_masking = True

    def compute_mask(self, inputs: object, mask: object) -> None:
        """Attaches no mask to the output."""


class Dropout(keras.Layer):
    """Dropout whose masks derive from (seed, path, step): the same on every backend."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.supports_masking = True  #: masks

    def seed(self, seed: int, path: str) -> None:
        """Fixes the stream of this layer's masks."""
        self.where = seed, path

    def call(
        self, x: tf.Tensor, step: tf.Tensor, training: bool = False, use: int = 0
    ) -> tf.Tensor:
        if not training or self.rate == 0:
            return x
        return dropout(x, self.rate, layer_key(*self.where, use), step)


def leaky_relu(x: tf.Tensor, slope: float) -> tf.Tensor:
    """x where positive, else slope * x; tf.nn's holds its slope in float32."""
    return tf.where(x > 0, x, slope * x)


def elu(x: tf.Tensor, alpha: float) -> tf.Tensor:
    """x where positive, else alpha * (exp(x) - 1); tf.nn's has alpha 1."""
    return tf.where(x > 0, x, alpha * tf.math.expm1(tf.minimum(x, 0)))


def gelu(x: tf.Tensor) -> tf.Tensor:
    """x * Phi(x); tf.nn's rounds its constants to float32."""
    return 0.5 * x * (1 + tf.math.erf(x * math.sqrt(0.5)))


def gelu_tanh(x: tf.Tensor) -> tf.Tensor:
    """The tanh form of gelu; tf.nn's rounds its constants to float32."""
    return 0.5 * x * (1 + tf.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def without_mask(result: Any) -> Any:
    """What a layer of Keras gives, without the mask that the next one would take by itself."""
    return tf.nest.map_structure(tf.identity, result)


def has(layer: keras.Layer, attribute: str) -> bool:
    """Whether a layer has a dotted attribute."""
    try:
        attrgetter(attribute)(layer)
    except AttributeError:
        return False
    return True

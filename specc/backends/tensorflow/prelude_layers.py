"""Layers of generated TensorFlow files whose meaning Keras' own do not have."""

import keras
import tensorflow as tf

from specc.backends.prelude_shared import layer_key
from specc.backends.tensorflow.prelude_random import dropout


class Dropout(keras.Layer):
    """Dropout whose masks derive from (seed, path, step): the same on every backend."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def seed(self, seed: int, path: str) -> None:
        """Fixes the stream of this layer's masks."""
        self.where = seed, path

    def call(
        self, x: tf.Tensor, step: tf.Tensor, training: bool = False, use: int = 0
    ) -> tf.Tensor:
        if not training or self.rate == 0:
            return x
        return dropout(x, self.rate, layer_key(*self.where, use), step)

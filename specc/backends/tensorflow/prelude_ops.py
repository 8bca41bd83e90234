"""Layers of generated TensorFlow files whose meaning Keras' own do not have, op by op."""

from collections.abc import Callable
from functools import reduce

import keras
import tensorflow as tf


def average_pool(
    x: tf.Tensor, pool: Callable[..., tf.Tensor], size: object, step: object, pads: list[list[int]]
) -> tf.Tensor:
    """The mean of each window of x (N, *, C) over what lies in x: padding does not count."""
    inside = pool(tf.pad(tf.ones_like(x[:1, ..., :1]), pads), size, step, "VALID")
    return pool(tf.pad(x, pads), size, step, "VALID") / inside


def masked_mean(
    x: tf.Tensor, mask: tf.Tensor, steps: int, channels: int, keepdims: bool
) -> tf.Tensor:
    """Mean of x (N, T, C) or (N, C, T) over the steps where the mask (N, T) is True."""
    valid = tf.expand_dims(mask, channels)
    total = tf.reduce_sum(tf.where(valid, x, tf.zeros_like(x)), steps, keepdims=keepdims)
    return total / tf.reduce_sum(tf.cast(valid, x.dtype), steps, keepdims=keepdims)


def moments(x: tf.Tensor, axes: list[int]) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and variance of x over axes, which are kept as 1.

    Over several axes at once TensorFlow adds a channel's values one by one, and float32 loses two
    digits; axis by axis it does not.
    """
    mean = reduce(lambda part, axis: tf.reduce_mean(part, axis, keepdims=True), axes, x)
    square = tf.math.squared_difference(x, mean)
    return mean, reduce(lambda part, axis: tf.reduce_mean(part, axis, keepdims=True), axes, square)


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' layer with statistics that stay exact in float32."""

    def _moments(self, inputs: tf.Tensor, mask: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        if mask is not None:
            return super()._moments(inputs, mask)
        mean, variance = moments(inputs, self._reduction_axes)
        return tf.reshape(mean, [-1]), tf.reshape(variance, [-1])


class TorchBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization as PyTorch defines it.

    The moving variance is the unbiased one if ``unbiased``, and a layer that is not trainable
    still normalizes by the statistics of its batch.
    """

    def __init__(self, unbiased: bool = True, **options: object) -> None:
        super().__init__(**options)
        self.unbiased = unbiased

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training:
            return super().call(x, training=False)
        axes = [axis for axis in range(len(x.shape)) if axis != self.axis % len(x.shape)]
        mean, variance = moments(x, axes)
        spread = self.correction(x, variance)
        keep = tf.constant(self.momentum, x.dtype)
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, spread)):
            moving.assign(moving * keep + tf.reshape(now, [-1]) * (1 - keep))
        gamma, beta = (
            tf.reshape(each, tf.shape(mean)) if each is not None else None
            for each in (self.gamma, self.beta)
        )
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, self.epsilon)

    def correction(self, x: tf.Tensor, variance: tf.Tensor) -> tf.Tensor:
        """The variance that is kept."""
        if not self.unbiased:
            return variance
        count = tf.size(x) // tf.size(variance)
        message = "batch normalization needs more than 1 value per feature to train"
        tf.debugging.assert_greater(count, 1, message)
        return variance * tf.cast(count / (count - 1), x.dtype)


class PaddedEmbedding(keras.layers.Embedding):
    """An embedding whose row ``padding_idx`` gets no gradient, as in PyTorch."""

    def __init__(self, input_dim: int, output_dim: int, padding_idx: int) -> None:
        super().__init__(input_dim, output_dim)
        self.padding_idx = padding_idx

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        rows = super().call(ids)
        padding = tf.expand_dims(tf.equal(ids, self.padding_idx), -1)
        return tf.where(padding, tf.stop_gradient(rows), rows)

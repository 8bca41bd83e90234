"""Layers of generated TensorFlow files whose meaning Keras' own do not have, op by op."""

from collections.abc import Callable
from functools import reduce
from typing import Any

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


def fused_batch_norm(
    x: tf.Tensor,
    gamma: tf.Tensor,
    beta: tf.Tensor,
    mean: tf.Tensor,
    variance: tf.Tensor,
    epsilon: float,
) -> tf.Tensor:
    """Batch normalization of x (N, H, W, C) by its statistics, in float32 on the CPU.

    The kernels are TensorFlow's own; the statistics that they would take are less exact.
    """

    @tf.custom_gradient
    def normalize(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tuple[tf.Tensor, Any]:
        given = {"x": x, "scale": gamma, "epsilon": epsilon}
        taken = {"offset": beta, "mean": mean, "variance": variance, "is_training": False}
        kept = {"reserve_space_1": mean, "reserve_space_2": variance, "reserve_space_3": []}

        def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, ...]:
            found = tf.raw_ops.FusedBatchNormGradV3(y_backprop=dy, **given, **kept)
            return found.x_backprop, found.scale_backprop, found.offset_backprop

        return tf.raw_ops.FusedBatchNormV3(**given, **taken).y, gradient

    return normalize(x, tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta))


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' layer with statistics that stay exact in float32."""

    def call(
        self, x: tf.Tensor, training: bool = False, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        if mask is not None or not (training and self.trainable):
            return super().call(x, training=training, mask=mask)
        return self.normalize(x)

    def normalize(self, x: tf.Tensor) -> tf.Tensor:
        """Normalizes by the statistics of the batch, and keeps them."""
        axes = [axis for axis in range(len(x.shape)) if axis != self.axis % len(x.shape)]
        mean, variance = moments(x, axes)
        keep = tf.constant(self.momentum, x.dtype)
        statistics = (self.moving_mean, mean), (self.moving_variance, self.kept(x, variance))
        for moving, now in statistics:
            moving.assign(moving * keep + tf.reshape(now, [-1]) * (1 - keep))
        fits = axes == [0, 1, 2] and self.center and self.scale and x.dtype == tf.float32
        if fits and not tf.config.list_logical_devices("GPU"):
            flat = tf.reshape(mean, [-1]), tf.reshape(variance, [-1])
            return fused_batch_norm(x, self.gamma, self.beta, *flat, self.epsilon)
        gamma, beta = (
            tf.reshape(each, tf.shape(mean)) if each is not None else None
            for each in (self.gamma, self.beta)
        )
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, self.epsilon)

    def kept(self, x: tf.Tensor, variance: tf.Tensor) -> tf.Tensor:
        """What the moving variance takes in."""
        return variance


class TorchBatchNormalization(BatchNormalization):
    """Batch normalization as PyTorch defines it.

    The moving variance is the unbiased one if ``unbiased``, and a layer that is not trainable
    still normalizes by the statistics of its batch.
    """

    def __init__(self, unbiased: bool = True, **options: object) -> None:
        super().__init__(**options)
        self.unbiased = unbiased

    def call(
        self, x: tf.Tensor, training: bool = False, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        return self.normalize(x) if training else super().call(x, training=False)

    def kept(self, x: tf.Tensor, variance: tf.Tensor) -> tf.Tensor:
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

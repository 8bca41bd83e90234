"""Losses and metrics of generated TensorFlow files."""

from typing import Any

import tensorflow as tf


def weighted_mean(
    values: tf.Tensor,
    weights: tf.Tensor | None = None,
    mask: tf.Tensor | None = None,  #: masked
) -> tf.Tensor:
    """The mean of a loss's values; a weight counts for all values of its sample."""
    if weights is None and mask is None:  #: masked
        return tf.reduce_mean(values)  #: masked
    if weights is None:  #: unmasked
        return tf.reduce_mean(values)  #: unmasked
    weights = tf.ones(tf.shape(values)[:1], values.dtype) if weights is None else weights  #: masked
    weights = tf.reshape(weights, [-1] + [1] * (len(values.shape) - 1)) * tf.ones_like(values)
    total = tf.reduce_sum(tf.ones_like(values))  #: masked_keras
    if mask is not None:  #: masked
        mask = tf.cast(mask, values.dtype)  #: masked
        weights *= mask  #: masked
        total = tf.reduce_sum(mask * tf.ones_like(values))  #: masked_keras
    return tf.reduce_sum(weights * values) / total  #: masked_keras
    return tf.reduce_mean(weights * values)  #: unmasked_keras
    return tf.reduce_sum(weights * values) / tf.reduce_sum(weights)  #: pytorch


def smooth_binary(target: tf.Tensor, smoothing: float) -> tf.Tensor:
    """Labels of 0 and 1, moved towards 1/2."""
    return target * (1 - smoothing) + 0.5 * smoothing


def smooth_classes(target: tf.Tensor, smoothing: float) -> tf.Tensor:
    """One-hot targets (..., classes) with a share of their weight spread over all classes."""
    return target * (1 - smoothing) + smoothing / target.shape[-1]


def huber(prediction: tf.Tensor, target: tf.Tensor, delta: float) -> tf.Tensor:
    """error**2 / 2, which beyond delta goes on as a line."""
    error = tf.abs(prediction - target)
    return tf.where(error <= delta, 0.5 * error * error, delta * (error - 0.5 * delta))


def binary_crossentropy(probability: tf.Tensor, target: tf.Tensor, epsilon: float) -> tf.Tensor:
    """-t log(p) - (1 - t) log(1 - p), p limited to [epsilon, 1 - epsilon] as Keras does."""
    p = tf.clip_by_value(probability, epsilon, 1 - epsilon)
    return -target * tf.math.log(p) - (1 - target) * tf.math.log1p(-p)


@tf.custom_gradient
def binary_crossentropy_floored(p: tf.Tensor, target: tf.Tensor) -> tuple[Any, ...]:
    """-t log(p) - (1 - t) log(1 - p), its logarithms at least -100 as in PyTorch."""
    positive, negative = tf.maximum(tf.math.log(p), -100), tf.maximum(tf.math.log1p(-p), -100)

    def gradient(upstream: tf.Tensor) -> tuple[Any, ...]:
        limit = 9.999999960041972e-13  # torch's 1e-12, a float32
        return upstream * (p - target) / tf.maximum(p * (1 - p), limit), None

    return (target - 1) * negative - target * positive, gradient


def categorical_crossentropy(
    probabilities: tf.Tensor, target: tf.Tensor, epsilon: float
) -> tf.Tensor:
    """-sum(t log(p)) over the last axis, p divided by its sum, then limited to [eps, 1 - eps]."""
    p = probabilities / tf.reduce_sum(probabilities, -1, keepdims=True)
    p = tf.clip_by_value(p, epsilon, 1 - epsilon)
    return -tf.reduce_sum(target * tf.math.log(p), -1)


def categorical_crossentropy_from_logits(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """-sum(t log(softmax)); tf.nn's has this gradient only where the targets add up to 1."""
    return -tf.reduce_sum(target * tf.nn.log_softmax(logits), -1)


def sparse_categorical_crossentropy(
    probabilities: tf.Tensor, target: tf.Tensor, epsilon: float
) -> tf.Tensor:
    """-log(p[target]), p divided by its sum, then limited to [epsilon, 1 - epsilon]."""
    p = probabilities / tf.reduce_sum(probabilities, -1, keepdims=True)
    chosen = tf.gather(p, target, batch_dims=len(target.shape))
    return -tf.math.log(tf.clip_by_value(chosen, epsilon, 1 - epsilon))


def sparse_categorical_accuracy(prediction: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """1 where the largest prediction (the first among equals) is the target's class."""
    return tf.cast(tf.argmax(prediction, -1) == target, prediction.dtype)


def categorical_accuracy(prediction: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """1 where prediction and one-hot target are largest at the same place."""
    return tf.cast(tf.argmax(prediction, -1) == tf.argmax(target, -1), prediction.dtype)


def binary_accuracy(prediction: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """1 where a probability is above 0.5 just when the target is 1."""
    return tf.cast(
        (prediction > 0.5) == (tf.cast(target, prediction.dtype) > 0.5), prediction.dtype
    )


def sparse_top_k_accuracy(prediction: tf.Tensor, target: tf.Tensor, k: int) -> tf.Tensor:
    """1 where fewer than k classes are predicted above the target's."""
    own = tf.gather(prediction, target[..., None], batch_dims=len(target.shape))
    above = tf.reduce_sum(tf.cast(prediction > own, tf.int32), -1)
    return tf.cast(above < k, prediction.dtype)


def absolute_error(prediction: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """|prediction - target|."""
    return tf.abs(prediction - tf.cast(target, prediction.dtype))

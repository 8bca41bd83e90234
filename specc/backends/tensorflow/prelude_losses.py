"""Losses and metrics of generated TensorFlow files."""

import tensorflow as tf


def weighted_mean(
    values: tf.Tensor, sample_weights: tf.Tensor | None = None, mask: tf.Tensor | None = None
) -> tf.Tensor:
    """The mean of a loss's values; a weight counts for all values of its sample."""
    if sample_weights is None and mask is None:
        return tf.reduce_mean(values)
    weights = tf.ones_like(values)
    if sample_weights is not None:
        weights *= tf.reshape(sample_weights, [-1] + [1] * (len(values.shape) - 1))
    total = tf.reduce_sum(tf.ones_like(values))  #: keras
    if mask is not None:  #: masked
        mask = tf.cast(mask, values.dtype)  #: masked
        weights *= mask  #: masked
        total = tf.reduce_sum(mask * tf.ones_like(values))  #: masked
    total = tf.reduce_sum(weights)  #: pytorch
    return tf.reduce_sum(weights * values) / total


def sparse_categorical_crossentropy(probabilities: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """-log p[target] of probabilities that are normalised, then clipped to [1e-7, 1 - 1e-7]."""
    p = probabilities / tf.reduce_sum(probabilities, -1, keepdims=True)
    return -tf.math.log(tf.gather(tf.clip_by_value(p, 1e-7, 1 - 1e-7), target, batch_dims=-1))


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
    own = tf.gather(prediction, target[..., None], batch_dims=-1)
    above = tf.reduce_sum(tf.cast(prediction > own, tf.int32), -1)
    return tf.cast(above < k, prediction.dtype)


def absolute_error(prediction: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """|prediction - target|."""
    return tf.abs(prediction - tf.cast(target, prediction.dtype))


def one_hot_smoothed(target: tf.Tensor, smoothing: float) -> tf.Tensor:
    """A one-hot target with ``smoothing`` of its weight spread over all classes."""
    return target * (1 - smoothing) + smoothing / target.shape[-1]


def binary_crossentropy(probability: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """-t log p - (1 - t) log(1 - p) of probabilities clipped to [1e-7, 1 - 1e-7]."""
    p = tf.clip_by_value(probability, 1e-7, 1 - 1e-7)
    return -target * tf.math.log(p) - (1 - target) * tf.math.log1p(-p)

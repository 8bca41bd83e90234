"""Losses and metrics of generated JAX files."""

import jax
import jax.numpy as jnp


def weighted_mean(
    values: jax.Array, sample_weights: jax.Array | None = None, mask: jax.Array | None = None
) -> jax.Array:
    """The mean of a loss's values; a weight counts for all values of its sample."""
    if sample_weights is None and mask is None:
        return values.mean()
    weights = jnp.ones_like(values)
    if sample_weights is not None:
        weights = weights * sample_weights.reshape(-1, *[1] * (values.ndim - 1))
    if mask is not None:  #: masked
        weights = weights * mask  #: masked
    total = weights.size if mask is None else mask.sum()  #: keras
    total = weights.sum()  #: pytorch
    return (weights * values).sum() / total


def feature_mean(values: jax.Array) -> jax.Array:
    """The mean over the last axis; the values themselves where the batch axis is the only one."""
    return values.mean(-1) if values.ndim > 1 else values


def mean_squared_error(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """The mean over the features of (prediction - target)^2."""
    return feature_mean(jnp.square(prediction - target))


def mean_absolute_error(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """The mean over the features of |prediction - target|."""
    return feature_mean(jnp.abs(prediction - target))


def huber(prediction: jax.Array, target: jax.Array, delta: float) -> jax.Array:
    """The mean over the features of error^2 / 2, which beyond delta goes on as a line."""
    size = jnp.abs(prediction - target)
    inner = jnp.minimum(size, delta)
    return feature_mean(inner * (size - 0.5 * inner))


def binary_crossentropy(
    probability: jax.Array, target: jax.Array, label_smoothing: float, epsilon: float
) -> jax.Array:
    """-t log(p) - (1 - t) log(1 - p), p limited to [epsilon, 1 - epsilon] as Keras does."""
    target = target * (1 - label_smoothing) + 0.5 * label_smoothing
    p = jnp.clip(probability, epsilon, 1 - epsilon)
    return feature_mean(-target * jnp.log(p) - (1 - target) * jnp.log1p(-p))


def binary_crossentropy_from_logits(
    logits: jax.Array, target: jax.Array, label_smoothing: float
) -> jax.Array:
    """The same of sigmoid(logits), without overflow."""
    target = target * (1 - label_smoothing) + 0.5 * label_smoothing
    return feature_mean(jax.nn.softplus(logits) - target * logits)


def categorical_crossentropy(
    probabilities: jax.Array, target: jax.Array, label_smoothing: float, epsilon: float
) -> jax.Array:
    """-sum(t log(p)) over the classes, p divided by its sum, then limited to [eps, 1 - eps]."""
    target = target * (1 - label_smoothing) + label_smoothing / target.shape[-1]
    p = probabilities / probabilities.sum(-1, keepdims=True)
    return -(target * jnp.log(jnp.clip(p, epsilon, 1 - epsilon))).sum(-1)


def categorical_crossentropy_from_logits(
    logits: jax.Array, target: jax.Array, label_smoothing: float
) -> jax.Array:
    """-sum(t log(softmax(logits))) over the classes."""
    target = target * (1 - label_smoothing) + label_smoothing / target.shape[-1]
    return -(target * jax.nn.log_softmax(logits)).sum(-1)


def sparse_categorical_crossentropy(
    probabilities: jax.Array, labels: jax.Array, epsilon: float
) -> jax.Array:
    """-log(p[label]), p divided by its sum, then limited to [epsilon, 1 - epsilon]."""
    p = probabilities / probabilities.sum(-1, keepdims=True)
    chosen = jnp.take_along_axis(p, labels[..., None], -1)[..., 0]
    return -jnp.log(jnp.clip(chosen, epsilon, 1 - epsilon))


def sparse_categorical_crossentropy_from_logits(
    logits: jax.Array, labels: jax.Array, label_smoothing: float = 0.0
) -> jax.Array:
    """-log(softmax(logits)[label]); smoothing gives that share of the target to all classes."""
    logs = jax.nn.log_softmax(logits)
    chosen = jnp.take_along_axis(logs, labels[..., None], -1)[..., 0]
    return -(1 - label_smoothing) * chosen - label_smoothing * logs.mean(-1)


def sparse_categorical_accuracy(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """1 where the largest prediction (the first among equals) is the target's class."""
    return prediction.argmax(-1) == target


def categorical_accuracy(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """1 where prediction and one-hot target are largest at the same place."""
    return prediction.argmax(-1) == target.argmax(-1)


def binary_accuracy(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """1 where a probability is above 0.5 just when the target is 1."""
    return (prediction > 0.5) == (target > 0.5)


def sparse_top_k_accuracy(prediction: jax.Array, target: jax.Array, k: int) -> jax.Array:
    """1 where fewer than k classes are predicted above the target's."""
    own = jnp.take_along_axis(prediction, target[..., None], -1)
    return (prediction > own).sum(-1) < k


def absolute_error(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """|prediction - target|."""
    return jnp.abs(prediction - target)

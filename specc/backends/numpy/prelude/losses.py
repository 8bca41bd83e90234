"""Losses, one value per sample and position, and their gradients.

Predictions have the batch on axis 0 and features or classes on the last axis, over which the values
are averaged or summed. The gradient functions return d sum(weights * values) / d prediction, where
weights has the shape of the values. Targets have the dtype of the predictions; labels are integers.
"""

import numpy as np


def feature_mean(values: np.ndarray) -> np.ndarray:
    """The mean over the last axis; the values themselves where the batch axis is the only one."""
    return values.mean(axis=-1) if values.ndim > 1 else values


def feature_mean_gradient(weights: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Each feature's share of the weights of feature_mean, in a shape that spreads over them."""
    return weights[..., None] / prediction.shape[-1] if prediction.ndim > 1 else weights


def mean_squared_error(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Mean over the features of (prediction - target)^2."""
    error = prediction - target
    return feature_mean(error * error)


def mean_squared_error_gradient(
    prediction: np.ndarray, target: np.ndarray, *, weights: np.ndarray
) -> np.ndarray:
    """Gradient of sum(weights * mean_squared_error) with respect to the prediction."""
    return 2 * (prediction - target) * feature_mean_gradient(weights, prediction)


def mean_absolute_error(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Mean over the features of |prediction - target|."""
    return feature_mean(np.abs(prediction - target))


def mean_absolute_error_gradient(
    prediction: np.ndarray, target: np.ndarray, *, weights: np.ndarray
) -> np.ndarray:
    """Gradient of sum(weights * mean_absolute_error); where there is no error it is 0."""
    return np.sign(prediction - target) * feature_mean_gradient(weights, prediction)


def huber(prediction: np.ndarray, target: np.ndarray, delta: float) -> np.ndarray:
    """Mean over the features of error^2 / 2, which beyond delta goes on as a straight line."""
    size = np.abs(prediction - target)
    inner = np.minimum(size, delta)
    return feature_mean(inner * (size - 0.5 * inner))


def huber_gradient(
    prediction: np.ndarray, target: np.ndarray, delta: float, *, weights: np.ndarray
) -> np.ndarray:
    """Gradient of sum(weights * huber): the error, limited to delta on either side."""
    error = np.clip(prediction - target, -delta, delta)
    return error * feature_mean_gradient(weights, prediction)


def binary_crossentropy(
    prediction: np.ndarray, target: np.ndarray, label_smoothing: float = 0.0, epsilon: float = 1e-7
) -> np.ndarray:
    """Mean over the features of -t log(p) - (1 - t) log(1 - p), p limited to [eps, 1 - eps].

    Label smoothing moves the targets towards 1/2.
    """
    target = target * (1 - label_smoothing) + 0.5 * label_smoothing
    p = np.clip(prediction, epsilon, 1 - epsilon)
    return feature_mean(-(target * np.log(p) + (1 - target) * np.log(1 - p)))


def binary_crossentropy_gradient(
    prediction: np.ndarray,
    target: np.ndarray,
    label_smoothing: float = 0.0,
    epsilon: float = 1e-7,
    *,
    weights: np.ndarray,
) -> np.ndarray:
    """Gradient of sum(weights * binary_crossentropy): 0 where the prediction was clipped."""
    target = target * (1 - label_smoothing) + 0.5 * label_smoothing
    p = np.clip(prediction, epsilon, 1 - epsilon)
    within = (prediction >= epsilon) & (prediction <= 1 - epsilon)
    slope = (p - target) / (p * (1 - p))
    return within * slope * feature_mean_gradient(weights, prediction)


def binary_crossentropy_floored(
    prediction: np.ndarray, target: np.ndarray, label_smoothing: float
) -> np.ndarray:
    """binary_crossentropy whose logarithms are at least -100, as torch's: p may be 0 or 1."""
    target = target * (1 - label_smoothing) + 0.5 * label_smoothing
    with np.errstate(divide="ignore"):
        log_p, log_rest = np.log(prediction), np.log1p(-prediction)
    values = target * np.maximum(log_p, -100) + (1 - target) * np.maximum(log_rest, -100)
    return feature_mean(-values)


def binary_crossentropy_floored_gradient(
    prediction: np.ndarray, target: np.ndarray, label_smoothing: float, weights: np.ndarray
) -> np.ndarray:
    """Gradient of sum(weights * binary_crossentropy_floored), its divisor limited as in torch."""
    target = target * (1 - label_smoothing) + 0.5 * label_smoothing
    # torch keeps its limit of 1e-12 as a float32.
    limit = float(np.float32(1e-12))
    slope = (prediction - target) / np.maximum(prediction * (1 - prediction), limit)
    return slope * feature_mean_gradient(weights, prediction)


def binary_crossentropy_from_logits(
    logits: np.ndarray, target: np.ndarray, label_smoothing: float = 0.0
) -> np.ndarray:
    """Binary cross-entropy of sigmoid(logits), averaged over the features, without overflow."""
    target = target * (1 - label_smoothing) + 0.5 * label_smoothing
    log_total = np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))
    return feature_mean(log_total - logits * target)


def binary_crossentropy_from_logits_gradient(
    logits: np.ndarray, target: np.ndarray, label_smoothing: float = 0.0, *, weights: np.ndarray
) -> np.ndarray:
    """Gradient of sum(weights * binary_crossentropy_from_logits): sigmoid(logits) - target."""
    target = target * (1 - label_smoothing) + 0.5 * label_smoothing
    probability = 1 / (1 + np.exp(np.minimum(-logits, 80)))
    return (probability - target) * feature_mean_gradient(weights, logits)


def categorical_crossentropy(
    prediction: np.ndarray, target: np.ndarray, label_smoothing: float = 0.0, epsilon: float = 1e-7
) -> np.ndarray:
    """-sum of t log(p) over the classes, p scaled to sum 1 and then limited to [eps, 1 - eps].

    Label smoothing moves the targets towards 1 / classes.
    """
    target = target * (1 - label_smoothing) + label_smoothing / target.shape[-1]
    p = prediction / prediction.sum(axis=-1, keepdims=True)
    return -(target * np.log(np.clip(p, epsilon, 1 - epsilon))).sum(axis=-1)


def categorical_crossentropy_gradient(
    prediction: np.ndarray,
    target: np.ndarray,
    label_smoothing: float = 0.0,
    epsilon: float = 1e-7,
    *,
    weights: np.ndarray,
) -> np.ndarray:
    """Gradient of sum(weights * categorical_crossentropy): none through a clipped probability."""
    target = target * (1 - label_smoothing) + label_smoothing / target.shape[-1]
    total = prediction.sum(axis=-1, keepdims=True)
    p = prediction / total
    within = (p >= epsilon) & (p <= 1 - epsilon)
    dp = -weights[..., None] * within * target / np.clip(p, epsilon, 1 - epsilon)
    return (dp - (dp * p).sum(axis=-1, keepdims=True)) / total


def categorical_crossentropy_from_logits(
    logits: np.ndarray, target: np.ndarray, label_smoothing: float = 0.0
) -> np.ndarray:
    """Categorical cross-entropy of softmax(logits), computed from their logarithms."""
    target = target * (1 - label_smoothing) + label_smoothing / target.shape[-1]
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return (target * (log_total - shifted)).sum(axis=-1)


def categorical_crossentropy_from_logits_gradient(
    logits: np.ndarray, target: np.ndarray, label_smoothing: float = 0.0, *, weights: np.ndarray
) -> np.ndarray:
    """Gradient of sum(weights * categorical_crossentropy_from_logits): softmax(logits) - target.

    The softmax counts as often as the targets of a position sum to.
    """
    target = target * (1 - label_smoothing) + label_smoothing / target.shape[-1]
    probability = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probability /= probability.sum(axis=-1, keepdims=True)
    return weights[..., None] * (probability * target.sum(axis=-1, keepdims=True) - target)


def check_labels(labels: np.ndarray, classes: int) -> None:
    """Raises ValueError for a label that is none of the classes 0, 1, ..."""
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"labels go from {labels.min()} to {labels.max()}, not 0 to {classes - 1}")


def sparse_categorical_crossentropy(
    prediction: np.ndarray, labels: np.ndarray, epsilon: float = 1e-7
) -> np.ndarray:
    """-log(p) of the labelled class, p scaled to sum 1 and then limited to [eps, 1 - eps].

    prediction is (..., classes), labels (...) counts classes from 0.
    """
    check_labels(labels, prediction.shape[-1])
    chosen = np.take_along_axis(prediction, labels[..., None], axis=-1)[..., 0]
    return -np.log(np.clip(chosen / prediction.sum(axis=-1), epsilon, 1 - epsilon))


def sparse_categorical_crossentropy_gradient(
    prediction: np.ndarray, labels: np.ndarray, epsilon: float = 1e-7, *, weights: np.ndarray
) -> np.ndarray:
    """Gradient of sum(weights * sparse_categorical_crossentropy): 0 where p was clipped."""
    total = prediction.sum(axis=-1, keepdims=True)
    chosen = np.take_along_axis(prediction, labels[..., None], axis=-1)
    p = chosen / total
    within = (p >= epsilon) & (p <= 1 - epsilon)
    share = within * weights[..., None] / total
    gradient = np.broadcast_to(share, prediction.shape).copy()
    own = share - share / np.clip(p, epsilon, 1 - epsilon)
    np.put_along_axis(gradient, labels[..., None], own, axis=-1)
    return gradient


def sparse_categorical_crossentropy_from_logits(
    logits: np.ndarray, labels: np.ndarray, label_smoothing: float = 0.0
) -> np.ndarray:
    """-log of the labelled class's softmax: logits (..., classes), labels (...) from 0.

    label_smoothing gives that share of the target evenly to all classes.
    """
    check_labels(labels, logits.shape[-1])
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(axis=-1))
    chosen = np.take_along_axis(shifted, labels[..., None], axis=-1)[..., 0]
    if label_smoothing:
        chosen = (1 - label_smoothing) * chosen + label_smoothing * shifted.mean(axis=-1)
    return log_total - chosen


def sparse_categorical_crossentropy_from_logits_gradient(
    logits: np.ndarray, labels: np.ndarray, label_smoothing: float = 0.0, *, weights: np.ndarray
) -> np.ndarray:
    """Gradient of sum(weights * sparse_categorical_crossentropy_from_logits)."""
    gradient = np.exp(logits - logits.max(axis=-1, keepdims=True))
    gradient /= gradient.sum(axis=-1, keepdims=True)
    if label_smoothing:
        gradient -= label_smoothing / logits.shape[-1]
    chosen = np.take_along_axis(gradient, labels[..., None], axis=-1)
    np.put_along_axis(gradient, labels[..., None], chosen - (1 - label_smoothing), axis=-1)
    return weights[..., None] * gradient

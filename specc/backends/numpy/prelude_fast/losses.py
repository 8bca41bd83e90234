"""The crossentropy of logits in parts of the batch and in place."""

import numpy as np

from specc.backends.numpy.prelude.losses import check_labels
from specc.backends.numpy.prelude_fast.memory import empty
from specc.backends.numpy.prelude_fast.rows import row_maxima
from specc.backends.numpy.prelude_fast.threads import map_parts, sample_parts


def shifted_logits(logits: np.ndarray) -> np.ndarray:
    """The logits less the largest of each row."""
    shifted = empty(logits.shape, logits.dtype)
    np.subtract(logits, row_maxima(logits), out=shifted)
    return shifted


def sparse_categorical_crossentropy_from_logits(
    logits: np.ndarray, labels: np.ndarray, label_smoothing: float = 0.0
) -> np.ndarray:
    """-log of the labelled class's softmax: logits (..., classes), labels (...) from 0.

    label_smoothing gives that share of the target evenly to all classes.
    """
    check_labels(labels, logits.shape[-1])
    values = empty(labels.shape, logits.dtype)

    def compute(part: slice) -> None:
        shifted = shifted_logits(logits[part])
        chosen = np.take_along_axis(shifted, labels[part][..., None], axis=-1)[..., 0]
        if label_smoothing:
            chosen = (1 - label_smoothing) * chosen + label_smoothing * shifted.mean(axis=-1)
        total = np.exp(shifted, out=shifted).sum(axis=-1)
        np.subtract(np.log(total), chosen, out=values[part])

    map_parts(compute, sample_parts(logits))
    return values


def sparse_categorical_crossentropy_from_logits_gradient(
    logits: np.ndarray, labels: np.ndarray, label_smoothing: float = 0.0, *, weights: np.ndarray
) -> np.ndarray:
    """Gradient of sum(weights * sparse_categorical_crossentropy_from_logits)."""
    gradients = empty(logits.shape, logits.dtype)

    def compute(part: slice) -> None:
        softmax, places = shifted_logits(logits[part]), labels[part][..., None]
        np.exp(softmax, out=softmax)
        softmax /= softmax.sum(axis=-1, keepdims=True)
        if label_smoothing:
            softmax -= label_smoothing / logits.shape[-1]
        chosen = np.take_along_axis(softmax, places, axis=-1)
        np.put_along_axis(softmax, places, chosen - (1 - label_smoothing), axis=-1)
        np.multiply(weights[part][..., None], softmax, out=gradients[part])

    map_parts(compute, sample_parts(logits))
    return gradients

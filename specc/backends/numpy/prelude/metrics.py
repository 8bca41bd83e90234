"""Reduction of losses, and metrics, of generated NumPy files."""

import math

import numpy as np


def value_weights(
    shape: tuple[int, ...],
    dtype: np.dtype,
    sample_weights: np.ndarray | None = None,
    mask: np.ndarray | None = None,
) -> np.ndarray:
    """What each value of a loss counts in its mean; a sample's weight counts for all its values."""
    weights = np.ones(shape, dtype)
    if sample_weights is not None:
        weights *= np.asarray(sample_weights, dtype).reshape(-1, *[1] * (len(shape) - 1))
    if mask is not None:  #: masked
        weights *= mask  #: masked
    total = math.prod(shape) if mask is None else int(mask.sum())  #: keras
    total = weights.sum()  #: pytorch
    return weights / total


def weighted_mean(
    values: np.ndarray, sample_weights: np.ndarray | None = None, mask: np.ndarray | None = None
) -> np.ndarray:
    """The mean of a loss's values."""
    return np.sum(value_weights(values.shape, values.dtype, sample_weights, mask) * values)


def sparse_categorical_accuracy(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """1 where the largest prediction (the first among equals) is the target's class."""
    return prediction.argmax(-1) == target


def categorical_accuracy(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """1 where prediction and one-hot target are largest at the same place."""
    return prediction.argmax(-1) == target.argmax(-1)


def binary_accuracy(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """1 where a probability is above 0.5 just when the target is 1."""
    return (prediction > 0.5) == (target > 0.5)


def sparse_top_k_accuracy(prediction: np.ndarray, target: np.ndarray, k: int) -> np.ndarray:
    """1 where fewer than k classes are predicted above the target's."""
    own = np.take_along_axis(prediction, target[..., None], -1)
    return (prediction > own).sum(-1) < k


def absolute_error(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """|prediction - target|."""
    return np.abs(prediction - target)

"""Losses and metrics of generated PyTorch files."""

import torch
from torch import Tensor
from torch.nn import functional as F


def weighted_mean(
    values: Tensor,
    weights: Tensor | None = None,
    mask: Tensor | None = None,  #: masked
) -> Tensor:
    """The mean of a loss's values; a weight counts for all values of its sample."""
    if weights is None and mask is None:  #: masked
        return values.mean()  #: masked
    if weights is None:  #: plain_mean
        return values.mean()  #: plain_mean
    weights = torch.ones(len(values)).to(values) if weights is None else weights  #: masked
    weights = weights.reshape(-1, *[1] * (values.ndim - 1)).expand_as(values)
    weights = weights if mask is None else weights * mask  #: masked
    total = weights.numel() if mask is None else mask.sum()  #: masked_keras
    return (weights * values).sum() / total  #: masked_keras
    return (weights * values).mean()  #: unmasked_keras
    return (weights * values).sum() / weights.sum()  #: pytorch


def smooth_binary(target: Tensor, smoothing: float) -> Tensor:
    """Labels of 0 and 1, moved towards 1/2."""
    return target * (1 - smoothing) + 0.5 * smoothing


def smooth_classes(target: Tensor, smoothing: float) -> Tensor:
    """One-hot targets (..., classes) with a share of their weight spread over all classes."""
    return target * (1 - smoothing) + smoothing / target.shape[-1]


def binary_crossentropy(probability: Tensor, target: Tensor, epsilon: float) -> Tensor:
    """-t log(p) - (1 - t) log(1 - p), p limited to [epsilon, 1 - epsilon] as Keras does."""
    p = probability.clamp(epsilon, 1 - epsilon)
    return F.binary_cross_entropy(p, target, reduction="none")


def categorical_crossentropy(probabilities: Tensor, target: Tensor, epsilon: float) -> Tensor:
    """-sum(t log(p)) over the last axis, p divided by its sum, then limited to [eps, 1 - eps]."""
    p = probabilities / probabilities.sum(-1, keepdim=True)
    return -(target * p.clamp(epsilon, 1 - epsilon).log()).sum(-1)


def sparse_categorical_crossentropy(
    probabilities: Tensor, target: Tensor, epsilon: float
) -> Tensor:
    """-log(p[target]), p divided by its sum, then limited to [epsilon, 1 - epsilon]."""
    p = probabilities / probabilities.sum(-1, keepdim=True)
    chosen = p.gather(-1, target.unsqueeze(-1)).squeeze(-1)
    return -chosen.clamp(epsilon, 1 - epsilon).log()


def sparse_categorical_accuracy(prediction: Tensor, target: Tensor) -> Tensor:
    """1 where the largest prediction (the first among equals) is the target's class."""
    return (prediction.argmax(-1) == target).to(prediction.dtype)


def categorical_accuracy(prediction: Tensor, target: Tensor) -> Tensor:
    """1 where prediction and one-hot target are largest at the same place."""
    return (prediction.argmax(-1) == target.argmax(-1)).to(prediction.dtype)


def binary_accuracy(prediction: Tensor, target: Tensor) -> Tensor:
    """1 where a probability is above 0.5 just when the target is 1."""
    return ((prediction > 0.5) == (target > 0.5)).to(prediction.dtype)


def sparse_top_k_accuracy(prediction: Tensor, target: Tensor, k: int) -> Tensor:
    """1 where fewer than k classes are predicted above the target's."""
    own = prediction.gather(-1, target.unsqueeze(-1))
    return ((prediction > own).sum(-1) < k).to(prediction.dtype)


def absolute_error(prediction: Tensor, target: Tensor) -> Tensor:
    """|prediction - target|."""
    return (prediction - target).abs()

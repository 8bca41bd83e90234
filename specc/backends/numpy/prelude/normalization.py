"""Batch and layer normalization, each with its gradient."""

import numpy as np


def channel_sum(x: np.ndarray) -> np.ndarray:
    """Sum of x (N, ..., C) over every axis but the last: (C,).

    Products with ones are several times faster than `sum` here, and summing each sample by itself
    first loses less to rounding.
    """
    if x.ndim > 2:
        x = x.reshape(len(x), -1, x.shape[-1])
        x = np.ones(x.shape[1], x.dtype) @ x
    return np.ones(len(x), x.dtype) @ x


def sum_over(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Sum of x over the axes (counted from 0), which stay with length 1.

    The two usual cases are products with ones, which are faster.
    """
    last = x.ndim - 1
    if axes == tuple(range(last)):
        return channel_sum(x).reshape((1,) * last + x.shape[last:])
    if axes == (last,):
        return (x @ np.ones(x.shape[last], x.dtype))[..., None]
    return x.sum(axis=axes, keepdims=True)


def scale_and_shift(
    normalized: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    shape: tuple[int, ...],
) -> np.ndarray:
    """normalized * gamma + beta, either of which may be None; shape spreads them over the axes."""
    y = normalized if gamma is None else normalized * gamma.reshape(shape)
    return y if beta is None else y + beta.reshape(shape)


def batch_norm(
    x: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    axes: tuple[int, ...],
    epsilon: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Normalize each feature of x by its statistics over the batch: all axes but the feature's.

    Returns y, the normalized x, the mean (C,), the biased variance (C,) and 1 / sqrt(variance +
    epsilon). gamma and beta are (C,) or None.
    """
    total = sum_over(x, axes)
    count = x.size // total.size
    mean = total / count
    centred = x - mean
    variance = sum_over(centred * centred, axes) / count
    inverse_deviation = 1 / np.sqrt(variance + epsilon)
    normalized = centred * inverse_deviation
    y = scale_and_shift(normalized, gamma, beta, mean.shape)
    return y, normalized, mean.reshape(-1), variance.reshape(-1), inverse_deviation


def batch_norm_gradient(
    dy: np.ndarray,
    normalized: np.ndarray,
    gamma: np.ndarray | None,
    inverse_deviation: np.ndarray,
    axes: tuple[int, ...],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of batch_norm with respect to x, gamma (C,) and beta (C,).

    The mean and the variance depend on every x: they take out what dy has in common with 1 and
    with the normalized x.
    """
    dbeta = sum_over(dy, axes)
    dgamma = sum_over(dy * normalized, axes)
    count = dy.size // dbeta.size
    scale = inverse_deviation if gamma is None else inverse_deviation * gamma.reshape(dbeta.shape)
    dx = scale * (dy - dbeta / count - normalized * (dgamma / count))
    return dx, dgamma.reshape(-1), dbeta.reshape(-1)


def batch_norm_inference(
    x: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    mean: np.ndarray,
    variance: np.ndarray,
    axes: tuple[int, ...],
    epsilon: float,
) -> np.ndarray:
    """Normalize x by a given mean (C,) and variance (C,); axes are those without the features."""
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    inverse_deviation = 1 / np.sqrt(variance + epsilon)
    normalized = (x - mean.reshape(shape)) * inverse_deviation.reshape(shape)
    return scale_and_shift(normalized, gamma, beta, shape)


def batch_norm_inference_gradient(
    dy: np.ndarray,
    x: np.ndarray,
    gamma: np.ndarray | None,
    mean: np.ndarray,
    variance: np.ndarray,
    axes: tuple[int, ...],
    epsilon: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of batch_norm_inference with respect to x, gamma (C,) and beta (C,)."""
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    inverse_deviation = (1 / np.sqrt(variance + epsilon)).reshape(shape)
    normalized = (x - mean.reshape(shape)) * inverse_deviation
    dbeta = sum_over(dy, axes)
    dgamma = sum_over(dy * normalized, axes)
    dx = scale_and_shift(dy * inverse_deviation, gamma, None, shape)
    return dx, dgamma.reshape(-1), dbeta.reshape(-1)


def batch_norm_masked(
    x: np.ndarray,
    mask: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    epsilon: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Batch normalization of x (N, ..., C) by its statistics where the mask (N, ...) is True.

    Every position is normalized, masked ones too. As in Keras the statistics are sums divided by
    the count + 1e-7, which leaves them finite without a valid position. Returns what batch_norm
    does.
    """
    valid = mask[..., None]
    count = int(mask.sum()) + 1e-7
    mean = channel_sum(x * valid) / count
    centred = x - mean
    variance = channel_sum(centred * centred * valid) / count
    inverse_deviation = 1 / np.sqrt(variance + epsilon)
    normalized = centred * inverse_deviation
    y = scale_and_shift(normalized, gamma, beta, mean.shape)
    return y, normalized, mean, variance, inverse_deviation


def batch_norm_masked_gradient(
    dy: np.ndarray,
    normalized: np.ndarray,
    mask: np.ndarray,
    gamma: np.ndarray | None,
    inverse_deviation: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of batch_norm_masked with respect to x, gamma (C,) and beta (C,).

    Only valid positions reach the statistics. The mean of the valid normalized values is not quite
    0, because the count is not quite a count.
    """
    valid = mask[..., None]
    count = int(mask.sum()) + 1e-7
    dbeta = channel_sum(dy)
    dgamma = channel_sum(dy * normalized)
    offset = channel_sum(normalized * valid) / count
    through_statistics = valid * (dbeta + dgamma * (normalized - offset)) / count
    scale = inverse_deviation if gamma is None else inverse_deviation * gamma
    return scale * (dy - through_statistics), dgamma, dbeta


def layer_norm(
    x: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    axes: tuple[int, ...],
    epsilon: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalize x by its own mean and variance over the axes, sample by sample.

    gamma and beta have the sizes of these axes, or are None. Returns y, the normalized x and
    1 / sqrt(variance + epsilon).
    """
    count = int(np.prod([x.shape[axis] for axis in axes]))
    centred = x - sum_over(x, axes) / count
    variance = sum_over(centred * centred, axes) / count
    inverse_deviation = 1 / np.sqrt(variance + epsilon)
    normalized = centred * inverse_deviation
    shape = tuple(size if axis in axes else 1 for axis, size in enumerate(x.shape))
    return scale_and_shift(normalized, gamma, beta, shape), normalized, inverse_deviation


def layer_norm_gradient(
    dy: np.ndarray,
    normalized: np.ndarray,
    gamma: np.ndarray | None,
    inverse_deviation: np.ndarray,
    axes: tuple[int, ...],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of layer_norm with respect to x, gamma and beta, which have the sizes of axes."""
    shape = tuple(size if axis in axes else 1 for axis, size in enumerate(dy.shape))
    rest = tuple(axis for axis in range(dy.ndim) if axis not in axes)
    dbeta = sum_over(dy, rest)
    dgamma = sum_over(dy * normalized, rest)
    slope = scale_and_shift(dy, gamma, None, shape)
    count = int(np.prod([dy.shape[axis] for axis in axes]))
    along_mean = sum_over(slope, axes) / count
    along_x = sum_over(slope * normalized, axes) / count
    dx = inverse_deviation * (slope - along_mean - normalized * along_x)
    sizes = tuple(dy.shape[axis] for axis in axes)
    return dx, dgamma.reshape(sizes), dbeta.reshape(sizes)


def grouped_shape(shape: tuple[int, ...], groups: int, axis: int) -> tuple[int, ...]:
    """The shape with the axis of the features divided into groups and the features of each."""
    return (*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])


def group_norm(
    x: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    groups: int,
    axis: int,
    epsilon: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalize each sample of x by the statistics of its groups of features, on this axis.

    gamma and beta have one value per feature, or are None. Returns y, the normalized x and
    1 / sqrt(variance + epsilon) of the grouped x.
    """
    grouped = x.reshape(grouped_shape(x.shape, groups, axis))
    axes = tuple(each for each in range(1, grouped.ndim) if each != axis)
    normalized, _, inverse_deviation = layer_norm(grouped, None, None, axes, epsilon)
    normalized = normalized.reshape(x.shape)
    shape = tuple(size if each == axis else 1 for each, size in enumerate(x.shape))
    return scale_and_shift(normalized, gamma, beta, shape), normalized, inverse_deviation


def group_norm_gradient(
    dy: np.ndarray,
    normalized: np.ndarray,
    gamma: np.ndarray | None,
    inverse_deviation: np.ndarray,
    groups: int,
    axis: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of group_norm with respect to x, gamma and beta, one value per feature."""
    rest = tuple(each for each in range(dy.ndim) if each != axis)
    dbeta, dgamma = sum_over(dy, rest), sum_over(dy * normalized, rest)
    slope = scale_and_shift(dy, gamma, None, dbeta.shape)
    shape = grouped_shape(dy.shape, groups, axis)
    axes = tuple(each for each in range(1, len(shape)) if each != axis)
    parts = slope.reshape(shape), normalized.reshape(shape), None, inverse_deviation
    dx = layer_norm_gradient(*parts, axes)[0]
    return dx.reshape(dy.shape), dgamma.reshape(-1), dbeta.reshape(-1)


def update_statistics(
    moving_mean: np.ndarray,
    moving_variance: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    keep: float,
    count: int = 0,
) -> None:
    """Moves running statistics towards those of a batch, in place; ``keep`` of the old stays.

    With a count of values per feature the variance becomes the unbiased one, and one that does
    not exist a ValueError.
    """
    if count == 1:
        raise ValueError("batch normalization needs more than 1 value per feature to train")
    if count:
        variance = variance * (count / (count - 1))
    moving_mean *= keep
    moving_mean += (1 - keep) * mean
    moving_variance *= keep
    moving_variance += (1 - keep) * variance

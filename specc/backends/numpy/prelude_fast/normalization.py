"""Normalization over the last axis or by it, in parts that stay in the cache."""

import numpy as np

from specc.backends.numpy.prelude_fast.memory import empty
from specc.backends.numpy.prelude_fast.threads import map_parts, sample_parts


def channel_rows(x: np.ndarray) -> np.ndarray:
    """x (N, ..., C) as (M, S), a whole number of pixels in a row: short rows are slow."""
    pixels = x.shape[-2] if x.ndim > 2 else 1
    return x.reshape(-1, pixels * x.shape[-1])


def sum_of_pixels(rows: np.ndarray, channels: int) -> np.ndarray:
    """Sum by channel of what channel_rows gives."""
    pixels = np.ones(len(rows), rows.dtype) @ rows
    return np.asarray(pixels.reshape(-1, channels).sum(axis=0))


def channel_norm(
    x: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None, epsilon: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Normalize each channel of x (N, ..., C) by its statistics over all other axes.

    Returns y, the normalized x, the mean (C,), the biased variance (C,) and 1 / sqrt(variance +
    epsilon). gamma and beta are (C,) or None.
    """
    rows, channels = channel_rows(x), x.shape[-1]
    pixels, count = rows.shape[1] // channels, x.size // channels
    y, normalized = empty(rows.shape, x.dtype), empty(rows.shape, x.dtype)

    def squares(part: slice) -> np.ndarray:
        np.subtract(rows[part], means, out=normalized[part])
        np.multiply(normalized[part], normalized[part], out=y[part])
        return sum_of_pixels(y[part], channels)

    parts = list(sample_parts(rows))
    mean = sum(map_parts(lambda part: sum_of_pixels(rows[part], channels), parts)) / count
    means = np.tile(mean, pixels)
    variance = sum(map_parts(squares, parts)) / count
    inverse_deviation = 1 / np.sqrt(variance + epsilon)
    scale = np.tile(inverse_deviation, pixels)
    gammas = None if gamma is None else np.tile(gamma, pixels)
    betas = None if beta is None else np.tile(beta, pixels)

    def scaled(part: slice) -> None:
        normalized[part] *= scale
        np.multiply(normalized[part], 1 if gammas is None else gammas, out=y[part])
        if betas is not None:
            y[part] += betas

    map_parts(scaled, parts)
    shaped = y.reshape(x.shape), normalized.reshape(x.shape)
    return *shaped, mean, variance, inverse_deviation


def channel_norm_gradient(
    dy: np.ndarray,
    normalized: np.ndarray,
    gamma: np.ndarray | None,
    inverse_deviation: np.ndarray,
    out: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of channel_norm with respect to x, gamma (C,) and beta (C,).

    The mean and the variance depend on every x: they take out what dy has in common with 1 and
    with the normalized x.
    """
    rows, channels = channel_rows(dy), dy.shape[-1]
    kept = normalized.reshape(rows.shape)
    pixels, count = rows.shape[1] // channels, dy.size // channels
    dx = channel_rows(empty(dy.shape, dy.dtype) if out is None else out)

    def sums(part: slice) -> np.ndarray:
        product = np.multiply(rows[part], kept[part], out=empty(rows[part].shape, dy.dtype))
        return np.stack([sum_of_pixels(each, channels) for each in (product, rows[part])])

    def slope(part: slice) -> None:
        product = np.multiply(kept[part], along, out=empty(rows[part].shape, dy.dtype))
        np.subtract(rows[part], common, out=dx[part])
        dx[part] -= product
        dx[part] *= scale

    parts = list(sample_parts(rows))
    dgamma, dbeta = np.sum(map_parts(sums, parts), axis=0)
    common, along = np.tile(dbeta / count, pixels), np.tile(dgamma / count, pixels)
    scale = np.tile(inverse_deviation if gamma is None else inverse_deviation * gamma, pixels)
    map_parts(slope, parts)
    return dx.reshape(dy.shape), dgamma, dbeta


def last_axis_norm(
    x: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None, epsilon: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalize x (..., D) by its own mean and variance over the last axis.

    gamma and beta are (D,) or None. Returns y, the normalized x and 1 / sqrt(variance + epsilon).
    """
    size = x.shape[-1]
    rows = x.reshape(-1, size)
    y, normalized = empty(rows.shape, x.dtype), empty(rows.shape, x.dtype)
    inverse_deviation = empty((len(rows), 1), x.dtype)
    ones = np.ones((size, 1), x.dtype)

    def normalize(part: slice) -> None:
        centred, squares = normalized[part], y[part]
        np.subtract(rows[part], rows[part] @ ones / size, out=centred)
        np.multiply(centred, centred, out=squares)
        inverse_deviation[part] = 1 / np.sqrt(squares @ ones / size + epsilon)
        centred *= inverse_deviation[part]
        np.multiply(centred, 1 if gamma is None else gamma, out=y[part])
        if beta is not None:
            y[part] += beta

    map_parts(normalize, sample_parts(rows))
    deviations = inverse_deviation.reshape(*x.shape[:-1], 1)
    return y.reshape(x.shape), normalized.reshape(x.shape), deviations


def last_axis_norm_gradient(
    dy: np.ndarray,
    normalized: np.ndarray,
    gamma: np.ndarray | None,
    inverse_deviation: np.ndarray,
    out: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of last_axis_norm with respect to x, gamma (D,) and beta (D,)."""
    size = dy.shape[-1]
    rows, kept = dy.reshape(-1, size), normalized.reshape(-1, size)
    deviations = inverse_deviation.reshape(-1, 1)
    dx = (empty(dy.shape, dy.dtype) if out is None else out).reshape(rows.shape)
    ones = np.ones((size, 1), dy.dtype)

    def gradient(part: slice) -> np.ndarray:
        product, slope = empty(rows[part].shape, dy.dtype), dx[part]
        np.multiply(rows[part], kept[part], out=product)
        every = np.ones(len(product), dy.dtype)
        sums = np.stack([every @ product, every @ rows[part]])
        np.multiply(rows[part], 1 if gamma is None else gamma, out=slope)
        np.multiply(slope, kept[part], out=product)
        along = product @ ones / size
        slope -= slope @ ones / size
        np.multiply(kept[part], along, out=product)
        slope -= product
        slope *= deviations[part]
        return sums

    dgamma, dbeta = np.sum(map_parts(gradient, sample_parts(rows)), axis=0)
    return dx.reshape(dy.shape), dgamma, dbeta

"""Max and average pooling over channels-last arrays, with their gradients."""

import numpy as np


def pooled_size(
    size: tuple[int, int],
    pool_size: tuple[int, int],
    strides: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]],
) -> tuple[int, int]:
    """Height and width of what pooling makes of an image of this size (height, width)."""
    height, width = (
        (length + sum(pads) - pool) // stride + 1
        for length, pads, pool, stride in zip(size, padding, pool_size, strides, strict=True)
    )
    return height, width


def max_pool2d(
    x: np.ndarray,
    pool_size: tuple[int, int],
    strides: tuple[int, int] | None = None,
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
) -> np.ndarray:
    """Largest value of each window of x (N, H, W, C), as (N, OH, OW, C).

    strides is the step of the window, its own size when not given. padding is
    ((top, bottom), (left, right)) and counts as minus infinity.
    """
    step = pool_size if strides is None else strides
    height, width = pooled_size((x.shape[1], x.shape[2]), pool_size, step, padding)
    if np.any(padding):
        x = np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=-np.inf)
    y = np.full((x.shape[0], height, width, x.shape[3]), -np.inf, x.dtype)
    for i in range(pool_size[0]):
        for j in range(pool_size[1]):
            np.maximum(y, x[:, i :: step[0], j :: step[1]][:, :height, :width], out=y)
    return y


def max_pool2d_gradient(
    x: np.ndarray,
    y: np.ndarray,
    dy: np.ndarray,
    pool_size: tuple[int, int],
    strides: tuple[int, int] | None = None,
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
) -> np.ndarray:
    """Gradient of max_pool2d with respect to x, where y is its result and dy is like y.

    Where several elements of a window are the largest, the first in row-major order gets it all.
    """
    step = pool_size if strides is None else strides
    _, height, width, _ = x.shape
    _, out_height, out_width, _ = y.shape
    if np.any(padding):
        x = np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=-np.inf)
    dx = np.zeros_like(x)
    unclaimed = np.ones(y.shape, bool)
    for i in range(pool_size[0]):
        for j in range(pool_size[1]):
            window = np.s_[:, i :: step[0], j :: step[1]], np.s_[:, :out_height, :out_width]
            largest = (x[window[0]][window[1]] == y) & unclaimed
            unclaimed &= ~largest
            dx[window[0]][window[1]] += largest * dy
    if np.any(padding):
        (top, _), (left, _) = padding
        dx = dx[:, top : top + height, left : left + width]
    return dx


def window_counts(
    size: tuple[int, int],
    pool_size: tuple[int, int],
    strides: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]],
) -> np.ndarray:
    """How many pixels of an image of this size, padding aside, each window holds: (OH, OW, 1)."""
    height, width = pooled_size(size, pool_size, strides, padding)
    counts = []
    for length, windows, pool, stride, pads in zip(
        size, (height, width), pool_size, strides, padding, strict=True
    ):
        first = np.arange(windows) * stride - pads[0]
        counts.append(np.minimum(first + pool, length) - np.maximum(first, 0))
    return np.outer(*counts)[:, :, None]


def average_pool2d(
    x: np.ndarray,
    pool_size: tuple[int, int],
    strides: tuple[int, int] | None = None,
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
    count_include_pad: bool = True,
) -> np.ndarray:
    """Mean of each window of x (N, H, W, C), as (N, OH, OW, C).

    strides is the step of the window, its own size when not given. padding counts as zeros. The
    divisor is the window's area, or without count_include_pad the pixels of x within it.
    """
    step = pool_size if strides is None else strides
    size = (x.shape[1], x.shape[2])
    height, width = pooled_size(size, pool_size, step, padding)
    if np.any(padding):
        x = np.pad(x, ((0, 0), *padding, (0, 0)))
    total = np.zeros((x.shape[0], height, width, x.shape[3]), x.dtype)
    for i in range(pool_size[0]):
        for j in range(pool_size[1]):
            total += x[:, i :: step[0], j :: step[1]][:, :height, :width]
    if np.any(padding) and not count_include_pad:
        total /= window_counts(size, pool_size, step, padding)
    else:
        total /= pool_size[0] * pool_size[1]
    return total


def average_pool2d_gradient(
    dy: np.ndarray,
    input_shape: tuple[int, ...],
    pool_size: tuple[int, int],
    strides: tuple[int, int] | None = None,
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
    count_include_pad: bool = True,
) -> np.ndarray:
    """Gradient of average_pool2d with respect to its input: dy (N, OH, OW, C) to dx of input_shape.

    Every pixel of a window gets the same share.
    """
    step = pool_size if strides is None else strides
    batch, height, width, channels = input_shape
    (top, bottom), (left, right) = padding
    _, out_height, out_width, _ = dy.shape
    if np.any(padding) and not count_include_pad:
        counts = window_counts((height, width), pool_size, step, padding)
        share = dy / counts.astype(dy.dtype)
    else:
        share = dy / (pool_size[0] * pool_size[1])
    dx = np.zeros((batch, top + height + bottom, left + width + right, channels), dy.dtype)
    for i in range(pool_size[0]):
        for j in range(pool_size[1]):
            window = dx[:, i :: step[0], j :: step[1]]
            window[:, :out_height, :out_width] += share
    if np.any(padding):
        dx = dx[:, top : top + height, left : left + width]
    return dx


def max_pool1d(
    x: np.ndarray, pool_size: int, strides: int | None = None, padding: tuple[int, int] = (0, 0)
) -> np.ndarray:
    """Largest value of each window of x (N, T, C), as (N, OT, C).

    strides is the step of the window, its own size when not given. padding is minus infinity.
    """
    step = None if strides is None else (1, strides)
    return max_pool2d(x[:, None], (1, pool_size), step, ((0, 0), padding))[:, 0]


def max_pool1d_gradient(
    x: np.ndarray,
    y: np.ndarray,
    dy: np.ndarray,
    pool_size: int,
    strides: int | None = None,
    padding: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """Gradient of max_pool1d with respect to x (N, T, C), where y (N, OT, C) is its result."""
    step = None if strides is None else (1, strides)
    dx = max_pool2d_gradient(
        x[:, None], y[:, None], dy[:, None], (1, pool_size), step, ((0, 0), padding)
    )
    return dx[:, 0]


def average_pool1d(
    x: np.ndarray,
    pool_size: int,
    strides: int | None = None,
    padding: tuple[int, int] = (0, 0),
    count_include_pad: bool = True,
) -> np.ndarray:
    """Mean of each window of x (N, T, C), as (N, OT, C); the divisor is average_pool2d's.

    strides is the step of the window, its own size when not given.
    """
    step = None if strides is None else (1, strides)
    return average_pool2d(x[:, None], (1, pool_size), step, ((0, 0), padding), count_include_pad)[
        :, 0
    ]


def average_pool1d_gradient(
    dy: np.ndarray,
    input_shape: tuple[int, ...],
    pool_size: int,
    strides: int | None = None,
    padding: tuple[int, int] = (0, 0),
    count_include_pad: bool = True,
) -> np.ndarray:
    """Gradient of average_pool1d with respect to its input: dy (N, OT, C) to dx of input_shape."""
    batch, length, channels = input_shape
    step = None if strides is None else (1, strides)
    shape, size, pads = (batch, 1, length, channels), (1, pool_size), ((0, 0), padding)
    return average_pool2d_gradient(dy[:, None], shape, size, step, pads, count_include_pad)[:, 0]


def global_max_pool_gradient(
    x: np.ndarray, y: np.ndarray, dy: np.ndarray, axes: int | tuple[int, ...]
) -> np.ndarray:
    """Gradient of x.max(axes) with respect to x; y and dy keep the axes with size 1.

    Equal maxima share it equally.
    """
    largest = x == y
    return largest * (dy / largest.sum(axis=axes, keepdims=True, dtype=dy.dtype))


def masked_mean(
    x: np.ndarray, mask: np.ndarray, steps: int, channels: int, keepdims: bool
) -> np.ndarray:
    """Mean of x (N, T, C) or (N, C, T) over the steps where the mask (N, T) is True."""
    valid = np.expand_dims(mask, channels)
    total = np.where(valid, x, 0).sum(axis=steps, keepdims=keepdims)
    return total / valid.sum(axis=steps, keepdims=keepdims, dtype=x.dtype)


def masked_mean_gradient(dy: np.ndarray, mask: np.ndarray, steps: int, channels: int) -> np.ndarray:
    """Gradient of masked_mean with respect to x; dy keeps the axis of the steps with size 1."""
    valid = np.expand_dims(mask, channels)
    return valid * (dy / valid.sum(axis=steps, keepdims=True, dtype=dy.dtype))

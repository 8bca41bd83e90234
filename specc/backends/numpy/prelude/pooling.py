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
    strides: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]],
) -> np.ndarray:
    """Largest value of each window of x (N, H, W, C), as (N, OH, OW, C).

    padding is ((top, bottom), (left, right)) and counts as minus infinity.
    """
    height, width = pooled_size((x.shape[1], x.shape[2]), pool_size, strides, padding)
    if np.any(padding):
        x = np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=-np.inf)
    y = np.full((x.shape[0], height, width, x.shape[3]), -np.inf, x.dtype)
    for i in range(pool_size[0]):
        for j in range(pool_size[1]):
            np.maximum(y, x[:, i :: strides[0], j :: strides[1]][:, :height, :width], out=y)
    return y


def max_pool2d_gradient(
    x: np.ndarray,
    y: np.ndarray,
    dy: np.ndarray,
    pool_size: tuple[int, int],
    strides: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]],
) -> np.ndarray:
    """Gradient of max_pool2d with respect to x, where y is its result and dy is like y.

    Where several elements of a window are the largest, the first in row-major order gets it all.
    """
    (top, _), (left, _) = padding
    _, height, width, _ = x.shape
    _, out_height, out_width, _ = y.shape
    if np.any(padding):
        x = np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=-np.inf)
    dx = np.zeros_like(x)
    unclaimed = np.ones(y.shape, bool)
    for i in range(pool_size[0]):
        for j in range(pool_size[1]):
            window = (slice(None), slice(i, None, strides[0]), slice(j, None, strides[1]))
            largest = (x[window][:, :out_height, :out_width] == y) & unclaimed
            unclaimed &= ~largest
            dx[window][:, :out_height, :out_width] += largest * dy
    return dx[:, top : top + height, left : left + width]


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
    strides: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]],
    count_include_pad: bool,
) -> np.ndarray:
    """Mean of each window of x (N, H, W, C), as (N, OH, OW, C); padding counts as zeros.

    The divisor is the window's area, or without count_include_pad the pixels of x within it.
    """
    size = (x.shape[1], x.shape[2])
    height, width = pooled_size(size, pool_size, strides, padding)
    if np.any(padding):
        x = np.pad(x, ((0, 0), *padding, (0, 0)))
    total = np.zeros((x.shape[0], height, width, x.shape[3]), x.dtype)
    for i in range(pool_size[0]):
        for j in range(pool_size[1]):
            total += x[:, i :: strides[0], j :: strides[1]][:, :height, :width]
    if not count_include_pad and np.any(padding):
        counts = window_counts(size, pool_size, strides, padding)
    else:
        counts = np.array(pool_size[0] * pool_size[1])
    mean: np.ndarray = total / counts.astype(x.dtype)
    return mean


def average_pool2d_gradient(
    dy: np.ndarray,
    input_shape: tuple[int, ...],
    pool_size: tuple[int, int],
    strides: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]],
    count_include_pad: bool,
) -> np.ndarray:
    """Gradient of average_pool2d with respect to its input: dy (N, OH, OW, C) to dx of input_shape.

    Every pixel of a window gets the same share.
    """
    batch, height, width, channels = input_shape
    (top, bottom), (left, right) = padding
    _, out_height, out_width, _ = dy.shape
    if not count_include_pad and np.any(padding):
        counts = window_counts((height, width), pool_size, strides, padding)
    else:
        counts = np.array(pool_size[0] * pool_size[1])
    share = dy / counts.astype(dy.dtype)
    dx = np.zeros((batch, top + height + bottom, left + width + right, channels), dy.dtype)
    for i in range(pool_size[0]):
        for j in range(pool_size[1]):
            window = dx[:, i :: strides[0], j :: strides[1]]
            window[:, :out_height, :out_width] += share
    return dx[:, top : top + height, left : left + width]


def max_pool1d(x: np.ndarray, pool_size: int, strides: int, padding: tuple[int, int]) -> np.ndarray:
    """Largest value of each window of x (N, T, C), as (N, OT, C); padding is minus infinity."""
    return max_pool2d(x[:, None], (1, pool_size), (1, strides), ((0, 0), padding))[:, 0]


def max_pool1d_gradient(
    x: np.ndarray,
    y: np.ndarray,
    dy: np.ndarray,
    pool_size: int,
    strides: int,
    padding: tuple[int, int],
) -> np.ndarray:
    """Gradient of max_pool1d with respect to x (N, T, C), where y (N, OT, C) is its result."""
    images = x[:, None], y[:, None], dy[:, None]
    return max_pool2d_gradient(*images, (1, pool_size), (1, strides), ((0, 0), padding))[:, 0]


def average_pool1d(
    x: np.ndarray, pool_size: int, strides: int, padding: tuple[int, int], count_include_pad: bool
) -> np.ndarray:
    """Mean of each window of x (N, T, C), as (N, OT, C); the divisor is average_pool2d's."""
    size, steps, pads = (1, pool_size), (1, strides), ((0, 0), padding)
    return average_pool2d(x[:, None], size, steps, pads, count_include_pad)[:, 0]


def average_pool1d_gradient(
    dy: np.ndarray,
    input_shape: tuple[int, ...],
    pool_size: int,
    strides: int,
    padding: tuple[int, int],
    count_include_pad: bool,
) -> np.ndarray:
    """Gradient of average_pool1d with respect to its input: dy (N, OT, C) to dx of input_shape."""
    batch, length, channels = input_shape
    shape, size, steps = (batch, 1, length, channels), (1, pool_size), (1, strides)
    pads = ((0, 0), padding)
    return average_pool2d_gradient(dy[:, None], shape, size, steps, pads, count_include_pad)[:, 0]


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

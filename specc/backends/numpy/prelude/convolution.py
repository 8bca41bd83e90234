"""Convolutions over channels-last arrays, each with the gradients of its input and its kernel."""

from typing import Any

import numpy as np


def image_windows(
    x: np.ndarray,
    kernel_size: tuple[int, int],
    strides: tuple[int, int] = (1, 1),
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
    dilation: tuple[int, int] = (1, 1),
) -> np.ndarray:
    """Patches of x (N, H, W, C), one per position of a kernel: a view (N, OH, OW, kh, kw, C).

    padding is ((top, bottom), (left, right)), filled with zeros.
    """
    if np.any(padding):
        x = np.pad(x, ((0, 0), *padding, (0, 0)))
    if dilation != (1, 1):
        (height, width), (down, right) = kernel_size, dilation
        kernel_size = (height - 1) * down + 1, (width - 1) * right + 1
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel_size, axis=(1, 2))
    if dilation != (1, 1):
        windows = windows[..., :: dilation[0], :: dilation[1]]
    if strides != (1, 1):
        windows = windows[:, :: strides[0], :: strides[1]]
    return windows.transpose(0, 1, 2, 4, 5, 3)


def image_blocks(windows: np.ndarray) -> list[slice]:
    """Parts of the batch of image_windows whose patches, about a million numbers, stay in cache."""
    images = max(1, 2**20 // int(np.prod(windows.shape[1:])))
    return [slice(start, start + images) for start in range(0, len(windows), images)]


def conv2d(
    x: np.ndarray,
    kernel: np.ndarray,
    strides: tuple[int, int] = (1, 1),
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
    dilation: tuple[int, int] = (1, 1),
) -> np.ndarray:
    """Convolve x (N, H, W, C) with kernel (kh, kw, C, F) to (N, OH, OW, F).

    A matrix product does it: the patches are the rows, the filters the columns. padding is
    ((top, bottom), (left, right)).
    """
    kernel_height, kernel_width, _, filters = kernel.shape
    windows = image_windows(x, (kernel_height, kernel_width), strides, padding, dilation)
    flat_kernel = kernel.reshape(-1, filters)
    y = np.empty((*windows.shape[:3], filters), x.dtype)
    for block in image_blocks(windows):
        patches = windows[block].reshape(-1, len(flat_kernel))
        np.matmul(patches, flat_kernel, out=y[block].reshape(-1, filters))
    return y


def conv2d_input_gradient(
    dy: np.ndarray,
    kernel: np.ndarray,
    input_shape: tuple[int, ...],
    strides: tuple[int, int] = (1, 1),
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
    dilation: tuple[int, int] = (1, 1),
) -> np.ndarray:
    """Gradient of conv2d with respect to its input: dy (N, OH, OW, F) to dx of input_shape.

    Each tap (i, j) of the kernel sends dy @ kernel[i, j].T back to the pixels it read.
    """
    batch, height, width, channels = input_shape
    (top, bottom), (left, right) = padding
    _, out_height, out_width, filters = dy.shape
    dx = np.zeros((batch, top + height + bottom, left + width + right, channels), dy.dtype)
    rows = dy.reshape(-1, filters)
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            target = dx[:, i * dilation[0] :: strides[0], j * dilation[1] :: strides[1]]
            target = target[:, :out_height, :out_width]
            target += (rows @ kernel[i, j].T).reshape(target.shape)
    if np.any(padding):
        dx = dx[:, top : top + height, left : left + width]
    return dx


def conv2d_kernel_gradient(
    x: np.ndarray,
    dy: np.ndarray,
    kernel_shape: tuple[int, ...],
    strides: tuple[int, int] = (1, 1),
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
    dilation: tuple[int, int] = (1, 1),
) -> np.ndarray:
    """Gradient of conv2d with respect to its kernel: x (N, H, W, C), dy (N, OH, OW, F).

    The patches' matrix, transposed, times dy.
    """
    kernel_height, kernel_width, channels, filters = kernel_shape
    windows = image_windows(x, (kernel_height, kernel_width), strides, padding, dilation)
    dkernel = np.zeros((kernel_height * kernel_width * channels, filters), dy.dtype)
    for block in image_blocks(windows):
        patches = windows[block].reshape(-1, len(dkernel))
        dkernel += patches.T @ dy[block].reshape(-1, filters)
    return dkernel.reshape(kernel_shape)


def conv1d(
    x: np.ndarray,
    kernel: np.ndarray,
    strides: int = 1,
    padding: tuple[int, int] = (0, 0),
    dilation: int = 1,
) -> np.ndarray:
    """Convolve x (N, T, C) with kernel (k, C, F) to (N, OT, F); padding is (left, right).

    Done as a two-dimensional convolution over images of height 1.
    """
    image, filters = x[:, None], kernel[None]
    y = conv2d(image, filters, (1, strides), ((0, 0), padding), (1, dilation))
    return y[:, 0]


def conv1d_input_gradient(
    dy: np.ndarray,
    kernel: np.ndarray,
    input_shape: tuple[int, ...],
    strides: int = 1,
    padding: tuple[int, int] = (0, 0),
    dilation: int = 1,
) -> np.ndarray:
    """Gradient of conv1d with respect to its input: dy (N, OT, F) to dx of input_shape."""
    batch, steps, channels = input_shape
    image_shape = (batch, 1, steps, channels)
    pads = ((0, 0), padding)
    dx = conv2d_input_gradient(
        dy[:, None], kernel[None], image_shape, (1, strides), pads, (1, dilation)
    )
    return dx[:, 0]


def conv1d_kernel_gradient(
    x: np.ndarray,
    dy: np.ndarray,
    kernel_shape: tuple[int, ...],
    strides: int = 1,
    padding: tuple[int, int] = (0, 0),
    dilation: int = 1,
) -> np.ndarray:
    """Gradient of conv1d with respect to its kernel: x (N, T, C), dy (N, OT, F)."""
    shape = (1, *kernel_shape)
    pads = ((0, 0), padding)
    dkernel = conv2d_kernel_gradient(
        x[:, None], dy[:, None], shape, (1, strides), pads, (1, dilation)
    )
    return dkernel.reshape(kernel_shape)


def grouped_conv1d(x: np.ndarray, kernel: np.ndarray, groups: int, **options: Any) -> np.ndarray:
    """conv1d of each group of channels with its group of filters: kernel (k, C / groups, F)."""
    pairs = zip(np.split(x, groups, axis=-1), np.split(kernel, groups, axis=-1), strict=True)
    return np.concatenate([conv1d(*pair, **options) for pair in pairs], axis=-1)


def grouped_conv1d_input_gradient(
    dy: np.ndarray, kernel: np.ndarray, input_shape: tuple[int, ...], groups: int, **options: Any
) -> np.ndarray:
    """Gradient of grouped_conv1d with respect to its input: dx of input_shape."""
    shape = (*input_shape[:-1], input_shape[-1] // groups)
    pairs = zip(np.split(dy, groups, axis=-1), np.split(kernel, groups, axis=-1), strict=True)
    parts = [conv1d_input_gradient(*pair, shape, **options) for pair in pairs]
    return np.concatenate(parts, axis=-1)


def grouped_conv1d_kernel_gradient(
    x: np.ndarray, dy: np.ndarray, kernel_shape: tuple[int, ...], groups: int, **options: Any
) -> np.ndarray:
    """Gradient of grouped_conv1d with respect to its kernel."""
    shape = (*kernel_shape[:-1], kernel_shape[-1] // groups)
    pairs = zip(np.split(x, groups, axis=-1), np.split(dy, groups, axis=-1), strict=True)
    parts = [conv1d_kernel_gradient(*pair, shape, **options) for pair in pairs]
    return np.concatenate(parts, axis=-1)


def grouped_conv2d(x: np.ndarray, kernel: np.ndarray, groups: int, **options: Any) -> np.ndarray:
    """conv2d of each group of channels with its filters: kernel (kh, kw, C / groups, F)."""
    pairs = zip(np.split(x, groups, axis=-1), np.split(kernel, groups, axis=-1), strict=True)
    return np.concatenate([conv2d(*pair, **options) for pair in pairs], axis=-1)


def grouped_conv2d_input_gradient(
    dy: np.ndarray, kernel: np.ndarray, input_shape: tuple[int, ...], groups: int, **options: Any
) -> np.ndarray:
    """Gradient of grouped_conv2d with respect to its input: dx of input_shape."""
    shape = (*input_shape[:-1], input_shape[-1] // groups)
    pairs = zip(np.split(dy, groups, axis=-1), np.split(kernel, groups, axis=-1), strict=True)
    parts = [conv2d_input_gradient(*pair, shape, **options) for pair in pairs]
    return np.concatenate(parts, axis=-1)


def grouped_conv2d_kernel_gradient(
    x: np.ndarray, dy: np.ndarray, kernel_shape: tuple[int, ...], groups: int, **options: Any
) -> np.ndarray:
    """Gradient of grouped_conv2d with respect to its kernel."""
    shape = (*kernel_shape[:-1], kernel_shape[-1] // groups)
    pairs = zip(np.split(x, groups, axis=-1), np.split(dy, groups, axis=-1), strict=True)
    parts = [conv2d_kernel_gradient(*pair, shape, **options) for pair in pairs]
    return np.concatenate(parts, axis=-1)


def depthwise_conv2d(
    x: np.ndarray,
    kernel: np.ndarray,
    strides: tuple[int, int] = (1, 1),
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
    dilation: tuple[int, int] = (1, 1),
) -> np.ndarray:
    """Convolve each channel of x (N, H, W, C) with its own filters: kernel (kh, kw, C, M).

    The result is (N, OH, OW, C * M); output channel c * M + m is filter m of channel c.
    """
    kernel_height, kernel_width, channels, multiplier = kernel.shape
    windows = image_windows(x, (kernel_height, kernel_width), strides, padding, dilation)
    y = np.zeros((*windows.shape[:3], channels, multiplier), x.dtype)
    for i in range(kernel_height):
        for j in range(kernel_width):
            y += windows[:, :, :, i, j, :, None] * kernel[i, j]
    return y.reshape(*windows.shape[:3], channels * multiplier)


def depthwise_conv2d_input_gradient(
    dy: np.ndarray,
    kernel: np.ndarray,
    input_shape: tuple[int, ...],
    strides: tuple[int, int] = (1, 1),
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
    dilation: tuple[int, int] = (1, 1),
) -> np.ndarray:
    """Gradient of depthwise_conv2d with respect to its input: dy (N, OH, OW, C * M) to dx."""
    batch, height, width, channels = input_shape
    (top, bottom), (left, right) = padding
    _, out_height, out_width, _ = dy.shape
    dx = np.zeros((batch, top + height + bottom, left + width + right, channels), dy.dtype)
    dy = dy.reshape(*dy.shape[:3], channels, -1)
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            target = dx[:, i * dilation[0] :: strides[0], j * dilation[1] :: strides[1]]
            target = target[:, :out_height, :out_width]
            target += np.einsum("nhwcm,cm->nhwc", dy, kernel[i, j])
    if np.any(padding):
        dx = dx[:, top : top + height, left : left + width]
    return dx


def depthwise_conv2d_kernel_gradient(
    x: np.ndarray,
    dy: np.ndarray,
    kernel_shape: tuple[int, ...],
    strides: tuple[int, int] = (1, 1),
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
    dilation: tuple[int, int] = (1, 1),
) -> np.ndarray:
    """Gradient of depthwise_conv2d with respect to its kernel: x (N, H, W, C), dy as the output."""
    kernel_height, kernel_width, channels, multiplier = kernel_shape
    windows = image_windows(x, (kernel_height, kernel_width), strides, padding, dilation)
    dy = dy.reshape(*dy.shape[:3], channels, multiplier)
    positions = np.ones(dy.size // (channels * multiplier), dy.dtype)
    dkernel = np.empty(kernel_shape, dy.dtype)
    for i in range(kernel_height):
        for j in range(kernel_width):
            products = windows[:, :, :, i, j, :, None] * dy
            sums = positions @ products.reshape(-1, channels * multiplier)
            dkernel[i, j] = sums.reshape(channels, multiplier)
    return dkernel

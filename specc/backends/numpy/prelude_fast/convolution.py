"""Convolutions over channels-last arrays in parts of the batch, with the bias and relu at once."""

from collections.abc import Iterator

import numpy as np

from specc.backends.numpy.prelude_fast.memory import empty
from specc.backends.numpy.prelude_fast.threads import map_parts, quarters


def image_parts(count: int, size: int) -> Iterator[slice]:
    """Slices of a batch of `count` images, each of as many as hold 2**18 numbers, at `size` each.

    What a part computes is still in the cache at its next step. A call of NumPy on fewer numbers
    would be over before another thread has woken up.
    """
    images = max(1, 2**18 // size)
    for start in range(0, count, images):
        yield slice(start, min(start + images, count))


def padded_images(x: np.ndarray, padding: tuple[tuple[int, int], tuple[int, int]]) -> np.ndarray:
    """x (N, H, W, C) with ((top, bottom), (left, right)) rows and columns of zeros around it."""
    (top, bottom), (left, right) = padding
    batch, height, width, channels = x.shape
    y = empty((batch, top + height + bottom, left + width + right, channels), x.dtype)
    y[:, :top], y[:, top + height :] = 0, 0
    y[:, :, :left], y[:, :, left + width :] = 0, 0
    y[:, top : top + height, left : left + width] = x
    return y


def image_patches(
    x: np.ndarray,
    kernel_size: tuple[int, int],
    strides: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
) -> np.ndarray:
    """Patches of x (N, H, W, C), one per position of a kernel, in rows: (N * OH * OW, kh * kw * C).

    strides and dilation are those of the kernel.
    """
    height, width = kernel_size
    if dilation != (1, 1):
        height, width = (height - 1) * dilation[0] + 1, (width - 1) * dilation[1] + 1
    windows = np.lib.stride_tricks.sliding_window_view(x, (height, width), axis=(1, 2))
    if dilation != (1, 1):
        windows = windows[..., :: dilation[0], :: dilation[1]]
    if strides != (1, 1):
        windows = windows[:, :: strides[0], :: strides[1]]
    windows = windows.transpose(0, 1, 2, 4, 5, 3)
    patches = empty(windows.shape, x.dtype)
    patches[...] = windows
    return patches.reshape(-1, kernel_size[0] * kernel_size[1] * x.shape[-1])


def row_patches(x: np.ndarray, width: int) -> np.ndarray:
    """Patches of one row of a kernel, of this width: x (N, H, W, C) to (N, H, OW, width * C).

    The rows of the kernel read the same patches, one row of the image further down each time.
    """
    windows = np.lib.stride_tricks.sliding_window_view(x, width, axis=2).swapaxes(-1, -2)
    patches = empty(windows.shape, x.dtype)
    patches[...] = windows
    return patches.reshape(*windows.shape[:3], -1)


def convolved_size(
    size: tuple[int, ...],
    kernel_size: tuple[int, ...],
    strides: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]],
    dilation: tuple[int, int],
) -> tuple[int, int]:
    """Height and width of what a convolution makes of an image of this size."""
    height, width = (
        (length + sum(pads) - (reach - 1) * apart - 1) // step + 1
        for length, reach, step, pads, apart in zip(
            size, kernel_size, strides, padding, dilation, strict=True
        )
    )
    return height, width


def conv2d(
    x: np.ndarray,
    kernel: np.ndarray,
    strides: tuple[int, int] = (1, 1),
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
    dilation: tuple[int, int] = (1, 1),
    *,
    bias: np.ndarray | None = None,
    relu: bool = False,
) -> np.ndarray:
    """Convolve x (N, H, W, C) with kernel (kh, kw, C, F) to (N, OH, OW, F).

    padding is ((top, bottom), (left, right)). bias (F,) is added. relu puts 0 in the place of what
    is negative.
    """
    kernel_size, filters = kernel.shape[:2], kernel.shape[3]
    height, width = convolved_size(x.shape[1:3], kernel_size, strides, padding, dilation)
    y = empty((len(x), height, width, filters), x.dtype)

    def convolve_part(part: slice) -> None:
        images = padded_images(x[part], padding) if np.any(padding) else x[part]
        convolve(images, kernel, y[part], strides, dilation)
        if bias is not None:
            y[part] += bias
        if relu:
            np.maximum(y[part], 0, out=y[part])

    map_parts(convolve_part, image_parts(len(x), height * width * kernel[0].size // filters))
    return y


def by_rows(kernel: np.ndarray, strides: tuple[int, int], dilation: tuple[int, int]) -> bool:
    """Whether a convolution is a sum of products, one for each row of its kernel.

    This copies each pixel `width` times and not `height * width` times. It needs neighbouring
    pixels, and does not pay with a single channel.
    """
    return strides == (1, 1) and dilation == (1, 1) and kernel.shape[2] > 1


def convolve(
    x: np.ndarray,
    kernel: np.ndarray,
    y: np.ndarray,
    strides: tuple[int, int],
    dilation: tuple[int, int],
) -> None:
    """Writes the convolution of x, padding and all, into y: products of patches and the kernel."""
    batch, height, width, filters = y.shape
    if not by_rows(kernel, strides, dilation):
        patches = image_patches(x, kernel.shape[:2], strides, dilation)
        np.matmul(patches, kernel.reshape(-1, filters), out=y.reshape(-1, filters))
        return
    patches = row_patches(x, kernel.shape[1])
    rows = y.reshape(batch, height * width, filters)
    product = empty(rows.shape, y.dtype)
    for i in range(len(kernel)):
        below = patches[:, i : i + height].reshape(batch, height * width, -1)
        np.matmul(below, kernel[i].reshape(-1, filters), out=product if i else rows)
        if i:
            rows += product


def conv2d_kernel_gradient(
    x: np.ndarray,
    dy: np.ndarray,
    kernel_shape: tuple[int, ...],
    strides: tuple[int, int] = (1, 1),
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
    dilation: tuple[int, int] = (1, 1),
) -> np.ndarray:
    """Gradient of conv2d with respect to its kernel: x (N, H, W, C), dy (N, OH, OW, F).

    The patches' matrix, transposed, times dy: the sum over the quarters of the batch.
    """

    def gradient(part: slice) -> np.ndarray:
        images = padded_images(x[part], padding) if np.any(padding) else x[part]
        return correlate(images, dy[part], kernel_shape, strides, dilation)

    first, *others = map_parts(gradient, quarters(len(x)))
    for other in others:
        first += other
    return np.asarray(first)


def correlate(
    x: np.ndarray,
    dy: np.ndarray,
    kernel_shape: tuple[int, ...],
    strides: tuple[int, int],
    dilation: tuple[int, int],
) -> np.ndarray:
    """The sum over all positions of what the kernel saw in x, padding and all, times dy."""
    height, width, channels, filters = kernel_shape
    dkernel = empty(kernel_shape, dy.dtype)
    dkernel[...] = 0
    pixels = dy.shape[1] * dy.shape[2]
    rows = by_rows(dkernel, strides, dilation) and pixels >= 36  # products that are not too small
    for part in image_parts(len(x), pixels * width * channels):
        dpart = dy[part].reshape(-1, pixels, filters)
        if not rows:
            patches = image_patches(x[part], (height, width), strides, dilation)
            dkernel += (patches.T @ dpart.reshape(-1, filters)).reshape(kernel_shape)
            continue
        patches = row_patches(x[part], width)
        for i in range(height):
            below = patches[:, i : i + dy.shape[1]].reshape(len(dpart), pixels, -1)
            products = empty((len(dpart), below.shape[-1], filters), dy.dtype)
            np.matmul(below.swapaxes(1, 2), dpart, out=products)
            dkernel[i] += products.sum(axis=0).reshape(dkernel[i].shape)
    return dkernel


def conv2d_input_gradient(
    dy: np.ndarray,
    kernel: np.ndarray,
    input_shape: tuple[int, ...],
    strides: tuple[int, int] = (1, 1),
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
    dilation: tuple[int, int] = (1, 1),
) -> np.ndarray:
    """Gradient of conv2d with respect to its input: dy (N, OH, OW, F) to dx of input_shape.

    With steps of one pixel it is the convolution of dy with the kernel turned by 180 degrees,
    unless dy is much smaller than the input. Else each tap (i, j) of the kernel sends
    dy @ kernel[i, j].T back to the pixels it read.
    """
    batch, height, width, channels = input_shape
    _, out_height, out_width, filters = dy.shape
    (top, bottom), (left, right) = padding
    down, across = kernel.shape[0] - 1, kernel.shape[1] - 1
    around = ((down - top, down - bottom), (across - left, across - right))
    by_one = strides == (1, 1) and dilation == (1, 1)
    if by_one and np.min(around) >= 0 and 2 * out_height * out_width >= height * width:
        turned = np.ascontiguousarray(kernel[::-1, ::-1].swapaxes(2, 3))
        return conv2d(dy, turned, padding=around)
    dx = empty((batch, top + height + bottom, left + width + right, channels), dy.dtype)
    turned = kernel.transpose(3, 0, 1, 2).reshape(filters, -1)

    def spread(part: slice) -> None:
        dx[part] = 0
        dpatches = empty((len(dy[part]), out_height, out_width, *kernel.shape[:3]), dy.dtype)
        products = dpatches.reshape(-1, turned.shape[1])
        np.matmul(dy[part].reshape(-1, filters), turned, out=products)
        for i in range(kernel.shape[0]):
            for j in range(kernel.shape[1]):
                target = dx[part, i * dilation[0] :: strides[0], j * dilation[1] :: strides[1]]
                target[:, :out_height, :out_width] += dpatches[:, :, :, i, j]

    map_parts(spread, image_parts(batch, out_height * out_width * turned.shape[1]))
    if np.any(padding):
        dx = dx[:, top : top + height, left : left + width]
    return dx

"""image_classification for NumPy, written by specc 0.1.0
from image_classification.yaml (22024b7ca6e7).

python image_classification_numpy.py train data.npz --epochs 3 --out w.safetensors
`specc data image_classification.yaml -o data.npz` writes the arrays; --help shows more.
"""

import argparse
import ctypes
import functools
import hashlib
import math
import os
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np

NAME = "image_classification"
BACKEND = "numpy"
SEED = 7
DTYPE = "float32"
INPUTS = {"image": (None, 28, 28, 1)}
TARGETS = {"label": (None,)}
OUTPUTS = {"probabilities": (None, 10)}
INTEGERS = {"label"}
EPOCHS = 6
BATCH_SIZE = 64


# Layers -----------------------------------------------------------------------------------------
def softmax(x, axis):
    """exp(x) divided by its sum along axis; the largest is taken off first against overflow."""
    exponentials = np.exp(x - x.max(axis=axis, keepdims=True))
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


def channel_sum(x):
    """Sum of x (N, ..., C) over every axis but the last: (C,).

    Products with ones are several times faster than `sum` here, and summing each sample by itself
    first loses less to rounding.
    """
    if x.ndim > 2:
        x = x.reshape(len(x), -1, x.shape[-1])
        x = np.ones(x.shape[1], x.dtype) @ x
    return np.ones(len(x), x.dtype) @ x


def scale_and_shift(normalized, gamma, beta, shape):
    """normalized * gamma + beta, either of which may be None; shape spreads them over the axes."""
    y = normalized if gamma is None else normalized * gamma.reshape(shape)
    return y if beta is None else y + beta.reshape(shape)


def batch_norm_inference(x, gamma, beta, mean, variance, axes, epsilon):
    """Normalize x by a given mean (C,) and variance (C,); axes are those without the features."""
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    inverse_deviation = 1 / np.sqrt(variance + epsilon)
    normalized = (x - mean.reshape(shape)) * inverse_deviation.reshape(shape)
    return scale_and_shift(normalized, gamma, beta, shape)


def update_statistics(moving_mean, moving_variance, mean, variance, keep):
    """Moves running statistics towards those of a batch, in place; ``keep`` of the old stays."""
    moving_mean *= keep
    moving_mean += (1 - keep) * mean
    moving_variance *= keep
    moving_variance += (1 - keep) * variance


def relu_gradient(dy, y, out=None):
    """Gradient of relu from its result y; at 0 it is 0."""
    dx = empty(dy.shape, dy.dtype) if out is None else out

    def gradient(part):
        positive = np.greater(y[part], 0, out=empty(y[part].shape, np.bool_))
        np.multiply(dy[part], positive, out=dx[part])

    map_parts(gradient, sample_parts(y))
    return dx


def relu(x):
    """max(x, 0), element by element."""
    y = empty(x.shape, x.dtype)
    map_parts(lambda part: np.maximum(x[part], 0, out=y[part]), sample_parts(x))
    return y


def image_parts(count, size):
    """Slices of a batch of `count` images, each of as many as hold 2**18 numbers, at `size` each.

    What a part computes is still in the cache at its next step. A call of NumPy on fewer numbers
    would be over before another thread has woken up.
    """
    images = max(1, 2**18 // size)
    for start in range(0, count, images):
        yield slice(start, min(start + images, count))


def padded_images(x, padding):
    """x (N, H, W, C) with ((top, bottom), (left, right)) rows and columns of zeros around it."""
    (top, bottom), (left, right) = padding
    batch, height, width, channels = x.shape
    y = empty((batch, top + height + bottom, left + width + right, channels), x.dtype)
    y[:, :top], y[:, top + height :] = 0, 0
    y[:, :, :left], y[:, :, left + width :] = 0, 0
    y[:, top : top + height, left : left + width] = x
    return y


def image_patches(x, kernel_size, strides=(1, 1), dilation=(1, 1)):
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


def row_patches(x, width):
    """Patches of one row of a kernel, of this width: x (N, H, W, C) to (N, H, OW, width * C).

    The rows of the kernel read the same patches, one row of the image further down each time.
    """
    windows = np.lib.stride_tricks.sliding_window_view(x, width, axis=2).swapaxes(-1, -2)
    patches = empty(windows.shape, x.dtype)
    patches[...] = windows
    return patches.reshape(*windows.shape[:3], -1)


def convolved_size(size, kernel_size, strides, padding, dilation):
    """Height and width of what a convolution makes of an image of this size."""
    height, width = (
        (length + sum(pads) - (reach - 1) * apart - 1) // step + 1
        for length, reach, step, pads, apart in zip(
            size, kernel_size, strides, padding, dilation, strict=True
        )
    )
    return height, width


def by_rows(kernel, strides, dilation):
    """Whether a convolution is a sum of products, one for each row of its kernel.

    This copies each pixel `width` times and not `height * width` times. It needs neighbouring
    pixels, and does not pay with a single channel.
    """
    return strides == (1, 1) and dilation == (1, 1) and kernel.shape[2] > 1


def conv2d(x, kernel, strides=(1, 1), padding=((0, 0), (0, 0))):
    """Convolve x (N, H, W, C) with kernel (kh, kw, C, F) to (N, OH, OW, F).

    padding is ((top, bottom), (left, right)).
    """
    kernel_size, filters = kernel.shape[:2], kernel.shape[3]
    height, width = convolved_size(x.shape[1:3], kernel_size, strides, padding, (1, 1))
    y = empty((len(x), height, width, filters), x.dtype)

    def convolve_part(part):
        images = padded_images(x[part], padding) if np.any(padding) else x[part]
        convolve(images, kernel, y[part], strides, (1, 1))

    map_parts(convolve_part, image_parts(len(x), height * width * kernel[0].size // filters))
    return y


def convolve(x, kernel, y, strides, dilation):
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


def conv2d_kernel_gradient(x, dy, kernel_shape, strides=(1, 1), padding=((0, 0), (0, 0))):
    """Gradient of conv2d with respect to its kernel: x (N, H, W, C), dy (N, OH, OW, F).

    The patches' matrix, transposed, times dy: the sum over the quarters of the batch.
    """

    def gradient(part):
        images = padded_images(x[part], padding) if np.any(padding) else x[part]
        return correlate(images, dy[part], kernel_shape, strides, (1, 1))

    first, *others = map_parts(gradient, quarters(len(x)))
    for other in others:
        first += other
    return np.asarray(first)


def correlate(x, dy, kernel_shape, strides, dilation):
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


def conv2d_input_gradient(dy, kernel, input_shape, strides=(1, 1), padding=((0, 0), (0, 0))):
    """Gradient of conv2d with respect to its input: dy (N, OH, OW, F) to dx of input_shape.

    With steps of one pixel it is the convolution of dy with the kernel turned by 180 degrees,
    unless dy is much smaller than the input. Else each tap (i, j) of the kernel sends
    dy @ kernel[i, j].T back to the pixels it read.
    """
    batch, height, width, channels = input_shape
    _, out_height, out_width, filters = dy.shape
    (top, bottom), (left, right) = padding
    down, across = kernel.shape[0] - 1, kernel.shape[1] - 1
    around = (down - top, down - bottom), (across - left, across - right)
    by_one = strides == (1, 1)
    if by_one and np.min(around) >= 0 and (2 * out_height * out_width >= height * width):
        turned = np.ascontiguousarray(kernel[::-1, ::-1].swapaxes(2, 3))
        return conv2d(dy, turned, padding=around)
    dx = empty((batch, top + height + bottom, left + width + right, channels), dy.dtype)
    turned = kernel.transpose(3, 0, 1, 2).reshape(filters, -1)

    def spread(part):
        dx[part] = 0
        dpatches = empty((len(dy[part]), out_height, out_width, *kernel.shape[:3]), dy.dtype)
        products = dpatches.reshape(-1, turned.shape[1])
        np.matmul(dy[part].reshape(-1, filters), turned, out=products)
        for i in range(kernel.shape[0]):
            for j in range(kernel.shape[1]):
                target = dx[part, i :: strides[0], j :: strides[1]]
                target[:, :out_height, :out_width] += dpatches[:, :, :, i, j]

    map_parts(spread, image_parts(batch, out_height * out_width * turned.shape[1]))
    if np.any(padding):
        dx = dx[:, top : top + height, left : left + width]
    return dx


MEMORY = threading.local()  # each thread has its own: two never take the same block


def references(blocks):
    """How many references to its first block a list of blocks makes, and the loop that looks."""
    for block in blocks:
        return sys.getrefcount(block)
    return 0


UNUSED = references([np.empty(0)])  # it depends on the version of Python


def free_block(blocks):
    """One of the blocks that nothing refers to any more, if there is one."""
    for block in blocks:
        if sys.getrefcount(block) == UNUSED:
            return block
    return None


def empty(shape, dtype):
    """An array of any content, as np.empty, in memory that nothing refers to any more if there is.

    A step finds what the step before it has given back: new memory from the system costs more than
    most computations in it.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    held = vars(MEMORY)
    block = free_block(held.get(size, []))
    if block is None:  # a larger one will do, if it is not much too large
        larger = sorted(each for each in held if size < each <= 4 * size)
        block = next((b for each in larger if (b := free_block(held[each])) is not None), None)
    if block is None:
        if len(held) >= 512:  # sizes of other batches
            held.clear()
        for each in sorted(held, reverse=True):  # it serves in the place of a smaller one, too
            if size <= 4 * each < 4 * size and (unused := free_block(held[each])) is not None:
                held[each] = [other for other in held[each] if other is not unused]
                break
        block = np.empty(size, np.uint8)
        held.setdefault(size, []).append(block)
    return np.ndarray(shape, dtype, block)


def channel_rows(x):
    """x (N, ..., C) as (M, S), a whole number of pixels in a row: short rows are slow."""
    pixels = x.shape[-2] if x.ndim > 2 else 1
    return x.reshape(-1, pixels * x.shape[-1])


def sum_of_pixels(rows, channels):
    """Sum by channel of what channel_rows gives."""
    pixels = np.ones(len(rows), rows.dtype) @ rows
    return np.asarray(pixels.reshape(-1, channels).sum(axis=0))


def channel_norm(x, gamma, beta, epsilon):
    """Normalize each channel of x (N, ..., C) by its statistics over all other axes.

    Returns y, the normalized x, the mean (C,), the biased variance (C,) and 1 / sqrt(variance +
    epsilon). gamma and beta are (C,) or None.
    """
    rows, channels = channel_rows(x), x.shape[-1]
    pixels, count = rows.shape[1] // channels, x.size // channels
    y, normalized = empty(rows.shape, x.dtype), empty(rows.shape, x.dtype)

    def squares(part):
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

    def scaled(part):
        normalized[part] *= scale
        np.multiply(normalized[part], 1 if gammas is None else gammas, out=y[part])
        if betas is not None:
            y[part] += betas

    map_parts(scaled, parts)
    shaped = y.reshape(x.shape), normalized.reshape(x.shape)
    return *shaped, mean, variance, inverse_deviation


def channel_norm_gradient(dy, normalized, gamma, inverse_deviation, out=None):
    """Gradients of channel_norm with respect to x, gamma (C,) and beta (C,).

    The mean and the variance depend on every x: they take out what dy has in common with 1 and
    with the normalized x.
    """
    rows, channels = channel_rows(dy), dy.shape[-1]
    kept = normalized.reshape(rows.shape)
    pixels, count = rows.shape[1] // channels, dy.size // channels
    dx = channel_rows(empty(dy.shape, dy.dtype) if out is None else out)

    def sums(part):
        product = np.multiply(rows[part], kept[part], out=empty(rows[part].shape, dy.dtype))
        return np.stack([sum_of_pixels(each, channels) for each in (product, rows[part])])

    def slope(part):
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


def multiply(a, b, into):
    """Writes the product of two matrices to `into`: a large one in four parts, side by side."""
    rows, columns = into.shape
    if rows * columns * len(b) < 2**23:
        np.matmul(a, b, out=into)
        return

    def compute(part):
        if rows >= columns:
            np.matmul(a[part], b, out=into[part])
        else:
            np.matmul(a, b[:, part], out=into[:, part])

    map_parts(compute, quarters(max(rows, columns)))


def affine(x, kernel, bias=None):
    """x (..., D) @ kernel (D, K), as one product over all rows.

    bias (K,) is added.
    """
    y = empty((*x.shape[:-1], kernel.shape[1]), x.dtype)
    multiply(x.reshape(-1, x.shape[-1]), kernel, y.reshape(-1, y.shape[-1]))
    if bias is not None:
        y += bias
    return y


def affine_kernel_gradient(x, dy):
    """Gradient of affine with respect to its kernel: x (..., D), dy (..., K) to (D, K)."""
    dkernel = empty((x.shape[-1], dy.shape[-1]), dy.dtype)
    rows, drows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    multiply(rows.T, drows, dkernel)
    return dkernel


def added(a, b, out=None):
    """a + b, where they have the same shape. It may be written over one of them."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return np.asarray(a + b)
    y = empty(a.shape, a.dtype) if out is None else out
    map_parts(lambda part: np.add(a[part], b[part], out=y[part]), sample_parts(a))
    return y


def row_maxima(x):
    """The largest of each row of x (..., S), as (..., 1): that of its halves, again and again."""
    while x.shape[-1] > 8 and x.shape[-1] % 2 == 0:
        half = x.shape[-1] // 2
        x = np.maximum(x[..., :half], x[..., half:])
    return np.asarray(x.max(axis=-1, keepdims=True))


def openblas(name):
    """A function of the OpenBLAS in NumPy's wheels; None where NumPy has other products."""
    linked = getattr(np.linalg, "_umath_linalg", None)  # the part of NumPy that is linked with it
    library = ctypes.CDLL(linked.__file__) if linked else None
    return getattr(library, f"scipy_openblas_{name}64_", None)


SET_PRODUCT_THREADS = openblas("set_num_threads")


PRODUCT_THREADS = openblas("get_num_threads")() if SET_PRODUCT_THREADS else 1


THREADS = min(PRODUCT_THREADS, 8)  # more of them would wait for the interpreter


def on_own_threads(function):
    """A decorator: while the function runs, a product is computed by the thread that calls it.

    map_parts gives every processor its part. The threads of OpenBLAS would come on top of that:
    between their products they wait in a loop, in the place of other work.
    """

    @functools.wraps(function)
    def limited(*arguments, **options):
        SET_PRODUCT_THREADS(1)
        try:
            return function(*arguments, **options)
        finally:
            SET_PRODUCT_THREADS(PRODUCT_THREADS)

    return limited if PRODUCT_THREADS > 1 else function


@functools.cache
def helpers(process):
    """The threads beside the main one. A process that was forked has none of its parent's."""
    return ThreadPoolExecutor(THREADS - 1)


def map_parts(work, parts):
    """[work(part) for part in parts], in parts that stay in the cache."""
    return map_on_threads(work, list(parts))


def map_on_threads(work, parts):
    """[work(part) for part in parts], on all processors: NumPy's loops run side by side.

    The parts do not depend on the number of processors, so that the results do not either. Each
    should take a tenth of a millisecond or more: to wake a thread takes that long.
    """
    results = [None] * len(parts)
    shared = [work, iter(enumerate(parts)), results]
    count = min(THREADS, len(parts)) - 1
    jobs = [helpers(os.getpid()).submit(take_parts, shared) for _ in range(count)]
    try:
        take_parts(shared)
    finally:
        begun = [job for job in jobs if not job.cancel()]
        wait(begun)  # nobody works on after an error
        shared.clear()  # a job that was cancelled stays in its queue, but keeps no array
    for job in begun:
        job.result()
    return results


def take_parts(shared):
    """Computes one part after the other, as long as there are any that nobody has taken."""
    work, waiting, results = shared
    for index, part in waiting:
        results[index] = work(part)


def quarters(count):
    """Four slices of that many rows, or fewer."""
    size = max(1, -(-count // 4))
    return [slice(start, start + size) for start in range(0, max(count, 1), size)]


def sample_parts(x):
    """Slices of the batch x, each of as many samples as hold 2**17 numbers.

    What a part computes stays in the cache. A call of NumPy on fewer numbers is over before another
    thread has woken up.
    """
    samples = max(1, 2**17 * len(x) // max(x.size, 1))
    for start in range(0, len(x), samples):
        yield slice(start, start + samples)


# Model ------------------------------------------------------------------------------------------
class ImageClassification:
    """The arrays of a network by path, and the seed of its masks."""

    frozen = frozenset(
        {
            "batch_norm.moving_mean",
            "batch_norm.moving_variance",
            "residual.batch_norm.moving_mean",
            "residual.batch_norm.moving_variance",
            "residual.y.moving_mean",
            "residual.y.moving_variance",
            "residual.s.moving_mean",
            "residual.s.moving_variance",
            "stage.0.batch_norm.moving_mean",
            "stage.0.batch_norm.moving_variance",
            "stage.0.y.moving_mean",
            "stage.0.y.moving_variance",
            "stage.0.s.moving_mean",
            "stage.0.s.moving_variance",
            "stage.1.batch_norm.moving_mean",
            "stage.1.batch_norm.moving_variance",
            "stage.1.y.moving_mean",
            "stage.1.y.moving_variance",
            "stage.1.s.moving_mean",
            "stage.1.s.moving_variance",
        }
    )  # not trained by gradients

    def __init__(self, parameters, seed):
        self.parameters, self.seed = parameters, seed


@on_own_threads
def forward_backward(model, inputs, targets=None, sample_weights=None, step=0, training=True):
    """(loss, raw outputs, {path: gradient}); without targets raw outputs only.

    training=False is inference mode.
    """
    p = model.parameters
    image = inputs["image"]  # (batch, 28, 28, 1)
    stem = conv2d(
        image, p["stem.kernel"], strides=(2, 2), padding=((0, 1), (0, 1))
    )  # (batch, 14, 14, 16)
    if not training:
        batch_norm_1 = batch_norm_inference(
            stem,
            p["batch_norm.gamma"],
            p["batch_norm.beta"],
            p["batch_norm.moving_mean"],
            p["batch_norm.moving_variance"],
            (0, 1, 2),
            0.001,
        )  # (batch, 14, 14, 16)
    else:
        (
            batch_norm_1,
            batch_norm_normalized,
            batch_norm_mean,
            batch_norm_variance,
            batch_norm_inverse_deviation,
        ) = channel_norm(
            stem, p["batch_norm.gamma"], p["batch_norm.beta"], 0.001
        )  # (batch, 14, 14, 16)
        update_statistics(
            p["batch_norm.moving_mean"],
            p["batch_norm.moving_variance"],
            batch_norm_mean,
            batch_norm_variance,
            0.99,
        )
    relu_1 = relu(batch_norm_1)  # (batch, 14, 14, 16)
    residual_conv1 = conv2d(
        relu_1, p["residual.conv1.kernel"], padding=((1, 1), (1, 1))
    )  # (batch, 14, 14, 16)
    if not training:
        residual_batch_norm = batch_norm_inference(
            residual_conv1,
            p["residual.batch_norm.gamma"],
            p["residual.batch_norm.beta"],
            p["residual.batch_norm.moving_mean"],
            p["residual.batch_norm.moving_variance"],
            (0, 1, 2),
            0.001,
        )  # (batch, 14, 14, 16)
    else:
        (
            residual_batch_norm,
            residual_batch_norm_normalized,
            residual_batch_norm_mean,
            residual_batch_norm_variance,
            residual_batch_norm_inverse_deviation,
        ) = channel_norm(
            residual_conv1, p["residual.batch_norm.gamma"], p["residual.batch_norm.beta"], 0.001
        )  # (batch, 14, 14, 16)
        update_statistics(
            p["residual.batch_norm.moving_mean"],
            p["residual.batch_norm.moving_variance"],
            residual_batch_norm_mean,
            residual_batch_norm_variance,
            0.99,
        )
    residual_relu = relu(residual_batch_norm)  # (batch, 14, 14, 16)
    residual_conv2 = conv2d(
        residual_relu, p["residual.conv2.kernel"], padding=((1, 1), (1, 1))
    )  # (batch, 14, 14, 16)
    if not training:
        residual_y = batch_norm_inference(
            residual_conv2,
            p["residual.y.gamma"],
            p["residual.y.beta"],
            p["residual.y.moving_mean"],
            p["residual.y.moving_variance"],
            (0, 1, 2),
            0.001,
        )  # (batch, 14, 14, 16)
    else:
        (
            residual_y,
            residual_y_normalized,
            residual_y_mean,
            residual_y_variance,
            residual_y_inverse_deviation,
        ) = channel_norm(
            residual_conv2, p["residual.y.gamma"], p["residual.y.beta"], 0.001
        )  # (batch, 14, 14, 16)
        update_statistics(
            p["residual.y.moving_mean"],
            p["residual.y.moving_variance"],
            residual_y_mean,
            residual_y_variance,
            0.99,
        )
    residual_shortcut = conv2d(relu_1, p["residual.shortcut.kernel"])  # (batch, 14, 14, 16)
    if not training:
        residual_s = batch_norm_inference(
            residual_shortcut,
            p["residual.s.gamma"],
            p["residual.s.beta"],
            p["residual.s.moving_mean"],
            p["residual.s.moving_variance"],
            (0, 1, 2),
            0.001,
        )  # (batch, 14, 14, 16)
    else:
        (
            residual_s,
            residual_s_normalized,
            residual_s_mean,
            residual_s_variance,
            residual_s_inverse_deviation,
        ) = channel_norm(
            residual_shortcut, p["residual.s.gamma"], p["residual.s.beta"], 0.001
        )  # (batch, 14, 14, 16)
        update_statistics(
            p["residual.s.moving_mean"],
            p["residual.s.moving_variance"],
            residual_s_mean,
            residual_s_variance,
            0.99,
        )
    residual_add = added(residual_y, residual_s)  # (batch, 14, 14, 16)
    residual_z = relu(residual_add)  # (batch, 14, 14, 16)
    stage_0_conv1 = conv2d(
        residual_z, p["stage.0.conv1.kernel"], strides=(2, 2), padding=((0, 1), (0, 1))
    )  # (batch, 7, 7, 32)
    if not training:
        stage_0_batch_norm = batch_norm_inference(
            stage_0_conv1,
            p["stage.0.batch_norm.gamma"],
            p["stage.0.batch_norm.beta"],
            p["stage.0.batch_norm.moving_mean"],
            p["stage.0.batch_norm.moving_variance"],
            (0, 1, 2),
            0.001,
        )  # (batch, 7, 7, 32)
    else:
        (
            stage_0_batch_norm,
            stage_0_batch_norm_normalized,
            stage_0_batch_norm_mean,
            stage_0_batch_norm_variance,
            stage_0_batch_norm_inverse_deviation,
        ) = channel_norm(
            stage_0_conv1, p["stage.0.batch_norm.gamma"], p["stage.0.batch_norm.beta"], 0.001
        )  # (batch, 7, 7, 32)
        update_statistics(
            p["stage.0.batch_norm.moving_mean"],
            p["stage.0.batch_norm.moving_variance"],
            stage_0_batch_norm_mean,
            stage_0_batch_norm_variance,
            0.99,
        )
    stage_0_relu = relu(stage_0_batch_norm)  # (batch, 7, 7, 32)
    stage_0_conv2 = conv2d(
        stage_0_relu, p["stage.0.conv2.kernel"], padding=((1, 1), (1, 1))
    )  # (batch, 7, 7, 32)
    if not training:
        stage_0_y = batch_norm_inference(
            stage_0_conv2,
            p["stage.0.y.gamma"],
            p["stage.0.y.beta"],
            p["stage.0.y.moving_mean"],
            p["stage.0.y.moving_variance"],
            (0, 1, 2),
            0.001,
        )  # (batch, 7, 7, 32)
    else:
        (
            stage_0_y,
            stage_0_y_normalized,
            stage_0_y_mean,
            stage_0_y_variance,
            stage_0_y_inverse_deviation,
        ) = channel_norm(
            stage_0_conv2, p["stage.0.y.gamma"], p["stage.0.y.beta"], 0.001
        )  # (batch, 7, 7, 32)
        update_statistics(
            p["stage.0.y.moving_mean"],
            p["stage.0.y.moving_variance"],
            stage_0_y_mean,
            stage_0_y_variance,
            0.99,
        )
    stage_0_shortcut = conv2d(
        residual_z, p["stage.0.shortcut.kernel"], strides=(2, 2)
    )  # (batch, 7, 7, 32)
    if not training:
        stage_0_s = batch_norm_inference(
            stage_0_shortcut,
            p["stage.0.s.gamma"],
            p["stage.0.s.beta"],
            p["stage.0.s.moving_mean"],
            p["stage.0.s.moving_variance"],
            (0, 1, 2),
            0.001,
        )  # (batch, 7, 7, 32)
    else:
        (
            stage_0_s,
            stage_0_s_normalized,
            stage_0_s_mean,
            stage_0_s_variance,
            stage_0_s_inverse_deviation,
        ) = channel_norm(
            stage_0_shortcut, p["stage.0.s.gamma"], p["stage.0.s.beta"], 0.001
        )  # (batch, 7, 7, 32)
        update_statistics(
            p["stage.0.s.moving_mean"],
            p["stage.0.s.moving_variance"],
            stage_0_s_mean,
            stage_0_s_variance,
            0.99,
        )
    stage_0_add = added(stage_0_y, stage_0_s)  # (batch, 7, 7, 32)
    stage_0_z = relu(stage_0_add)  # (batch, 7, 7, 32)
    stage_1_conv1 = conv2d(
        stage_0_z, p["stage.1.conv1.kernel"], strides=(2, 2), padding=((1, 1), (1, 1))
    )  # (batch, 4, 4, 64)
    if not training:
        stage_1_batch_norm = batch_norm_inference(
            stage_1_conv1,
            p["stage.1.batch_norm.gamma"],
            p["stage.1.batch_norm.beta"],
            p["stage.1.batch_norm.moving_mean"],
            p["stage.1.batch_norm.moving_variance"],
            (0, 1, 2),
            0.001,
        )  # (batch, 4, 4, 64)
    else:
        (
            stage_1_batch_norm,
            stage_1_batch_norm_normalized,
            stage_1_batch_norm_mean,
            stage_1_batch_norm_variance,
            stage_1_batch_norm_inverse_deviation,
        ) = channel_norm(
            stage_1_conv1, p["stage.1.batch_norm.gamma"], p["stage.1.batch_norm.beta"], 0.001
        )  # (batch, 4, 4, 64)
        update_statistics(
            p["stage.1.batch_norm.moving_mean"],
            p["stage.1.batch_norm.moving_variance"],
            stage_1_batch_norm_mean,
            stage_1_batch_norm_variance,
            0.99,
        )
    stage_1_relu = relu(stage_1_batch_norm)  # (batch, 4, 4, 64)
    stage_1_conv2 = conv2d(
        stage_1_relu, p["stage.1.conv2.kernel"], padding=((1, 1), (1, 1))
    )  # (batch, 4, 4, 64)
    if not training:
        stage_1_y = batch_norm_inference(
            stage_1_conv2,
            p["stage.1.y.gamma"],
            p["stage.1.y.beta"],
            p["stage.1.y.moving_mean"],
            p["stage.1.y.moving_variance"],
            (0, 1, 2),
            0.001,
        )  # (batch, 4, 4, 64)
    else:
        (
            stage_1_y,
            stage_1_y_normalized,
            stage_1_y_mean,
            stage_1_y_variance,
            stage_1_y_inverse_deviation,
        ) = channel_norm(
            stage_1_conv2, p["stage.1.y.gamma"], p["stage.1.y.beta"], 0.001
        )  # (batch, 4, 4, 64)
        update_statistics(
            p["stage.1.y.moving_mean"],
            p["stage.1.y.moving_variance"],
            stage_1_y_mean,
            stage_1_y_variance,
            0.99,
        )
    stage_1_shortcut = conv2d(
        stage_0_z, p["stage.1.shortcut.kernel"], strides=(2, 2)
    )  # (batch, 4, 4, 64)
    if not training:
        stage_1_s = batch_norm_inference(
            stage_1_shortcut,
            p["stage.1.s.gamma"],
            p["stage.1.s.beta"],
            p["stage.1.s.moving_mean"],
            p["stage.1.s.moving_variance"],
            (0, 1, 2),
            0.001,
        )  # (batch, 4, 4, 64)
    else:
        (
            stage_1_s,
            stage_1_s_normalized,
            stage_1_s_mean,
            stage_1_s_variance,
            stage_1_s_inverse_deviation,
        ) = channel_norm(
            stage_1_shortcut, p["stage.1.s.gamma"], p["stage.1.s.beta"], 0.001
        )  # (batch, 4, 4, 64)
        update_statistics(
            p["stage.1.s.moving_mean"],
            p["stage.1.s.moving_variance"],
            stage_1_s_mean,
            stage_1_s_variance,
            0.99,
        )
    stage_1_add = added(stage_1_y, stage_1_s)  # (batch, 4, 4, 64)
    stage_1_z = relu(stage_1_add)  # (batch, 4, 4, 64)
    global_average_pool2d = stage_1_z.mean(axis=(1, 2))  # (batch, 64)
    if not training:
        dropout_1 = global_average_pool2d  # (batch, 64)
    else:
        dropout_1, dropout_mask_1 = dropout(
            global_average_pool2d, 0.2, layer_key(model.seed, "dropout"), step
        )  # (batch, 64)
    logits = affine(
        dropout_1, p["probabilities.kernel"], bias=p["probabilities.bias"]
    )  # (batch, 10)
    record(
        {**locals(), "batch_norm": batch_norm_1, "relu": relu_1, "dropout": dropout_1},
        "stem batch_norm relu residual.conv1 residual.batch_norm residual.relu "
        "residual.conv2 residual.y residual.shortcut residual.s residual.add residual.z "
        "stage.0.conv1 stage.0.batch_norm stage.0.relu stage.0.conv2 stage.0.y "
        "stage.0.shortcut stage.0.s stage.0.add stage.0.z stage.1.conv1 "
        "stage.1.batch_norm stage.1.relu stage.1.conv2 stage.1.y stage.1.shortcut "
        "stage.1.s stage.1.add stage.1.z global_average_pool2d dropout",
    )
    if targets is None:
        return None, logits, None
    loss = total_loss(model, logits, targets, sample_weights)
    label = targets["label"]  # (batch,)
    weights = value_weights(logits.shape[:1], logits.dtype, sample_weights)  # (batch,)

    # Backward: d_x is the gradient of the loss with respect to x
    del (
        stem,
        batch_norm_1,
        residual_conv1,
        residual_batch_norm,
        residual_conv2,
        residual_y,
        residual_shortcut,
        residual_s,
        residual_add,
        stage_0_conv1,
        stage_0_batch_norm,
        stage_0_conv2,
        stage_0_y,
        stage_0_shortcut,
        stage_0_s,
        stage_0_add,
        stage_1_conv1,
        stage_1_batch_norm,
        stage_1_conv2,
        stage_1_y,
        stage_1_shortcut,
        stage_1_s,
        stage_1_add,
    )
    g = {}
    d_probabilities_logits = sparse_categorical_crossentropy_from_logits_gradient(
        logits, label, weights=weights
    )  # (batch, 10)
    g["probabilities.kernel"] = affine_kernel_gradient(
        dropout_1, d_probabilities_logits
    )  # (64, 10)
    g["probabilities.bias"] = channel_sum(d_probabilities_logits)  # (10,)
    d_dropout = affine(d_probabilities_logits, p["probabilities.kernel"].T)  # (batch, 64)
    d_global_average_pool2d = d_dropout * dropout_mask_1  # (batch, 64)
    d_stage_1_z = np.broadcast_to(
        d_global_average_pool2d[:, None, None, :] * (d_global_average_pool2d.size / stage_1_z.size),
        stage_1_z.shape,
    )  # (batch, 4, 4, 64)
    d_stage_1_add = relu_gradient(d_stage_1_z, stage_1_z)  # (batch, 4, 4, 64)
    del stage_1_z, d_stage_1_z
    d_stage_1_shortcut, g["stage.1.s.gamma"], g["stage.1.s.beta"] = channel_norm_gradient(
        d_stage_1_add, stage_1_s_normalized, p["stage.1.s.gamma"], stage_1_s_inverse_deviation
    )  # (batch, 4, 4, 64)
    del stage_1_s_normalized
    g["stage.1.shortcut.kernel"] = conv2d_kernel_gradient(
        stage_0_z, d_stage_1_shortcut, p["stage.1.shortcut.kernel"].shape, strides=(2, 2)
    )  # (1, 1, 32, 64)
    d_stage_0_z = conv2d_input_gradient(
        d_stage_1_shortcut, p["stage.1.shortcut.kernel"], stage_0_z.shape, strides=(2, 2)
    )  # (batch, 7, 7, 32)
    del d_stage_1_shortcut
    d_stage_1_conv2, g["stage.1.y.gamma"], g["stage.1.y.beta"] = channel_norm_gradient(
        d_stage_1_add,
        stage_1_y_normalized,
        p["stage.1.y.gamma"],
        stage_1_y_inverse_deviation,
        out=d_stage_1_add,
    )  # (batch, 4, 4, 64)
    del stage_1_y_normalized, d_stage_1_add
    g["stage.1.conv2.kernel"] = conv2d_kernel_gradient(
        stage_1_relu, d_stage_1_conv2, p["stage.1.conv2.kernel"].shape, padding=((1, 1), (1, 1))
    )  # (3, 3, 64, 64)
    d_stage_1_relu = conv2d_input_gradient(
        d_stage_1_conv2, p["stage.1.conv2.kernel"], stage_1_relu.shape, padding=((1, 1), (1, 1))
    )  # (batch, 4, 4, 64)
    del d_stage_1_conv2
    d_stage_1_batch_norm = relu_gradient(
        d_stage_1_relu, stage_1_relu, out=d_stage_1_relu
    )  # (batch, 4, 4, 64)
    del stage_1_relu, d_stage_1_relu
    d_stage_1_conv1, g["stage.1.batch_norm.gamma"], g["stage.1.batch_norm.beta"] = (
        channel_norm_gradient(
            d_stage_1_batch_norm,
            stage_1_batch_norm_normalized,
            p["stage.1.batch_norm.gamma"],
            stage_1_batch_norm_inverse_deviation,
            out=d_stage_1_batch_norm,
        )
    )  # (batch, 4, 4, 64)
    del stage_1_batch_norm_normalized, d_stage_1_batch_norm
    g["stage.1.conv1.kernel"] = conv2d_kernel_gradient(
        stage_0_z,
        d_stage_1_conv1,
        p["stage.1.conv1.kernel"].shape,
        strides=(2, 2),
        padding=((1, 1), (1, 1)),
    )  # (3, 3, 32, 64)
    d_stage_0_z_2 = conv2d_input_gradient(
        d_stage_1_conv1,
        p["stage.1.conv1.kernel"],
        stage_0_z.shape,
        strides=(2, 2),
        padding=((1, 1), (1, 1)),
    )  # (batch, 7, 7, 32)
    del d_stage_1_conv1
    d_stage_0_z_3 = added(d_stage_0_z, d_stage_0_z_2, out=d_stage_0_z)  # (batch, 7, 7, 32)
    del d_stage_0_z, d_stage_0_z_2
    d_stage_0_add = relu_gradient(d_stage_0_z_3, stage_0_z, out=d_stage_0_z_3)  # (batch, 7, 7, 32)
    del stage_0_z, d_stage_0_z_3
    d_stage_0_shortcut, g["stage.0.s.gamma"], g["stage.0.s.beta"] = channel_norm_gradient(
        d_stage_0_add, stage_0_s_normalized, p["stage.0.s.gamma"], stage_0_s_inverse_deviation
    )  # (batch, 7, 7, 32)
    del stage_0_s_normalized
    g["stage.0.shortcut.kernel"] = conv2d_kernel_gradient(
        residual_z, d_stage_0_shortcut, p["stage.0.shortcut.kernel"].shape, strides=(2, 2)
    )  # (1, 1, 16, 32)
    d_residual_z = conv2d_input_gradient(
        d_stage_0_shortcut, p["stage.0.shortcut.kernel"], residual_z.shape, strides=(2, 2)
    )  # (batch, 14, 14, 16)
    del d_stage_0_shortcut
    d_stage_0_conv2, g["stage.0.y.gamma"], g["stage.0.y.beta"] = channel_norm_gradient(
        d_stage_0_add,
        stage_0_y_normalized,
        p["stage.0.y.gamma"],
        stage_0_y_inverse_deviation,
        out=d_stage_0_add,
    )  # (batch, 7, 7, 32)
    del stage_0_y_normalized, d_stage_0_add
    g["stage.0.conv2.kernel"] = conv2d_kernel_gradient(
        stage_0_relu, d_stage_0_conv2, p["stage.0.conv2.kernel"].shape, padding=((1, 1), (1, 1))
    )  # (3, 3, 32, 32)
    d_stage_0_relu = conv2d_input_gradient(
        d_stage_0_conv2, p["stage.0.conv2.kernel"], stage_0_relu.shape, padding=((1, 1), (1, 1))
    )  # (batch, 7, 7, 32)
    del d_stage_0_conv2
    d_stage_0_batch_norm = relu_gradient(
        d_stage_0_relu, stage_0_relu, out=d_stage_0_relu
    )  # (batch, 7, 7, 32)
    del stage_0_relu, d_stage_0_relu
    d_stage_0_conv1, g["stage.0.batch_norm.gamma"], g["stage.0.batch_norm.beta"] = (
        channel_norm_gradient(
            d_stage_0_batch_norm,
            stage_0_batch_norm_normalized,
            p["stage.0.batch_norm.gamma"],
            stage_0_batch_norm_inverse_deviation,
            out=d_stage_0_batch_norm,
        )
    )  # (batch, 7, 7, 32)
    del stage_0_batch_norm_normalized, d_stage_0_batch_norm
    g["stage.0.conv1.kernel"] = conv2d_kernel_gradient(
        residual_z,
        d_stage_0_conv1,
        p["stage.0.conv1.kernel"].shape,
        strides=(2, 2),
        padding=((0, 1), (0, 1)),
    )  # (3, 3, 16, 32)
    d_residual_z_2 = conv2d_input_gradient(
        d_stage_0_conv1,
        p["stage.0.conv1.kernel"],
        residual_z.shape,
        strides=(2, 2),
        padding=((0, 1), (0, 1)),
    )  # (batch, 14, 14, 16)
    del d_stage_0_conv1
    d_residual_z_3 = added(d_residual_z, d_residual_z_2, out=d_residual_z)  # (batch, 14, 14, 16)
    del d_residual_z, d_residual_z_2
    d_residual_add = relu_gradient(
        d_residual_z_3, residual_z, out=d_residual_z_3
    )  # (batch, 14, 14, 16)
    del residual_z, d_residual_z_3
    d_residual_shortcut, g["residual.s.gamma"], g["residual.s.beta"] = channel_norm_gradient(
        d_residual_add, residual_s_normalized, p["residual.s.gamma"], residual_s_inverse_deviation
    )  # (batch, 14, 14, 16)
    del residual_s_normalized
    g["residual.shortcut.kernel"] = conv2d_kernel_gradient(
        relu_1, d_residual_shortcut, p["residual.shortcut.kernel"].shape
    )  # (1, 1, 16, 16)
    d_relu = conv2d_input_gradient(
        d_residual_shortcut, p["residual.shortcut.kernel"], relu_1.shape
    )  # (batch, 14, 14, 16)
    del d_residual_shortcut
    d_residual_conv2, g["residual.y.gamma"], g["residual.y.beta"] = channel_norm_gradient(
        d_residual_add,
        residual_y_normalized,
        p["residual.y.gamma"],
        residual_y_inverse_deviation,
        out=d_residual_add,
    )  # (batch, 14, 14, 16)
    del residual_y_normalized, d_residual_add
    g["residual.conv2.kernel"] = conv2d_kernel_gradient(
        residual_relu, d_residual_conv2, p["residual.conv2.kernel"].shape, padding=((1, 1), (1, 1))
    )  # (3, 3, 16, 16)
    d_residual_relu = conv2d_input_gradient(
        d_residual_conv2, p["residual.conv2.kernel"], residual_relu.shape, padding=((1, 1), (1, 1))
    )  # (batch, 14, 14, 16)
    del d_residual_conv2
    d_residual_batch_norm = relu_gradient(
        d_residual_relu, residual_relu, out=d_residual_relu
    )  # (batch, 14, 14, 16)
    del residual_relu, d_residual_relu
    d_residual_conv1, g["residual.batch_norm.gamma"], g["residual.batch_norm.beta"] = (
        channel_norm_gradient(
            d_residual_batch_norm,
            residual_batch_norm_normalized,
            p["residual.batch_norm.gamma"],
            residual_batch_norm_inverse_deviation,
            out=d_residual_batch_norm,
        )
    )  # (batch, 14, 14, 16)
    del residual_batch_norm_normalized, d_residual_batch_norm
    g["residual.conv1.kernel"] = conv2d_kernel_gradient(
        relu_1, d_residual_conv1, p["residual.conv1.kernel"].shape, padding=((1, 1), (1, 1))
    )  # (3, 3, 16, 16)
    d_relu_2 = conv2d_input_gradient(
        d_residual_conv1, p["residual.conv1.kernel"], relu_1.shape, padding=((1, 1), (1, 1))
    )  # (batch, 14, 14, 16)
    del d_residual_conv1
    d_relu_3 = added(d_relu, d_relu_2, out=d_relu)  # (batch, 14, 14, 16)
    del d_relu, d_relu_2
    d_batch_norm = relu_gradient(d_relu_3, relu_1, out=d_relu_3)  # (batch, 14, 14, 16)
    del relu_1, d_relu_3
    d_stem, g["batch_norm.gamma"], g["batch_norm.beta"] = channel_norm_gradient(
        d_batch_norm,
        batch_norm_normalized,
        p["batch_norm.gamma"],
        batch_norm_inverse_deviation,
        out=d_batch_norm,
    )  # (batch, 14, 14, 16)
    del batch_norm_normalized, d_batch_norm
    g["stem.kernel"] = conv2d_kernel_gradient(
        image, d_stem, p["stem.kernel"].shape, strides=(2, 2), padding=((0, 1), (0, 1))
    )  # (3, 3, 1, 16)
    del d_stem
    return loss, logits, {path: g[path] for path in p if path in g}


def to_outputs(logits):
    """The spec's outputs, from what the model returns."""
    return {"probabilities": softmax(logits, -1)}


# Losses and metrics -----------------------------------------------------------------------------
def check_labels(labels, classes):
    """Raises ValueError for a label that is none of the classes 0, 1, ..."""
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"labels go from {labels.min()} to {labels.max()}, not 0 to {classes - 1}")


def value_weights(shape, dtype, sample_weights=None):
    """What each value of a loss counts in its mean; a sample's weight counts for all its values."""
    weights = np.ones(shape, dtype)
    if sample_weights is not None:
        weights *= np.asarray(sample_weights, dtype).reshape(-1, *[1] * (len(shape) - 1))
    total = math.prod(shape)
    return weights / total


def weighted_mean(values, sample_weights=None):
    """The mean of a loss's values."""
    return np.sum(value_weights(values.shape, values.dtype, sample_weights) * values)


def sparse_categorical_accuracy(prediction, target):
    """1 where the largest prediction (the first among equals) is the target's class."""
    return prediction.argmax(-1) == target


def shifted_logits(logits):
    """The logits less the largest of each row."""
    shifted = empty(logits.shape, logits.dtype)
    np.subtract(logits, row_maxima(logits), out=shifted)
    return shifted


def sparse_categorical_crossentropy_from_logits_gradient(logits, labels, *, weights):
    """Gradient of sum(weights * sparse_categorical_crossentropy_from_logits)."""
    gradients = empty(logits.shape, logits.dtype)

    def compute(part):
        softmax, places = shifted_logits(logits[part]), labels[part][..., None]
        np.exp(softmax, out=softmax)
        softmax /= softmax.sum(axis=-1, keepdims=True)
        chosen = np.take_along_axis(softmax, places, axis=-1)
        np.put_along_axis(softmax, places, chosen - 1.0, axis=-1)
        np.multiply(weights[part][..., None], softmax, out=gradients[part])

    map_parts(compute, sample_parts(logits))
    return gradients


def sparse_categorical_crossentropy_from_logits(logits, labels):
    """-log of the labelled class's softmax: logits (..., classes), labels (...) from 0."""
    check_labels(labels, logits.shape[-1])
    values = empty(labels.shape, logits.dtype)

    def compute(part):
        shifted = shifted_logits(logits[part])
        chosen = np.take_along_axis(shifted, labels[part][..., None], axis=-1)[..., 0]
        total = np.exp(shifted, out=shifted).sum(axis=-1)
        np.subtract(np.log(total), chosen, out=values[part])

    map_parts(compute, sample_parts(logits))
    return values


def total_loss(model, logits, targets, weights=None):
    """The weighted sum of all losses and penalties: a scalar."""
    return weighted_mean(
        sparse_categorical_crossentropy_from_logits(logits, targets["label"]), weights
    )


def metric_values(raw, targets):
    """{metric: one value per sample}."""
    outputs = to_outputs(raw)
    return {"accuracy": sparse_categorical_accuracy(outputs["probabilities"], targets["label"])}


# Optimizer and schedule -------------------------------------------------------------------------
def array_blocks(arrays, temporaries):
    """Blocks of 2**16 numbers of arrays of one shape, and arrays for what is computed from them."""
    flat = [array.reshape(-1) for array in arrays]
    spare = empty((temporaries, min(flat[0].size, 2**16)), flat[0].dtype)
    for start in range(0, flat[0].size, 2**16):
        block = [array[start : start + 2**16] for array in flat]
        yield *block, *spare[:, : block[0].size]


def learning_rate(step):
    """The cosine schedule; steps count from 0."""
    if step < 50:
        return 0.05 * step / 50
    return 0.025 * (1 + math.cos(math.pi * min((step - 50) / 628, 1.0)))


class Optimizer:
    """Gradient descent with Nesterov's momentum (1983).

    Nesterov's momentum; the velocity contains the rate.
    """

    kind = "nesterov"
    momentum = 0.9

    def __init__(self, parameters):
        self.parameters = parameters
        self.slots = {"velocity": [np.zeros_like(p) for p in parameters]}

    def scalars(self, step, rate=None):
        """What changes with the step, computed in double precision."""
        rate = learning_rate(step) if rate is None else rate
        return (rate,)

    def update(self, gradients, scalars):
        """One step, in place."""
        (rate,) = scalars
        for arrays in zip(self.parameters, gradients, *self.slots.values(), strict=True):
            for parameter, gradient, velocity, a, b in array_blocks(arrays, 2):
                velocity *= self.momentum
                np.multiply(rate, gradient, out=a)
                velocity -= a
                np.multiply(self.momentum, velocity, out=a)
                np.multiply(rate, gradient, out=b)
                a -= b
                parameter += a


# Reproducibility --------------------------------------------------------------------------------
def stream_key(seed, name):
    """The 64-bit key of a named random stream: the first 8 bytes of BLAKE2b of "seed/name"."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def random_words(key, count, start=0):
    """Words start, ..., start + count - 1 of a stream: the SplitMix64 finaliser over a counter."""
    z = np.arange(start, start + count, dtype=np.uint64) * 0x9E3779B97F4A7C15 + key
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB
    z ^= z >> 31
    return z


def scramble(z):
    """The SplitMix64 finaliser of each 64-bit word, in place."""
    shifted = z >> 30
    z ^= shifted
    z *= 0xBF58476D1CE4E5B9
    z ^= np.right_shift(z, 27, out=shifted)
    z *= 0x94D049BB133111EB
    z ^= np.right_shift(z, 31, out=shifted)
    return z


def random_uniform(key, count, start=0):
    """Uniform values in [0, 1) from the upper 53 bits of each word: exact on every machine."""
    return (random_words(key, count, start) >> 11) * 2.0**-53


def batch_order(seed, epoch, count):
    """The order in which an epoch, counted from 0, visits the examples: that of random words."""
    return np.argsort(random_words(stream_key(seed, f"order/{epoch}"), count), kind="stable")


def layer_key(seed, path, call=0):
    """The key of a layer's dropout masks; each call of a shared layer has its own."""
    return stream_key(seed, f"mask/{path}@{call}" if call else f"mask/{path}")


def step_key(key, step):
    """The key of a layer's mask at a step: word number step of the layer's stream."""
    z = (key + step * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def zeros():
    """All 0."""
    return lambda key, shape: np.zeros(shape)


def ones():
    """All 1."""
    return lambda key, shape: np.ones(shape)


def uniform(low, high):
    """U(low, high)."""
    return lambda key, shape: (
        low + (high - low) * random_uniform(key, math.prod(shape)).reshape(shape)
    )


def glorot_uniform(fan_in, fan_out, gain=1.0):
    """U(-a, a), a = gain sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    limit = gain * math.sqrt(6 / (fan_in + fan_out))
    return uniform(-limit, limit)


def dropout_mask(shape, rate, key, step, dtype, first_row=0):
    """A mask of 0 and 1 / (1 - rate), the same on every backend; 0 <= rate < 1.

    Element e of the global batch, counted over the spec's layout, is kept where 16-bit lane e % 4
    of word e // 4 of the step's stream is below round((1 - rate) * 65536). This part of the batch
    starts at row first_row.
    """
    size = math.prod(shape)
    word, skip = divmod(first_row * math.prod(shape[1:]), 4)
    words = -(-(skip + size) // 4)
    threshold = round((1 - rate) * 65536)
    key = step_key(key, step)
    mask = np.empty(4 * words, dtype)
    scale = np.array(1 / (1 - rate), dtype)  # a Python float would be multiplied in float64
    block = 16384  # words: the arrays of a block stay in the cache
    counter = np.arange(min(words, block), dtype=np.uint64) * 0x9E3779B97F4A7C15
    for start in range(0, words, block):
        part = mask[4 * start : 4 * (start + block)]
        first = (key + (word + start) * 0x9E3779B97F4A7C15) % 2**64
        lanes = scramble(counter[: part.size // 4] + first).view(np.uint16)
        np.multiply(lanes < threshold, scale, out=part)
    return mask[skip : skip + size].reshape(shape)


def dropout(x, rate, key, step, first_row=0):
    """Inverted dropout of x, in the spec's layout, and its mask; (key, step) alone decide it."""
    mask = dropout_mask(x.shape, rate, key, step, x.dtype, first_row)
    return x * mask, mask


def initial_parameters(seed=SEED):
    """Float64 values at the start: each tensor derives from (seed, path, shape) alone."""
    table = [
        ("stem.kernel", (3, 3, 1, 16), glorot_uniform(fan_in=9, fan_out=144)),
        ("batch_norm.gamma", (16,), ones()),
        ("batch_norm.beta", (16,), zeros()),
        ("batch_norm.moving_mean", (16,), zeros()),
        ("batch_norm.moving_variance", (16,), ones()),
        ("residual.conv1.kernel", (3, 3, 16, 16), glorot_uniform(fan_in=144, fan_out=144)),
        ("residual.batch_norm.gamma", (16,), ones()),
        ("residual.batch_norm.beta", (16,), zeros()),
        ("residual.batch_norm.moving_mean", (16,), zeros()),
        ("residual.batch_norm.moving_variance", (16,), ones()),
        ("residual.conv2.kernel", (3, 3, 16, 16), glorot_uniform(fan_in=144, fan_out=144)),
        ("residual.y.gamma", (16,), ones()),
        ("residual.y.beta", (16,), zeros()),
        ("residual.y.moving_mean", (16,), zeros()),
        ("residual.y.moving_variance", (16,), ones()),
        ("residual.shortcut.kernel", (1, 1, 16, 16), glorot_uniform(fan_in=16, fan_out=16)),
        ("residual.s.gamma", (16,), ones()),
        ("residual.s.beta", (16,), zeros()),
        ("residual.s.moving_mean", (16,), zeros()),
        ("residual.s.moving_variance", (16,), ones()),
        ("stage.0.conv1.kernel", (3, 3, 16, 32), glorot_uniform(fan_in=144, fan_out=288)),
        ("stage.0.batch_norm.gamma", (32,), ones()),
        ("stage.0.batch_norm.beta", (32,), zeros()),
        ("stage.0.batch_norm.moving_mean", (32,), zeros()),
        ("stage.0.batch_norm.moving_variance", (32,), ones()),
        ("stage.0.conv2.kernel", (3, 3, 32, 32), glorot_uniform(fan_in=288, fan_out=288)),
        ("stage.0.y.gamma", (32,), ones()),
        ("stage.0.y.beta", (32,), zeros()),
        ("stage.0.y.moving_mean", (32,), zeros()),
        ("stage.0.y.moving_variance", (32,), ones()),
        ("stage.0.shortcut.kernel", (1, 1, 16, 32), glorot_uniform(fan_in=16, fan_out=32)),
        ("stage.0.s.gamma", (32,), ones()),
        ("stage.0.s.beta", (32,), zeros()),
        ("stage.0.s.moving_mean", (32,), zeros()),
        ("stage.0.s.moving_variance", (32,), ones()),
        ("stage.1.conv1.kernel", (3, 3, 32, 64), glorot_uniform(fan_in=288, fan_out=576)),
        ("stage.1.batch_norm.gamma", (64,), ones()),
        ("stage.1.batch_norm.beta", (64,), zeros()),
        ("stage.1.batch_norm.moving_mean", (64,), zeros()),
        ("stage.1.batch_norm.moving_variance", (64,), ones()),
        ("stage.1.conv2.kernel", (3, 3, 64, 64), glorot_uniform(fan_in=576, fan_out=576)),
        ("stage.1.y.gamma", (64,), ones()),
        ("stage.1.y.beta", (64,), zeros()),
        ("stage.1.y.moving_mean", (64,), zeros()),
        ("stage.1.y.moving_variance", (64,), ones()),
        ("stage.1.shortcut.kernel", (1, 1, 32, 64), glorot_uniform(fan_in=32, fan_out=64)),
        ("stage.1.s.gamma", (64,), ones()),
        ("stage.1.s.beta", (64,), zeros()),
        ("stage.1.s.moving_mean", (64,), zeros()),
        ("stage.1.s.moving_variance", (64,), ones()),
        ("probabilities.kernel", (64, 10), glorot_uniform(fan_in=64, fan_out=10)),
        ("probabilities.bias", (10,), zeros()),
    ]
    return {path: draw(stream_key(seed, f"initial/{path}"), shape) for path, shape, draw in table}


# Training ---------------------------------------------------------------------------------------
def build(seed=SEED, dtype=DTYPE, device=None):
    """The network with the spec's initial parameters."""
    if device not in (None, "cpu"):
        raise ValueError(f"NumPy computes on the cpu, not on {device}")
    values = initial_parameters(seed).items()
    return ImageClassification(
        {path: np.array(value, dtype, order="C") for path, value in values}, seed
    )


def read(places):
    """Copies of arrays, by name."""
    return {name: np.array(array) for name, array in places.items()}


def write(places, arrays):
    """Fills arrays. Raises ValueError that lists what is missing, unknown or misshapen."""
    want = {name: array.shape for name, array in places.items()}
    have = {name: np.shape(array) for name, array in arrays.items()}
    if wrong := [name for name in want | have if want.get(name) != have.get(name)]:
        listed = "; ".join(f"{n}: wanted {want.get(n)}, given {have.get(n)}" for n in wrong)
        raise ValueError(f"arrays and their shapes do not match: {listed}")
    for name, place in places.items():
        place[...] = arrays[name]


def get_parameters(model):
    """{path: array} of parameters and running statistics."""
    return read(model.parameters)


def set_parameters(model, parameters):
    """The inverse of get_parameters. Raises ValueError when names or shapes do not match."""
    write(model.parameters, parameters)


def to_arrays(model, arrays, names):
    """The named arrays in the model's precision."""
    dtype = next(iter(model.parameters.values())).dtype
    types = dict.fromkeys(INTEGERS, np.dtype("int64"))
    return {name: np.asarray(arrays[name], types.get(name, dtype)) for name in names}


def batches(arrays, size, order=None):
    """The rows of each batch; one without rows where there are none."""
    rows = np.arange(len(next(iter(arrays.values())))) if order is None else order
    return np.split(rows, range(size, len(rows), size))


def gather(arrays, rows):
    """Those rows of every array."""
    return {name: array[rows] for name, array in arrays.items()}


def predict(model, inputs, batch_size=None):
    """{output: array} in inference mode."""
    x = to_arrays(model, inputs, INPUTS)
    parts = [gather(x, rows) for rows in batches(x, batch_size or 2**62)]
    raws = [forward_backward(model, part, training=False)[1] for part in parts]
    found = [to_outputs(raw) for raw in raws]
    return {name: np.concatenate([each[name] for each in found]) for name in OUTPUTS}


RECORD = None


def record(values, names="", images=""):
    """Keeps named values while trace() runs, stage.0.conv from stage_0_conv."""
    for name in f"{names} {images}".split() if RECORD is not None else ():
        value = values[name] if name in values else values[re.sub(r"\W", "_", name)]
        RECORD[name] = np.moveaxis(value, -1, 1) if name in images.split() else value


def trace(model, inputs, targets=None, training=False, step=0):
    """{path: array} of every named value."""
    global RECORD
    found = RECORD = dict[str, np.ndarray]()
    try:
        raw = differentiate(model, inputs, None, None, step, training)[1]
    finally:
        RECORD = None
    return read(found | to_outputs(raw))


def differentiate(model, inputs, targets, weights, step, training=True):
    """forward_backward() on any arrays, running statistics left as they are."""
    kept = {path: model.parameters[path].copy() for path in model.frozen}
    x = to_arrays(model, inputs, INPUTS)
    y = None if targets is None else to_arrays(model, targets, TARGETS)
    found = forward_backward(model, x, y, weights, step, training)
    model.parameters.update(kept)
    return found


def loss_and_gradients(model, inputs, targets, sample_weights=None, step=0):
    """The total loss in training mode, and {path: gradient} before clipping."""
    loss, _, gradients = differentiate(model, inputs, targets, sample_weights, step)
    return float(loss), gradients


class Trainer:
    """Trains a model. Epoch, order, masks and rate are functions of the number of steps done."""

    def __init__(self, model, learning_rate=None):
        self.model, self.rate, self.steps = model, learning_rate, 0
        self.totals = {}
        self.paths = [path for path in model.parameters if path not in model.frozen]
        self.optimizer = Optimizer([model.parameters[path] for path in self.paths])

    def batch(self, inputs, targets):
        """A batch of arrays in the model's precision."""
        return to_arrays(self.model, inputs, INPUTS), to_arrays(self.model, targets, TARGETS)

    def advance(self, x, y, weights=None):
        """One step on a batch: (loss, what the model returned before it)."""
        loss, raw, found = forward_backward(self.model, x, y, weights, self.steps)
        gradients = list(found.values())
        self.optimizer.update(gradients, self.optimizer.scalars(self.steps, self.rate))
        self.steps += 1
        return loss, raw

    def score(self, x, y):
        """(loss, what the model returned) of a batch in inference mode."""
        raw = forward_backward(self.model, x, training=False)[1]
        return total_loss(self.model, raw, y), raw

    def step(self, inputs, targets, sample_weights=None):
        """One optimizer step on a batch; its loss."""
        return self.advance(*self.batch(inputs, targets), sample_weights)[0]

    def fit(
        self,
        inputs,
        targets,
        validation=None,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        on_step=None,
        on_epoch=None,
    ):
        """Trains until ``epochs`` epochs are done since step 0; the history by metric."""
        x, y = self.batch(inputs, targets)
        count = len(next(iter(x.values())))
        per_epoch = -(-count // batch_size)
        history = {}
        for epoch in range(self.steps // per_epoch, epochs):
            order = batch_order(self.model.seed, epoch, count)
            rows = batches(x, batch_size, order)[self.steps % per_epoch :]
            logs = self.run(self.totals, self.advance, x, y, rows, on_step, epoch)
            self.totals = {}
            if validation is not None:
                scores = self.evaluate(*validation, batch_size)
                logs |= {f"val_{name}": value for name, value in scores.items()}
            for name, value in logs.items():
                history.setdefault(name, []).append(value)
            if on_epoch is not None:
                on_epoch(epoch=epoch, logs=logs)
        return history

    def run(self, totals, act, x, y, parts, on_step=None, epoch=0):
        """The means of loss and metrics: of what totals hold and of parts of the rows."""
        for rows in parts:
            targets = gather(y, rows)
            loss, raw = act(gather(x, rows), targets)
            for name, value in {"loss": loss, **metric_values(raw, targets)}.items():
                totals[name] = totals.get(name, 0.0) + float(np.mean(value)) * len(rows)
            totals["samples"] = totals.get("samples", 0) + len(rows)
            if on_step is not None:
                on_step(step=self.steps - 1, epoch=epoch, loss=loss)
        count = max(totals.pop("samples"), 1)
        return {name: total / count for name, total in totals.items()}

    def evaluate(self, inputs, targets, batch_size=BATCH_SIZE):
        """{metric: value} in inference mode; the loss includes penalties."""
        x, y = self.batch(inputs, targets)
        return self.run({}, self.score, x, y, batches(x, batch_size))

    def slots(self):
        """{name: array} of the step and what the optimizer keeps for each parameter."""
        kept = {
            f"{Optimizer.kind}.{slot}/{path}": value
            for slot, values in self.optimizer.slots.items()
            for path, value in zip(self.paths, values, strict=True)
        }
        return {"step": np.array(self.steps), **kept}

    def state(self):
        """The optimizer's slots by parameter, and the step: flat and neutral."""
        return read(self.slots())

    def load_state(self, state):
        """Continues from a state(), whichever backend wrote it."""
        slots = self.slots()
        write(slots, state)
        self.steps, self.totals = int(slots["step"]), {}


# Command line -----------------------------------------------------------------------------------
def save(model, path):
    """Writes parameters and statistics as safetensors, which every backend's load() reads."""
    from safetensors.numpy import save_file

    save_file(get_parameters(model), path, {"spec": NAME})


def load(path, device=None):
    """The model whose parameters were saved at ``path``, in their precision."""
    from safetensors.numpy import load_file

    parameters = load_file(path)
    model = build(dtype=next(iter(parameters.values())).dtype.name, device=device)
    set_parameters(model, parameters)
    return model


def read_part(arrays, part, *groups):
    """A part's arrays by group. Raises an error that names one that is missing or does not fit."""
    rows = None
    for name, shape in (pair for group in groups for pair in group.items()):
        array, wanted = arrays[f"{part}/{name}"], (rows, *shape[1:])
        fits = all(w in (None, size) for w, size in zip(wanted, array.shape, strict=False))
        if not (fits and array.ndim == len(wanted) and array.size and array.dtype.kind in "biuf"):
            raise ValueError(f"{part}/{name} is {array.dtype} {array.shape}, not numbers {wanted}")
        rows = len(array)
    return [{name: arrays[f"{part}/{name}"] for name in group} for group in groups]


def main():
    """Trains, evaluates or predicts with prepared arrays named part/name."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("action", choices=("train", "evaluate", "predict"))
    parser.add_argument("data", help="npz with train/..., validation/..., test/...")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--weights", help="safetensors to start from")
    parser.add_argument("--out", help="where to write the weights or predictions")
    options = parser.parse_args()
    train, predicting = options.action == "train", options.action == "predict"
    parts = ("train", "validation", "test") if train else ("test",)
    groups = [INPUTS] if predicting else [INPUTS, TARGETS]
    out = options.out or ("predictions.npz" if predicting else f"{NAME}.safetensors")
    try:
        arrays = np.load(options.data)
        there = [p for p in parts if p == parts[0] or any(f"{p}/{n}" in arrays for n in TARGETS)]
        data = {part: read_part(arrays, part, *groups) for part in there}
        model = load(options.weights) if options.weights else build()
        if train or predicting:
            open(out, "ab").close()  # it fails now and not after the training
    except Exception as error:
        parser.error(str(error))
    if predicting:
        with open(out, "wb") as file:
            np.savez(file, **predict(model, *data["test"], BATCH_SIZE))
        return
    trainer = Trainer(model)
    if train:
        more = {"validation": data.get("validation"), "epochs": options.epochs}
        trainer.fit(*data["train"], **more, on_epoch=lambda **epoch: print(epoch))
        save(model, out)
    if "test" in data:
        print("test:", trainer.evaluate(*data["test"]))


if __name__ == "__main__":
    main()

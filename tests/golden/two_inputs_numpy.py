"""two_inputs for NumPy, written by specc 0.1.0 from two_inputs.yaml (b51cc6357a1e).

python two_inputs_numpy.py train data.npz --epochs 3 --out w.safetensors
`specc data two_inputs.yaml -o data.npz` writes the arrays; --help shows more.
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

NAME = "two_inputs"
BACKEND = "numpy"
SEED = 7
DTYPE = "float32"
INPUTS = {"left": (None, 8, 8, 1), "right": (None, 8, 8, 1)}
TARGETS = {"same": (None, 1), "digit": (None,)}
OUTPUTS = {"alike": (None, 1), "probabilities": (None, 10)}
INTEGERS = {"digit", "same"}
EPOCHS = 20
BATCH_SIZE = 64


# Layers -----------------------------------------------------------------------------------------
def sigmoid(x):
    """1 / (1 + exp(-x)); from x = -80 down it stays at 2e-35, for exp must not overflow."""
    return 1 / (1 + np.exp(np.minimum(-x, 80)))


def tanh_gradient(dy, y):
    """Gradient of tanh from its result y."""
    return dy * (1 - y * y)


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


def conv2d(x, kernel, *, bias=None, relu=False):
    """Convolve x (N, H, W, C) with kernel (kh, kw, C, F) to (N, OH, OW, F).

    bias (F,) is added. relu puts 0 in the place of what is negative.
    """
    kernel_size, filters = kernel.shape[:2], kernel.shape[3]
    height, width = convolved_size(x.shape[1:3], kernel_size, (1, 1), ((0, 0), (0, 0)), (1, 1))
    y = empty((len(x), height, width, filters), x.dtype)

    def convolve_part(part):
        images = x[part]
        convolve(images, kernel, y[part], (1, 1), (1, 1))
        if bias is not None:
            y[part] += bias
        if relu:
            np.maximum(y[part], 0, out=y[part])

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


def conv2d_kernel_gradient(x, dy, kernel_shape):
    """Gradient of conv2d with respect to its kernel: x (N, H, W, C), dy (N, OH, OW, F).

    The patches' matrix, transposed, times dy: the sum over the quarters of the batch.
    """

    def gradient(part):
        images = x[part]
        return correlate(images, dy[part], kernel_shape, (1, 1), (1, 1))

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


def affine(x, kernel, bias=None, *, relu=False):
    """x (..., D) @ kernel (D, K), as one product over all rows.

    bias (K,) is added. relu puts 0 in the place of what is negative.
    """
    y = empty((*x.shape[:-1], kernel.shape[1]), x.dtype)
    multiply(x.reshape(-1, x.shape[-1]), kernel, y.reshape(-1, y.shape[-1]))
    if bias is not None:
        y += bias
    if relu:
        np.maximum(y, 0, out=y)
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
class TwoInputs:
    """The arrays of a network by path, and the seed of its masks."""

    frozen = frozenset()  # not trained by gradients

    def __init__(self, parameters, seed):
        self.parameters, self.seed = parameters, seed


@on_own_threads
def forward_backward(model, inputs, targets=None, sample_weights=None, step=0, training=True):
    """(loss, raw outputs, {path: gradient}); without targets raw outputs only.

    training=False is inference mode.
    """
    p = model.parameters
    left = inputs["left"]  # (batch, 8, 8, 1)
    right = inputs["right"]  # (batch, 8, 8, 1)
    encode = conv2d(left, p["encode.kernel"], bias=p["encode.bias"], relu=True)  # (batch, 6, 6, 16)
    left_flat = encode.reshape(-1, 576)  # (batch, 576)
    embed = np.tanh(affine(left_flat, p["embed.kernel"], bias=p["embed.bias"]))  # (batch, 32)
    encode_1 = conv2d(
        right, p["encode.kernel"], bias=p["encode.bias"], relu=True
    )  # (batch, 6, 6, 16)
    right_flat = encode_1.reshape(-1, 576)  # (batch, 576)
    embed_1 = np.tanh(affine(right_flat, p["embed.kernel"], bias=p["embed.bias"]))  # (batch, 32)
    product = embed * embed_1  # (batch, 32)
    pair = np.concatenate((embed, embed_1, product), axis=-1)  # (batch, 96)
    dense = affine(pair, p["dense.kernel"], bias=p["dense.bias"], relu=True)  # (batch, 32)
    logits = affine(dense, p["alike.kernel"], bias=p["alike.bias"])  # (batch, 1)
    logits_1 = affine(embed, p["probabilities.kernel"], bias=p["probabilities.bias"])  # (batch, 10)
    raw = (logits, logits_1)
    record(locals(), "encode left_flat embed encode@1 right_flat embed@1 product pair dense")
    if targets is None:
        return None, raw, None
    loss = total_loss(model, raw, targets, sample_weights)
    same = targets["same"]  # (batch, 1)
    weights = value_weights(logits.shape[:1], logits.dtype, sample_weights)  # (batch,)
    digit = targets["digit"]  # (batch,)
    weights_1 = 0.5 * value_weights(logits_1.shape[:1], logits_1.dtype, sample_weights)  # (batch,)

    # Backward: d_x is the gradient of the loss with respect to x
    g = {}
    d_alike_logits = binary_crossentropy_from_logits_gradient(
        logits, same.astype(logits.dtype), weights=weights
    )  # (batch, 1)
    d_probabilities_logits = sparse_categorical_crossentropy_from_logits_gradient(
        logits_1, digit, weights=weights_1
    )  # (batch, 10)
    g["probabilities.kernel"] = affine_kernel_gradient(embed, d_probabilities_logits)  # (32, 10)
    g["probabilities.bias"] = channel_sum(d_probabilities_logits)  # (10,)
    d_embed = affine(d_probabilities_logits, p["probabilities.kernel"].T)  # (batch, 32)
    g["alike.kernel"] = affine_kernel_gradient(dense, d_alike_logits)  # (32, 1)
    g["alike.bias"] = channel_sum(d_alike_logits)  # (1,)
    d_dense = affine(d_alike_logits, p["alike.kernel"].T)  # (batch, 32)
    d_dense_preactivation = relu_gradient(d_dense, dense, out=d_dense)  # (batch, 32)
    g["dense.kernel"] = affine_kernel_gradient(pair, d_dense_preactivation)  # (96, 32)
    g["dense.bias"] = channel_sum(d_dense_preactivation)  # (32,)
    d_pair = affine(d_dense_preactivation, p["dense.kernel"].T)  # (batch, 96)
    d_embed_2 = d_pair[:, :32]  # (batch, 32)
    d_embed_3 = added(d_embed, d_embed_2, out=d_embed)  # (batch, 32)
    d_embed_1 = d_pair[:, 32:64]  # (batch, 32)
    d_product = d_pair[:, 64:96]  # (batch, 32)
    d_embed_4 = d_product * embed_1  # (batch, 32)
    d_embed_5 = added(d_embed_3, d_embed_4, out=d_embed_3)  # (batch, 32)
    d_embed_1_2 = d_product * embed  # (batch, 32)
    d_embed_1_3 = added(d_embed_1, d_embed_1_2)  # (batch, 32)
    d_embed_1_preactivation = tanh_gradient(d_embed_1_3, embed_1)  # (batch, 32)
    d_embed_kernel = affine_kernel_gradient(right_flat, d_embed_1_preactivation)  # (576, 32)
    del right_flat
    d_embed_bias = channel_sum(d_embed_1_preactivation)  # (32,)
    d_right_flat = affine(d_embed_1_preactivation, p["embed.kernel"].T)  # (batch, 576)
    d_encode_1 = d_right_flat.reshape(encode_1.shape)  # (batch, 6, 6, 16)
    del d_right_flat
    d_encode_1_preactivation = relu_gradient(
        d_encode_1, encode_1, out=d_encode_1
    )  # (batch, 6, 6, 16)
    del encode_1, d_encode_1
    d_encode_kernel = conv2d_kernel_gradient(
        right, d_encode_1_preactivation, p["encode.kernel"].shape
    )  # (3, 3, 1, 16)
    d_encode_bias = channel_sum(d_encode_1_preactivation)  # (16,)
    del d_encode_1_preactivation
    d_embed_preactivation = tanh_gradient(d_embed_5, embed)  # (batch, 32)
    d_embed_kernel_2 = affine_kernel_gradient(left_flat, d_embed_preactivation)  # (576, 32)
    del left_flat
    g["embed.kernel"] = added(d_embed_kernel, d_embed_kernel_2)  # (576, 32)
    d_embed_bias_2 = channel_sum(d_embed_preactivation)  # (32,)
    g["embed.bias"] = added(d_embed_bias, d_embed_bias_2)  # (32,)
    d_left_flat = affine(d_embed_preactivation, p["embed.kernel"].T)  # (batch, 576)
    d_encode = d_left_flat.reshape(encode.shape)  # (batch, 6, 6, 16)
    del d_left_flat
    d_encode_preactivation = relu_gradient(d_encode, encode, out=d_encode)  # (batch, 6, 6, 16)
    del encode, d_encode
    d_encode_kernel_2 = conv2d_kernel_gradient(
        left, d_encode_preactivation, p["encode.kernel"].shape
    )  # (3, 3, 1, 16)
    g["encode.kernel"] = added(d_encode_kernel, d_encode_kernel_2)  # (3, 3, 1, 16)
    d_encode_bias_2 = channel_sum(d_encode_preactivation)  # (16,)
    del d_encode_preactivation
    g["encode.bias"] = added(d_encode_bias, d_encode_bias_2)  # (16,)
    return loss, raw, {path: g[path] for path in p if path in g}


def to_outputs(raw):
    """The spec's outputs, from what the model returns."""
    logits, logits_1 = raw
    return {"alike": sigmoid(logits), "probabilities": softmax(logits_1, -1)}


# Losses and metrics -----------------------------------------------------------------------------
def feature_mean(values):
    """The mean over the last axis; the values themselves where the batch axis is the only one."""
    return values.mean(axis=-1) if values.ndim > 1 else values


def feature_mean_gradient(weights, prediction):
    """Each feature's share of the weights of feature_mean, in a shape that spreads over them."""
    return weights[..., None] / prediction.shape[-1] if prediction.ndim > 1 else weights


def binary_crossentropy_from_logits(logits, target):
    """Binary cross-entropy of sigmoid(logits), averaged over the features, without overflow."""
    target = target
    log_total = np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))
    return feature_mean(log_total - logits * target)


def binary_crossentropy_from_logits_gradient(logits, target, *, weights):
    """Gradient of sum(weights * binary_crossentropy_from_logits): sigmoid(logits) - target."""
    target = target
    probability = 1 / (1 + np.exp(np.minimum(-logits, 80)))
    return (probability - target) * feature_mean_gradient(weights, logits)


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


def binary_accuracy(prediction, target):
    """1 where a probability is above 0.5 just when the target is 1."""
    return (prediction > 0.5) == (target > 0.5)


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


def total_loss(model, raw, targets, weights=None):
    """The weighted sum of all losses and penalties: a scalar."""
    logits, logits_1 = raw
    return weighted_mean(
        binary_crossentropy_from_logits(logits, targets["same"].astype(logits.dtype)), weights
    ) + 0.5 * weighted_mean(
        sparse_categorical_crossentropy_from_logits(logits_1, targets["digit"]), weights
    )


def metric_values(raw, targets):
    """{metric: one value per sample}."""
    outputs = to_outputs(raw)
    return {
        "alike_accuracy": binary_accuracy(outputs["alike"], targets["same"]),
        "probabilities_accuracy": sparse_categorical_accuracy(
            outputs["probabilities"], targets["digit"]
        ),
    }


# Optimizer and schedule -------------------------------------------------------------------------
def array_blocks(arrays, temporaries):
    """Blocks of 2**16 numbers of arrays of one shape, and arrays for what is computed from them."""
    flat = [array.reshape(-1) for array in arrays]
    spare = empty((temporaries, min(flat[0].size, 2**16)), flat[0].dtype)
    for start in range(0, flat[0].size, 2**16):
        block = [array[start : start + 2**16] for array in flat]
        yield *block, *spare[:, : block[0].size]


def learning_rate(step):
    """The constant schedule; steps count from 0."""
    return 0.002


class Optimizer:
    """Adam (Kingma and Ba, 2015). Epsilon is added before the bias correction."""

    kind = "adam"
    beta_1 = 0.9
    beta_2 = 0.999
    epsilon = 1e-07

    def __init__(self, parameters):
        self.parameters = parameters
        self.slots = {slot: [np.zeros_like(p) for p in parameters] for slot in ("m", "v")}

    def scalars(self, step, rate=None):
        """What changes with the step, computed in double precision."""
        rate = learning_rate(step) if rate is None else rate
        t = step + 1
        return (rate * math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t),)

    def update(self, gradients, scalars):
        """One step, in place."""
        (step_size,) = scalars
        for arrays in zip(self.parameters, gradients, *self.slots.values(), strict=True):
            for parameter, gradient, m, v, a, b in array_blocks(arrays, 2):
                np.subtract(gradient, m, out=a)
                a *= 1 - self.beta_1
                m += a
                np.multiply(gradient, gradient, out=a)
                a -= v
                a *= 1 - self.beta_2
                v += a
                np.sqrt(v, out=a)
                a += self.epsilon
                np.multiply(step_size, m, out=b)
                b /= a
                parameter -= b


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


def random_uniform(key, count, start=0):
    """Uniform values in [0, 1) from the upper 53 bits of each word: exact on every machine."""
    return (random_words(key, count, start) >> 11) * 2.0**-53


def batch_order(seed, epoch, count):
    """The order in which an epoch, counted from 0, visits the examples: that of random words."""
    return np.argsort(random_words(stream_key(seed, f"order/{epoch}"), count), kind="stable")


def zeros():
    """All 0."""
    return lambda key, shape: np.zeros(shape)


def uniform(low, high):
    """U(low, high)."""
    return lambda key, shape: (
        low + (high - low) * random_uniform(key, math.prod(shape)).reshape(shape)
    )


def glorot_uniform(fan_in, fan_out, gain=1.0):
    """U(-a, a), a = gain sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    limit = gain * math.sqrt(6 / (fan_in + fan_out))
    return uniform(-limit, limit)


def initial_parameters(seed=SEED):
    """Float64 values at the start: each tensor derives from (seed, path, shape) alone."""
    table = [
        ("encode.kernel", (3, 3, 1, 16), glorot_uniform(fan_in=9, fan_out=144)),
        ("encode.bias", (16,), zeros()),
        ("embed.kernel", (576, 32), glorot_uniform(fan_in=576, fan_out=32)),
        ("embed.bias", (32,), zeros()),
        ("dense.kernel", (96, 32), glorot_uniform(fan_in=96, fan_out=32)),
        ("dense.bias", (32,), zeros()),
        ("alike.kernel", (32, 1), glorot_uniform(fan_in=32, fan_out=1)),
        ("alike.bias", (1,), zeros()),
        ("probabilities.kernel", (32, 10), glorot_uniform(fan_in=32, fan_out=10)),
        ("probabilities.bias", (10,), zeros()),
    ]
    return {path: draw(stream_key(seed, f"initial/{path}"), shape) for path, shape, draw in table}


# Training ---------------------------------------------------------------------------------------
def build(seed=SEED, dtype=DTYPE, device=None):
    """The network with the spec's initial parameters."""
    if device not in (None, "cpu"):
        raise ValueError(f"NumPy computes on the cpu, not on {device}")
    values = initial_parameters(seed).items()
    return TwoInputs({path: np.array(value, dtype, order="C") for path, value in values}, seed)


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
    x = to_arrays(model, inputs, INPUTS)
    y = None if targets is None else to_arrays(model, targets, TARGETS)
    return forward_backward(model, x, y, weights, step, training)


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

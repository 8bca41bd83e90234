"""motion for NumPy, written by specc 0.1.0 from motion.yaml (eaaaefa06d06).

python motion_numpy.py train data.npz --epochs 3 --out w.safetensors
`specc data motion.yaml -o data.npz` writes the arrays; --help shows more.
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

NAME = "motion"
BACKEND = "numpy"
SEED = 7
DTYPE = "float32"
INPUTS = {"signal": (None, 100, 6)}
TARGETS = {"activity": (None,)}
OUTPUTS = {"logits": (None, 4)}
INTEGERS = {"activity"}
EPOCHS = 40
BATCH_SIZE = 8


# Layers -----------------------------------------------------------------------------------------
def softmax(x, axis):
    """exp(x) divided by its sum along axis; the largest is taken off first against overflow."""
    exponentials = np.exp(x - x.max(axis=axis, keepdims=True))
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


def conv1d(x, kernel, strides=1):
    """Convolve x (N, T, C) with kernel (k, C, F) to (N, OT, F); padding is (left, right).

    Done as a two-dimensional convolution over images of height 1.
    """
    image, filters = x[:, None], kernel[None]
    y = conv2d(image, filters, (1, strides))
    return y[:, 0]


def conv1d_kernel_gradient(x, dy, kernel_shape, strides=1):
    """Gradient of conv1d with respect to its kernel: x (N, T, C), dy (N, OT, F)."""
    shape = 1, *kernel_shape
    pads = (0, 0), (0, 0)
    dkernel = conv2d_kernel_gradient(x[:, None], dy[:, None], shape, (1, strides), pads)
    return dkernel.reshape(kernel_shape)


def last_step(results):
    """A kernel's results with the output of the last step, (N, H), in place of all."""
    outputs, *rest = results
    return outputs[:, -1], *rest


def channel_sum(x):
    """Sum of x (N, ..., C) over every axis but the last: (C,).

    Products with ones are several times faster than `sum` here, and summing each sample by itself
    first loses less to rounding.
    """
    if x.ndim > 2:
        x = x.reshape(len(x), -1, x.shape[-1])
        x = np.ones(x.shape[1], x.dtype) @ x
    return np.ones(len(x), x.dtype) @ x


def relu_gradient(dy, y):
    """Gradient of relu from its result y; at 0 it is 0."""
    dx = empty(dy.shape, dy.dtype)

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


def conv2d(x, kernel, strides=(1, 1)):
    """Convolve x (N, H, W, C) with kernel (kh, kw, C, F) to (N, OH, OW, F)."""
    kernel_size, filters = kernel.shape[:2], kernel.shape[3]
    height, width = convolved_size(x.shape[1:3], kernel_size, strides, ((0, 0), (0, 0)), (1, 1))
    y = empty((len(x), height, width, filters), x.dtype)

    def convolve_part(part):
        images = x[part]
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


def step_major(x):
    """x (N, T, D) as (T, D, N), the steps in the order in which they are processed."""
    steps = x.transpose(1, 2, 0)
    if steps.flags.c_contiguous:  # such as what another of these layers gives
        return steps
    y = empty(steps.shape, x.dtype)
    y[...] = steps
    return y


def sample_major(steps):
    """The inverse of step_major, as a view: steps (T, D, N) as (N, T, D)."""
    return steps.transpose(2, 0, 1)


def states_before(length, like):
    """Room for a state before and after each of `length` steps, (length + 1, H, N) as `like`."""
    states = empty((length + 1, *like.shape), like.dtype)
    states[0] = 0
    return states


def lstm_steps(gates, from_hidden, hidden, cell, squashed):
    """Step after step of lstm: fills the states h and c from their first, and tanh(c).

    gates (T, 4H, N) are what the inputs give to them, and become the gates.
    """
    units = cell.shape[1]
    product, added = (empty(each.shape[1:], each.dtype) for each in (gates, cell))
    for t in range(len(gates)):
        gate = gates[t]
        np.matmul(from_hidden, hidden[t], out=product)
        gate += product
        np.tanh(gate, out=gate)
        for sigmoids in (gate[: 2 * units], gate[3 * units :]):
            sigmoids *= 0.5
            sigmoids += 0.5
        into, keep, candidate, out = gate.reshape(4, units, -1)
        np.multiply(keep, cell[t], out=cell[t + 1])
        np.multiply(into, candidate, out=added)
        cell[t + 1] += added
        np.tanh(cell[t + 1], out=squashed[t])
        np.multiply(out, squashed[t], out=hidden[t + 1])


def lstm_slopes(parts, cell, squashed):
    """How the gates' inputs act on c (the first three) and on h (the last), and how c acts on h.

    parts are the gates (T, 4, H, N), squashed is tanh of c.
    """
    slopes, cell_slope = empty(parts.shape, parts.dtype), empty(squashed.shape, parts.dtype)

    def slopes_of(part):
        slope, (into, _, candidate, out) = slopes[part], parts[part].swapaxes(0, 1)
        np.subtract(1, parts[part], out=slope)
        slope *= parts[part]
        slope[:, 0] *= candidate
        slope[:, 1] *= cell[:-1][part]
        np.multiply(candidate, candidate, out=slope[:, 2])
        np.subtract(1, slope[:, 2], out=slope[:, 2])
        slope[:, 2] *= into
        slope[:, 3] *= squashed[part]
        np.multiply(squashed[part], squashed[part], out=cell_slope[part])
        np.subtract(1, cell_slope[part], out=cell_slope[part])
        cell_slope[part] *= out

    map_parts(slopes_of, sample_parts(parts))
    return slopes, cell_slope


def lstm(x, kernel, recurrent_kernel, bias=None, recurrent_bias=None):
    """Long short-term memory over x (N, T, D): outputs (N, T, H), last h and c (N, H), saved.

    kernel (D, 4H), recurrent_kernel (H, 4H) and the biases (4H,) hold the input, forget, cell and
    output gates in this order. saved is what lstm_gradient reads.
    """
    steps = step_major(x)
    length, _, batch = steps.shape
    units = len(recurrent_kernel)
    # One tanh serves all gates, since sigmoid(z) = tanh(z / 2) / 2 + 1 / 2: the kernels of the
    # sigmoids are halved beforehand, which is exact.
    scale = np.full(4 * units, 0.5, x.dtype)
    scale[2 * units : 3 * units] = 1
    from_input = np.ascontiguousarray((kernel * scale).T)
    from_hidden = np.ascontiguousarray((recurrent_kernel * scale).T)
    gates = empty((length, 4 * units, batch), x.dtype)

    def project(part):
        np.matmul(from_input, steps[part], out=gates[part])
        if bias is not None:
            gates[part] += (bias * scale)[:, None]
        if recurrent_bias is not None:
            gates[part] += (recurrent_bias * scale)[:, None]

    map_parts(project, sample_parts(gates))
    squashed = empty((length, units, batch), x.dtype)
    hidden, cell = states_before(length, squashed[0]), states_before(length, squashed[0])
    lstm_steps(gates, from_hidden, hidden, cell, squashed)
    outputs = hidden[1:]
    saved = steps, gates, hidden, cell, squashed
    return sample_major(outputs), hidden[-1].T, cell[-1].T, saved


def row_maxima(x):
    """The largest of each row of x (..., S), as (..., 1): that of its halves, again and again."""
    while x.shape[-1] > 8 and x.shape[-1] % 2 == 0:
        half = x.shape[-1] // 2
        x = np.maximum(x[..., :half], x[..., half:])
    return np.asarray(x.max(axis=-1, keepdims=True))


def lstm_gradient(d_outputs, d_h, saved, kernel, recurrent_kernel):
    """Gradients of lstm: dx, dkernel, drecurrent_kernel, dbias, dh0, dc0.

    A recurrent bias has the same gradient as the bias.
    """
    steps, gates, hidden, cell, squashed = saved
    length, units, batch = squashed.shape
    parts = gates.reshape(length, 4, units, batch)
    slopes, cell_slope = lstm_slopes(parts, cell, squashed)
    keep = parts[:, 1]
    d_hidden, d_cell = (empty(cell.shape[1:], cell.dtype) for _ in range(2))
    d_hidden[...] = 0 if d_h is None else d_h.T
    d_cell[...] = 0
    if d_outputs is not None:
        d_outputs = step_major(d_outputs)
    added = empty(d_cell.shape, d_cell.dtype)
    for t in reversed(range(length)):
        if d_outputs is not None:
            d_hidden += d_outputs[t]
        np.multiply(d_hidden, cell_slope[t], out=added)
        d_cell += added
        slopes[t, :3] *= d_cell  # from here on these are the gradients of the gates' inputs
        slopes[t, 3] *= d_hidden
        d_cell *= keep[t]
        np.matmul(recurrent_kernel, slopes[t].reshape(4 * units, batch), out=d_hidden)
    d_gates = slopes.reshape(length, 4 * units, batch)
    dx = empty(steps.shape, steps.dtype)

    def of_parameters(part):
        np.matmul(kernel, d_gates[part], out=dx[part])
        back = d_gates[part].swapaxes(1, 2)
        read = steps[part], hidden[:-1][part], np.ones((1, batch), dx.dtype)
        return [np.matmul(each, back).sum(axis=0) for each in read]

    parts_of_gradients = map_parts(of_parameters, sample_parts(d_gates))
    dkernel, drecurrent_kernel, dbias = (
        sum(each) for each in zip(*parts_of_gradients, strict=True)
    )
    return sample_major(dx), dkernel, drecurrent_kernel, dbias[0], d_hidden.T, d_cell.T


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
class Motion:
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
    signal = inputs["signal"]  # (batch, 100, 6)
    conv1d_1 = relu(
        conv1d(signal, p["conv1d.kernel"], strides=2) + p["conv1d.bias"]
    )  # (batch, 48, 32)
    lstm_1, lstm_saved = last_step(
        lstm(
            conv1d_1,
            p["lstm.kernel"],
            p["lstm.recurrent_kernel"],
            p["lstm.bias"],
            p["lstm.recurrent_bias"],
        )
    )[::3]  # (batch, 32)
    logits = affine(lstm_1, p["logits.kernel"], bias=p["logits.bias"])  # (batch, 4)
    record({**locals(), "conv1d": conv1d_1, "lstm": lstm_1}, "conv1d lstm logits")
    if targets is None:
        return None, logits, None
    loss = total_loss(model, logits, targets, sample_weights)
    activity = targets["activity"]  # (batch,)
    weights = value_weights(logits.shape[:1], logits.dtype, sample_weights)  # (batch,)

    # Backward: d_x is the gradient of the loss with respect to x
    g = {}
    d_logits = sparse_categorical_crossentropy_from_logits_gradient(
        logits, activity, weights=weights
    )  # (batch, 4)
    g["logits.kernel"] = affine_kernel_gradient(lstm_1, d_logits)  # (32, 4)
    g["logits.bias"] = channel_sum(d_logits)  # (4,)
    d_lstm = affine(d_logits, p["logits.kernel"].T)  # (batch, 32)
    d_conv1d, g["lstm.kernel"], g["lstm.recurrent_kernel"], g["lstm.bias"], _, _ = lstm_gradient(
        None, d_lstm, lstm_saved, p["lstm.kernel"], p["lstm.recurrent_kernel"]
    )  # (batch, 48, 32)
    d_conv1d_preactivation = relu_gradient(d_conv1d, conv1d_1)  # (batch, 48, 32)
    del conv1d_1, d_conv1d
    g["conv1d.kernel"] = conv1d_kernel_gradient(
        signal, d_conv1d_preactivation, p["conv1d.kernel"].shape, strides=2
    )  # (5, 6, 32)
    g["conv1d.bias"] = channel_sum(d_conv1d_preactivation)  # (32,)
    del d_conv1d_preactivation
    g["lstm.recurrent_bias"] = g["lstm.bias"]
    return loss, logits, {path: g[path] for path in p if path in g}


def to_outputs(logits):
    """The spec's outputs, from what the model returns."""
    return {"logits": logits}


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
    total = weights.sum()
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
        sparse_categorical_crossentropy_from_logits(logits, targets["activity"]), weights
    )


def metric_values(raw, targets):
    """{metric: one value per sample}."""
    outputs = to_outputs(raw)
    return {"accuracy": sparse_categorical_accuracy(outputs["logits"], targets["activity"])}


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
    return 0.005


class Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019).

    Epsilon is added after the bias correction.
    """

    kind = "adamw"
    beta_1 = 0.9
    beta_2 = 0.999
    epsilon = 1e-08
    weight_decay = 0.01

    def __init__(self, parameters):
        self.parameters = parameters
        self.slots = {slot: [np.zeros_like(p) for p in parameters] for slot in ("m", "v")}

    def scalars(self, step, rate=None):
        """What changes with the step, computed in double precision."""
        rate = learning_rate(step) if rate is None else rate
        t = step + 1
        return (
            rate * math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t),
            self.epsilon * math.sqrt(1 - self.beta_2**t),
            rate * self.weight_decay,
        )

    def update(self, gradients, scalars):
        """One step, in place."""
        step_size, scaled_epsilon, decay = scalars
        for arrays in zip(self.parameters, gradients, *self.slots.values(), strict=True):
            for parameter, gradient, m, v, a, b in array_blocks(arrays, 2):
                np.multiply(decay, parameter, out=a)
                parameter -= a
                np.subtract(gradient, m, out=a)
                a *= 1 - self.beta_1
                m += a
                np.multiply(gradient, gradient, out=a)
                a -= v
                a *= 1 - self.beta_2
                v += a
                np.sqrt(v, out=a)
                a += scaled_epsilon
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


def uniform(low, high):
    """U(low, high)."""
    return lambda key, shape: (
        low + (high - low) * random_uniform(key, math.prod(shape)).reshape(shape)
    )


def fan_in_uniform(fan_in):
    """U(-a, a), a = 1 / sqrt(fan_in): what torch's Linear and convolutions start from."""
    limit = 1 / math.sqrt(fan_in)
    return uniform(-limit, limit)


def initial_parameters(seed=SEED):
    """Float64 values at the start: each tensor derives from (seed, path, shape) alone."""
    table = [
        ("conv1d.kernel", (5, 6, 32), fan_in_uniform(fan_in=30)),
        ("conv1d.bias", (32,), fan_in_uniform(fan_in=30)),
        ("lstm.kernel", (32, 128), fan_in_uniform(fan_in=32)),
        ("lstm.recurrent_kernel", (32, 128), fan_in_uniform(fan_in=32)),
        ("lstm.bias", (128,), fan_in_uniform(fan_in=32)),
        ("lstm.recurrent_bias", (128,), fan_in_uniform(fan_in=32)),
        ("logits.kernel", (32, 4), fan_in_uniform(fan_in=32)),
        ("logits.bias", (4,), fan_in_uniform(fan_in=32)),
    ]
    return {path: draw(stream_key(seed, f"initial/{path}"), shape) for path, shape, draw in table}


# Training ---------------------------------------------------------------------------------------
def build(seed=SEED, dtype=DTYPE, device=None):
    """The network with the spec's initial parameters."""
    if device not in (None, "cpu"):
        raise ValueError(f"NumPy computes on the cpu, not on {device}")
    values = initial_parameters(seed).items()
    return Motion({path: np.array(value, dtype, order="C") for path, value in values}, seed)


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

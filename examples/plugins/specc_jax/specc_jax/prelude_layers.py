"""Layers of generated JAX files. Images are (N, H, W, C), sequences (N, T, C)."""

import math

import jax
import jax.numpy as jnp
from jax import lax

Pads = tuple[tuple[int, int], ...]


def leaky_relu(x: jax.Array, slope: float) -> jax.Array:
    """x where positive, else slope * x, at 0 too: jax.nn's has the slope 1 there."""
    return jnp.where(x > 0, x, slope * x)


def convolution(
    x: jax.Array,
    kernel: jax.Array,
    strides: tuple[int, ...] | None = None,
    padding: Pads | None = None,
    dilation: tuple[int, ...] | None = None,
    groups: int = 1,
) -> jax.Array:
    """Convolve x (N, H, W, C) with kernel (kh, kw, C / groups, F), or without H and kh."""
    rank = x.ndim - 2
    layout = ("NHWC", "HWIO", "NHWC") if rank == 2 else ("NWC", "WIO", "NWC")
    return lax.conv_general_dilated(
        x,
        kernel,
        strides or (1,) * rank,
        padding or ((0, 0),) * rank,
        rhs_dilation=dilation,
        dimension_numbers=layout,
        feature_group_count=groups,
    )


def depthwise_convolution(x: jax.Array, kernel: jax.Array, **options: object) -> jax.Array:
    """Convolve each channel of x (N, H, W, C) with its own filters: kernel (kh, kw, C, M)."""
    height, width, channels, multiplier = kernel.shape
    flat = kernel.reshape(height, width, 1, channels * multiplier)
    return convolution(x, flat, groups=channels, **options)


def max_pool2d(
    x: jax.Array,
    pool_size: tuple[int, int],
    strides: tuple[int, int] | None = None,
    padding: Pads = ((0, 0), (0, 0)),
) -> jax.Array:
    """The largest value of each window, which moves by its own size or by strides.

    Padding never wins.
    """
    window, step = (1, *pool_size, 1), (1, *(strides or pool_size), 1)
    pads = ((0, 0), *padding, (0, 0))
    return lax.reduce_window(x, -jnp.inf, lax.max, window, step, pads)


def max_pool1d(
    x: jax.Array, pool_size: int, strides: int | None = None, padding: tuple[int, int] = (0, 0)
) -> jax.Array:
    """max_pool2d over x (N, T, C)."""
    step = (1, strides or pool_size)
    return max_pool2d(x[:, None], (1, pool_size), step, ((0, 0), padding))[:, 0]


def average_pool2d(
    x: jax.Array,
    pool_size: tuple[int, int],
    strides: tuple[int, int] | None = None,
    padding: Pads = ((0, 0), (0, 0)),
    count_include_pad: bool = True,
) -> jax.Array:
    """The mean of each window; padding counts as zeros, or not at all."""
    window, step = (1, *pool_size, 1), (1, *(strides or pool_size), 1)
    pads = ((0, 0), *padding, (0, 0))
    total = lax.reduce_window(x, 0.0, lax.add, window, step, pads)
    if count_include_pad:
        return total / math.prod(pool_size)
    inside = jnp.ones((1, *x.shape[1:3], 1), x.dtype)
    return total / lax.reduce_window(inside, 0.0, lax.add, window, step, pads)


def average_pool1d(
    x: jax.Array,
    pool_size: int,
    strides: int | None = None,
    padding: tuple[int, int] = (0, 0),
    count_include_pad: bool = True,
) -> jax.Array:
    """average_pool2d over x (N, T, C)."""
    sizes = (1, pool_size), (1, strides or pool_size), ((0, 0), padding)
    return average_pool2d(x[:, None], *sizes, count_include_pad)[:, 0]


def masked_mean(
    x: jax.Array, mask: jax.Array, steps: int, channels: int, keepdims: bool
) -> jax.Array:
    """Mean of x (N, T, C) or (N, C, T) over the steps where the mask (N, T) is True."""
    valid = jnp.expand_dims(mask, channels)
    total = jnp.where(valid, x, 0).sum(steps, keepdims=keepdims)
    return total / valid.sum(steps, keepdims=keepdims)


def padded_embedding(table: jax.Array, ids: jax.Array, padding: int) -> jax.Array:
    """The rows of the ids; that of the padding gets no gradient."""
    rows = jnp.take(table, ids, axis=0)
    return jnp.where((ids == padding)[..., None], lax.stop_gradient(rows), rows)


def scale_and_shift(
    x: jax.Array, gamma: jax.Array | None, beta: jax.Array | None, shape: tuple[int, ...]
) -> jax.Array:
    """x * gamma + beta, either of which may be None; shape spreads them over the axes."""
    y = x if gamma is None else x * gamma.reshape(shape)
    return y if beta is None else y + beta.reshape(shape)


def layer_norm(
    x: jax.Array,
    gamma: jax.Array | None,
    beta: jax.Array | None,
    axes: tuple[int, ...],
    epsilon: float,
) -> jax.Array:
    """Normalize x by its own mean and variance over the axes, sample by sample."""
    centred = x - x.mean(axes, keepdims=True)
    variance = jnp.square(centred).mean(axes, keepdims=True)
    shape = tuple(size if axis in axes else 1 for axis, size in enumerate(x.shape))
    return scale_and_shift(centred / jnp.sqrt(variance + epsilon), gamma, beta, shape)


def group_norm(
    x: jax.Array,
    gamma: jax.Array | None,
    beta: jax.Array | None,
    groups: int,
    axis: int,
    epsilon: float,
) -> jax.Array:
    """Normalize each group of features on an axis of x over the group and all positions."""
    split = x.reshape(*x.shape[:axis], groups, -1, *x.shape[axis + 1 :])
    axes = tuple(each for each in range(1, split.ndim) if each != axis)
    centred = split - split.mean(axes, keepdims=True)
    variance = jnp.square(centred).mean(axes, keepdims=True)
    normalized = (centred / jnp.sqrt(variance + epsilon)).reshape(x.shape)
    shape = tuple(size if each == axis else 1 for each, size in enumerate(x.shape))
    return scale_and_shift(normalized, gamma, beta, shape)


def batch_norm_inference(
    x: jax.Array,
    gamma: jax.Array | None,
    beta: jax.Array | None,
    mean: jax.Array,
    variance: jax.Array,
    axes: tuple[int, ...],
    epsilon: float,
) -> jax.Array:
    """Normalize x by a given mean (C,) and variance (C,); axes are those without the features."""
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    deviation = jnp.sqrt(variance + epsilon).reshape(shape)
    return scale_and_shift((x - mean.reshape(shape)) / deviation, gamma, beta, shape)


def batch_norm(
    x: jax.Array,
    gamma: jax.Array | None,
    beta: jax.Array | None,
    moving_mean: jax.Array,
    moving_variance: jax.Array,
    axes: tuple[int, ...],
    epsilon: float,
    keep: float,
    training: bool,
    unbiased: bool = False,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """x normalized by its batch, and the running statistics, of which ``keep`` stays.

    ``unbiased`` keeps the variance over count - 1 values, which PyTorch does. Raises ValueError
    where that does not exist.
    """
    if not training:
        y = batch_norm_inference(x, gamma, beta, moving_mean, moving_variance, axes, epsilon)
        return y, moving_mean, moving_variance
    mean = x.mean(axes)
    centred = x - x.mean(axes, keepdims=True)
    variance = jnp.square(centred).mean(axes)
    y = batch_norm_inference(x, gamma, beta, mean, variance, axes, epsilon)
    kept = variance
    if unbiased:
        count = x.size // mean.size
        if count == 1:
            raise ValueError("batch normalization needs more than 1 value per feature to train")
        kept = variance * (count / (count - 1))
    return (
        y,
        keep * moving_mean + (1 - keep) * lax.stop_gradient(mean),
        keep * moving_variance + (1 - keep) * lax.stop_gradient(kept),
    )

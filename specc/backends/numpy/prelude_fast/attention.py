"""Scaled dot-product attention, sample by sample in reused memory, and its heads."""

from typing import Any

import numpy as np

from specc.backends.numpy.prelude_fast.memory import empty
from specc.backends.numpy.prelude_fast.products import affine, affine_kernel_gradient
from specc.backends.numpy.prelude_fast.rows import row_maxima, row_sums
from specc.backends.numpy.prelude_fast.threads import map_parts, sample_parts


def attention_weights(
    query: np.ndarray, key: np.ndarray, mask: np.ndarray | None = None, causal: bool = False
) -> np.ndarray:
    """How much each query attends to each key: softmax(query @ key.T / sqrt(D)), (..., T, S).

    query is (N, heads, T, D), key (N, heads, S, D). Where the mask, which broadcasts to the
    weights, is False there is no attention. causal lets query t see the keys 0 to t. The weights
    of a query that may attend to nothing are 0, as in torch's scaled_dot_product_attention.
    """
    weights = empty((*query.shape[:3], key.shape[2]), query.dtype)
    allowed = mask
    if causal:
        past = np.tri(*weights.shape[2:], dtype=np.bool_)
        allowed = past if mask is None else mask & past
    if allowed is not None:
        offsets = np.where(allowed, 0, np.finfo(weights.dtype).min).astype(weights.dtype)
        offsets = offsets.reshape((1,) * (4 - offsets.ndim) + offsets.shape)
        offsets = np.broadcast_to(offsets, (len(weights), *offsets.shape[1:]))

    def attend(part: slice) -> None:
        scores, scaled = weights[part], empty(query[part].shape, query.dtype)
        np.multiply(query[part], key.shape[-1] ** -0.5, out=scaled)
        np.matmul(scaled, key[part].swapaxes(2, 3), out=scores)
        if allowed is not None:
            scores += offsets[part]
        scores -= row_maxima(scores)
        np.exp(scores, out=scores)
        scores *= 1 / row_sums(scores)

    map_parts(attend, sample_parts(weights))
    if mask is not None:
        weights *= allowed
    return weights


def scaled_dot_product_attention(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    mask: np.ndarray | None = None,
    causal: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of value (N, heads, S, E) by the attention weights: y (N, heads, T, E) and the weights.

    A query that may attend to nothing gets 0.
    """
    weights = attention_weights(query, key, mask, causal)
    y = empty_heads((*query.shape[:3], value.shape[3]), value.dtype)
    map_parts(lambda i: np.matmul(weights[i], value[i], out=y[i]), sample_parts(weights))
    return y, weights


def empty_heads(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Room for heads (N, heads, T, K), laid out so that joining them copies nothing."""
    batch, heads, steps, size = shape
    return empty((batch, steps, heads, size), dtype).swapaxes(1, 2)


def scaled_dot_product_attention_gradient(
    dy: np.ndarray, weights: np.ndarray, query: np.ndarray, key: np.ndarray, value: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of scaled_dot_product_attention with respect to query, key and value."""
    dquery, dkey, dvalue = (empty_heads(x.shape, x.dtype) for x in (query, key, value))

    def gradients(part: slice) -> None:
        weight = weights[part]
        dscore, products = empty(weight.shape, weight.dtype), empty(weight.shape, weight.dtype)
        np.matmul(weight.swapaxes(2, 3), dy[part], out=dvalue[part])
        np.matmul(dy[part], value[part].swapaxes(2, 3), out=dscore)
        np.multiply(dscore, weight, out=products)
        dscore -= row_sums(products)
        np.multiply(weight, key.shape[-1] ** -0.5, out=products)
        dscore *= products
        np.matmul(dscore, key[part], out=dquery[part])
        np.matmul(dscore.swapaxes(2, 3), query[part], out=dkey[part])

    map_parts(gradients, sample_parts(weights))
    return dquery, dkey, dvalue


def row_total(x: np.ndarray) -> np.ndarray:
    """The sum of all rows of x (..., D): a product with ones."""
    rows = x.reshape(-1, x.shape[-1])
    return np.asarray(np.ones(len(rows), x.dtype) @ rows)


def split_heads(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """x (N, T, D) projected into heads, (N, heads, T, K): kernel (D, heads, K), bias (heads, K)."""
    biases = None if bias is None else bias.reshape(-1)
    y = affine(x, kernel.reshape(len(kernel), -1), bias=biases)
    return y.reshape(*x.shape[:2], *kernel.shape[1:]).swapaxes(1, 2)


def split_heads_gradient(
    dy: np.ndarray, x: np.ndarray, kernel: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of split_heads with respect to x, kernel and bias."""
    rows = dy.swapaxes(1, 2).reshape(*x.shape[:2], kernel[0].size)
    dx = affine(rows, kernel.reshape(len(kernel), -1).T)
    dkernel = affine_kernel_gradient(x, rows)
    return dx, dkernel.reshape(kernel.shape), row_total(rows).reshape(kernel.shape[1:])


def join_heads(y: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """y (N, heads, T, K) projected to (N, T, D): kernel (heads, K, D), bias (D,)."""
    joined = y.swapaxes(1, 2).reshape(len(y), y.shape[2], -1)
    return affine(joined, kernel.reshape(-1, kernel.shape[-1]), bias=bias)


def join_heads_gradient(
    dx: np.ndarray, y: np.ndarray, kernel: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of join_heads with respect to y, kernel and bias; dx belongs to its result."""
    joined = y.swapaxes(1, 2).reshape(*dx.shape[:2], -1)
    dy = affine(dx, kernel.reshape(-1, kernel.shape[-1]).T)
    dkernel = affine_kernel_gradient(joined, dx)
    heads = dy.reshape(*dx.shape[:2], *kernel.shape[:2]).swapaxes(1, 2)
    return heads, dkernel.reshape(kernel.shape), row_total(dx)

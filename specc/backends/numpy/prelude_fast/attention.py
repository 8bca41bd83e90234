"""Scaled dot-product attention, sample by sample in reused memory, and its heads."""

import numpy as np

from specc.backends.numpy.prelude_fast.memory import empty


def attention_weights(
    query: np.ndarray, key: np.ndarray, mask: np.ndarray | None = None, causal: bool = False
) -> np.ndarray:
    """How much each query attends to each key: softmax(query @ key.T / sqrt(D)), (..., T, S).

    query is (N, heads, T, D), key (N, heads, S, D). Where the mask, which broadcasts to the
    weights, is False there is no attention. causal lets query t see the keys 0 to t. The weights
    of a query that may attend to nothing are 0, as in torch's scaled_dot_product_attention.
    """
    weights = empty((*query.shape[:3], key.shape[2]), query.dtype)
    scaled = empty(query.shape[1:], query.dtype)
    allowed = mask
    if causal:
        past = np.tri(*weights.shape[2:], dtype=np.bool_)
        allowed = past if mask is None else mask & past
    if allowed is not None:
        offsets = np.where(allowed, 0, np.finfo(weights.dtype).min).astype(weights.dtype)
        offsets = np.broadcast_to(offsets, (len(weights), *offsets.shape[-3:]))
    for sample in range(len(weights)):
        scores = weights[sample]
        np.multiply(query[sample], key.shape[-1] ** -0.5, out=scaled)
        np.matmul(scaled, key[sample].swapaxes(1, 2), out=scores)
        if allowed is not None:
            scores += offsets[sample]
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
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
    return heads_of(weights, value), weights


def heads_of(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b of heads (N, heads, ...), laid out so that joining the heads copies nothing."""
    batch, heads, steps, size = *a.shape[:3], b.shape[-1]
    product = empty((batch, steps, heads, size), a.dtype).swapaxes(1, 2)
    np.matmul(a, b, out=product)
    return product


def scaled_dot_product_attention_gradient(
    dy: np.ndarray, weights: np.ndarray, query: np.ndarray, key: np.ndarray, value: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of scaled_dot_product_attention with respect to query, key and value."""
    dscores = empty(weights.shape, weights.dtype)
    products = empty(weights.shape[1:], weights.dtype)
    for sample in range(len(weights)):
        dscore, weight = dscores[sample], weights[sample]
        np.matmul(dy[sample], value[sample].swapaxes(1, 2), out=dscore)
        np.multiply(dscore, weight, out=products)
        dscore -= products.sum(axis=-1, keepdims=True)
        dscore *= weight
        dscore *= key.shape[-1] ** -0.5
    dquery, dkey = heads_of(dscores, key), heads_of(dscores.swapaxes(2, 3), query)
    return dquery, dkey, heads_of(weights.swapaxes(2, 3), dy)


def split_heads(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """x (N, T, D) projected into heads, (N, heads, T, K): kernel (D, heads, K), bias (heads, K)."""
    batch, steps, size = x.shape
    y = empty((batch, steps, *kernel.shape[1:]), x.dtype)
    rows = y.reshape(batch * steps, -1)
    np.matmul(x.reshape(-1, size), kernel.reshape(size, -1), out=rows)
    if bias is not None:
        rows += bias.reshape(-1)
    return y.swapaxes(1, 2)


def split_heads_gradient(
    dy: np.ndarray, x: np.ndarray, kernel: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of split_heads with respect to x, kernel and bias."""
    rows = dy.swapaxes(1, 2).reshape(-1, kernel[0].size)
    dx, dkernel = empty(x.shape, x.dtype), empty(kernel.shape, x.dtype)
    flat = x.reshape(-1, x.shape[-1])
    np.matmul(rows, kernel.reshape(len(kernel), -1).T, out=dx.reshape(flat.shape))
    np.matmul(flat.T, rows, out=dkernel.reshape(len(kernel), -1))
    dbias = np.ones(len(rows), rows.dtype) @ rows
    return dx, dkernel, dbias.reshape(kernel.shape[1:])


def join_heads(y: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """y (N, heads, T, K) projected to (N, T, D): kernel (heads, K, D), bias (D,)."""
    rows = y.swapaxes(1, 2).reshape(len(y), y.shape[2], -1)
    x = empty((*rows.shape[:2], kernel.shape[-1]), y.dtype)
    flat = x.reshape(-1, kernel.shape[-1])
    np.matmul(rows.reshape(len(flat), -1), kernel.reshape(-1, kernel.shape[-1]), out=flat)
    if bias is not None:
        flat += bias
    return x


def join_heads_gradient(
    dx: np.ndarray, y: np.ndarray, kernel: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of join_heads with respect to y, kernel and bias; dx belongs to its result."""
    rows = dx.reshape(-1, dx.shape[-1])
    flat = kernel.reshape(-1, kernel.shape[-1])
    heads, size = kernel.shape[:2]
    dy, dkernel = empty((*dx.shape[:2], heads, size), dx.dtype), empty(kernel.shape, dx.dtype)
    np.matmul(rows, flat.T, out=dy.reshape(len(rows), -1))
    joined = y.swapaxes(1, 2).reshape(-1, heads * size)
    np.matmul(joined.T, rows, out=dkernel.reshape(flat.shape))
    return dy.swapaxes(1, 2), dkernel, np.ones(len(rows), rows.dtype) @ rows

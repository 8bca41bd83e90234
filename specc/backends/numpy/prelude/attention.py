"""Scaled dot-product attention and its heads, each with its gradient."""

import numpy as np


def attention_weights(
    query: np.ndarray, key: np.ndarray, mask: np.ndarray | None, causal: bool
) -> np.ndarray:
    """How much each query attends to each key: softmax(query @ key.T / sqrt(D)), (..., T, S).

    query is (N, heads, T, D), key (N, heads, S, D). Where the mask, which broadcasts to the
    weights, is False there is no attention; causal lets query t see the keys 0 to t. The weights
    of a query that may attend to nothing are 0, as in torch's scaled_dot_product_attention.
    """
    weights: np.ndarray = (query * key.shape[-1] ** -0.5) @ key.swapaxes(-1, -2)
    allowed = mask
    if causal:
        past = np.tri(*weights.shape[-2:], dtype=np.bool_)
        allowed = past if mask is None else mask & past
    if allowed is not None:
        weights += np.where(allowed, 0, np.finfo(weights.dtype).min)
    weights -= weights.max(axis=-1, keepdims=True)
    np.exp(weights, out=weights)
    weights /= weights.sum(axis=-1, keepdims=True)
    if allowed is not None:
        weights *= allowed
    return weights


def attention_weights_gradient(
    dweights: np.ndarray, weights: np.ndarray, query: np.ndarray, key: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of attention_weights with respect to query and key; weights is its result."""
    along_weights = (dweights * weights).sum(axis=-1, keepdims=True)
    dscores = weights * (dweights - along_weights) * key.shape[-1] ** -0.5
    return dscores @ key, dscores.swapaxes(-1, -2) @ query


def scaled_dot_product_attention(
    query: np.ndarray, key: np.ndarray, value: np.ndarray, mask: np.ndarray | None, causal: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of value (N, heads, S, E) by the attention weights: y (N, heads, T, E) and the weights.

    A query that may attend to nothing gets 0.
    """
    weights = attention_weights(query, key, mask, causal)
    return weights @ value, weights


def scaled_dot_product_attention_gradient(
    dy: np.ndarray, weights: np.ndarray, query: np.ndarray, key: np.ndarray, value: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of scaled_dot_product_attention with respect to query, key and value."""
    dweights = dy @ value.swapaxes(-1, -2)
    dquery, dkey = attention_weights_gradient(dweights, weights, query, key)
    return dquery, dkey, weights.swapaxes(-1, -2) @ dy


def split_heads(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """x (N, T, D) projected into heads, (N, heads, T, K): kernel (D, heads, K), bias (heads, K)."""
    y: np.ndarray = x @ kernel.reshape(len(kernel), -1)
    if bias is not None:
        y += bias.reshape(-1)
    return y.reshape(*x.shape[:2], *kernel.shape[1:]).swapaxes(1, 2)


def split_heads_gradient(
    dy: np.ndarray, x: np.ndarray, kernel: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of split_heads with respect to x, kernel and bias."""
    rows = dy.swapaxes(1, 2).reshape(-1, kernel[0].size)
    flat = kernel.reshape(len(kernel), -1)
    dkernel = x.reshape(-1, x.shape[-1]).T @ rows
    dbias = rows.sum(axis=0).reshape(kernel.shape[1:])
    return (rows @ flat.T).reshape(x.shape), dkernel.reshape(kernel.shape), dbias


def join_heads(y: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """y (N, heads, T, K) projected to (N, T, D): kernel (heads, K, D), bias (D,)."""
    rows = y.swapaxes(1, 2).reshape(len(y), y.shape[2], -1)
    x: np.ndarray = rows @ kernel.reshape(-1, kernel.shape[-1])
    if bias is not None:
        x += bias
    return x


def join_heads_gradient(
    dx: np.ndarray, y: np.ndarray, kernel: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of join_heads with respect to y, kernel and bias; dx belongs to its result."""
    rows = dx.reshape(-1, dx.shape[-1])
    flat = kernel.reshape(-1, kernel.shape[-1])
    heads, size = kernel.shape[:2]
    dy = (rows @ flat.T).reshape(*dx.shape[:2], heads, size).swapaxes(1, 2)
    dkernel = y.swapaxes(1, 2).reshape(-1, heads * size).T @ rows
    return dy, dkernel.reshape(kernel.shape), rows.sum(axis=0)


def multi_head_attention(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    query_projection: tuple[np.ndarray, ...],
    key_projection: tuple[np.ndarray, ...],
    value_projection: tuple[np.ndarray, ...],
    output_projection: tuple[np.ndarray, ...],
    mask: np.ndarray | None = None,
    causal: bool = False,
) -> tuple[np.ndarray, ...]:
    """Attention of query (N, T, D) to key and value (N, S, ...): (N, T, D), and what it kept.

    A projection is (kernel, bias) or (kernel,), as split_heads and join_heads take them; mask
    broadcasts to (N, heads, T, S). Kept are the heads' queries, keys, values, attention weights
    and means.
    """
    queries = split_heads(query, *query_projection)
    keys = split_heads(key, *key_projection)
    values = split_heads(value, *value_projection)
    means, weights = scaled_dot_product_attention(queries, keys, values, mask, causal)
    return join_heads(means, *output_projection), queries, keys, values, weights, means

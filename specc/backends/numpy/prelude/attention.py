"""Scaled dot-product attention and its gradient."""

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

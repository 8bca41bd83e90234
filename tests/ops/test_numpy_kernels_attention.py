"""NumPy attention against torch's scaled_dot_product_attention, in float64."""

import numpy as np
import pytest
import torch
from numpy_kernel_checks import assert_close, assert_float32, numerical_gradient
from torch.nn import functional

from specc.backends.numpy.prelude import attention

# batch, heads, queries, keys, features of a key, features of a value
SIZES = [(2, 3, 4, 5, 6, 3), (1, 1, 1, 1, 1, 1), (2, 2, 5, 3, 4, 4), (3, 1, 4, 4, 2, 5)]


def draw(sizes, dtype="float64"):
    """query, key, value and dy."""
    batch, heads, queries, keys, features, outputs = sizes
    rng = np.random.default_rng(0)
    shapes = [(queries, features), (keys, features), (keys, outputs), (queries, outputs)]
    return [rng.standard_normal((batch, heads, *shape)).astype(dtype) for shape in shapes]


def draw_mask(kind, sizes):
    batch, heads, queries, keys, *_ = sizes
    shapes = {
        "keys": (batch, 1, 1, keys),
        "pairs": (queries, keys),
        "all": (batch, heads, queries, keys),
    }
    return None if kind is None else np.random.default_rng(1).random(shapes[kind]) < 0.5


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kind", [None, "keys", "pairs", "all"])
@pytest.mark.parametrize("sizes", SIZES)
def test_matches_torch(sizes, kind, causal):
    *arrays, dy = draw(sizes)
    mask = draw_mask(kind, sizes)
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    allowed = torch.ones(sizes[2], sizes[3]).tril() > 0 if causal else None
    if mask is not None:
        allowed = torch.tensor(mask) & (True if allowed is None else allowed)
    expected = functional.scaled_dot_product_attention(*tensors, attn_mask=allowed)
    expected.backward(torch.tensor(dy))

    y, weights = attention.scaled_dot_product_attention(*arrays, mask, causal)
    assert_close(y, expected.detach())
    gradients = attention.scaled_dot_product_attention_gradient(dy, weights, *arrays)
    for gradient, tensor in zip(gradients, tensors, strict=True):
        # With one key to see, the scores do not matter: their gradient is rounding noise.
        difference = np.abs(gradient - tensor.grad.numpy()).max()
        assert difference <= 1e-12 * max(float(tensor.grad.abs().max()), np.abs(dy).max())


def test_causal_is_torchs_own():
    *arrays, _ = draw(SIZES[0])
    tensors = [torch.tensor(array) for array in arrays]
    expected = functional.scaled_dot_product_attention(*tensors, is_causal=True)
    assert_close(attention.scaled_dot_product_attention(*arrays, None, True)[0], expected)


def test_a_query_without_keys_gets_nothing():
    *arrays, dy = draw(SIZES[0])
    mask = np.ones((4, 5), bool)
    mask[2] = False
    with np.errstate(all="raise", under="ignore"):
        y, weights = attention.scaled_dot_product_attention(*arrays, mask, False)
        gradients = attention.scaled_dot_product_attention_gradient(dy, weights, *arrays)
    assert not y[:, :, 2].any()
    assert not gradients[0][:, :, 2].any()
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_gradients_match_finite_differences():
    *arrays, dy = draw(SIZES[0])
    mask = draw_mask("all", SIZES[0])

    def objective():
        y, _ = attention.scaled_dot_product_attention(*arrays, mask, True)
        return float((y * dy).sum())

    _, weights = attention.scaled_dot_product_attention(*arrays, mask, True)
    gradients = attention.scaled_dot_product_attention_gradient(dy, weights, *arrays)
    for gradient, array in zip(gradients, arrays, strict=True):
        assert_close(gradient, numerical_gradient(objective, array), 1e-8)


@pytest.mark.parametrize("kind", [None, "keys"])
def test_float32_stays_float32(kind):
    *arrays, dy = draw(SIZES[0], "float32")
    results = attention.scaled_dot_product_attention(*arrays, draw_mask(kind, SIZES[0]), True)
    assert_float32(results)
    gradients = attention.scaled_dot_product_attention_gradient(dy, results[1], *arrays)
    assert_float32(gradients)

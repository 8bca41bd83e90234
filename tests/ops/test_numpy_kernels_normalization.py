"""NumPy normalization and embedding kernels against torch, in float64."""

import numpy as np
import pytest
import torch
from numpy_kernel_checks import assert_close, assert_float32, numerical_gradient

from specc.backends.numpy.prelude import embedding, normalization

EPSILON = 1e-3
BATCH_CASES = [
    ((6, 3), (0,)),
    ((5, 4, 3), (0, 1)),
    ((5, 4, 3), (0, 2)),
    ((2, 3, 5, 4), (0, 1, 2)),
    ((2, 3, 5, 4), (0, 2, 3)),
    ((2, 1), (0,)),
]
LAYER_CASES = [
    ((6, 3), (1,)),
    ((5, 4, 3), (2,)),
    ((5, 4, 3), (1, 2)),
    ((5, 4, 3), (1,)),
    ((2, 3, 5, 4), (3,)),
    ((2, 3, 5, 4), (1, 2, 3)),
    ((1, 2), (1,)),
]
PARAMETERS = [(True, True), (True, False), (False, True), (False, False)]


def torch_normalize(x, gamma, beta, mean, variance, shape):
    y = (x - mean) / torch.sqrt(variance + EPSILON)
    y = y if gamma is None else y * gamma.reshape(shape)
    return y if beta is None else y + beta.reshape(shape)


def draw(sizes, scaled, shifted):
    """gamma and beta as arrays (or None), and as torch leaves."""
    rng = np.random.default_rng(5)
    arrays = [rng.standard_normal(sizes) if present else None for present in (scaled, shifted)]
    tensors = [None if a is None else torch.tensor(a, requires_grad=True) for a in arrays]
    return arrays, tensors


def check_gradients(gradients, tensors):
    for gradient, tensor in zip(gradients, tensors, strict=True):
        if tensor is not None:
            assert_close(gradient, tensor.grad)


@pytest.mark.parametrize(("scaled", "shifted"), PARAMETERS)
@pytest.mark.parametrize(("shape", "axes"), BATCH_CASES)
def test_batch_norm(shape, axes, scaled, shifted):
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal(shape) + 2, rng.standard_normal(shape)
    spread = [1 if axis in axes else size for axis, size in enumerate(shape)]
    (gamma, beta), tensors = draw(max(spread), scaled, shifted)
    tensor = torch.tensor(x, requires_grad=True)
    variance, mean = torch.var_mean(tensor, axes, correction=0, keepdim=True)
    expected = torch_normalize(tensor, *tensors, mean, variance, spread)
    expected.backward(torch.tensor(dy))

    results = normalization.batch_norm(x, gamma, beta, axes, EPSILON)
    y, normalized, actual_mean, actual_variance, inverse_deviation = results
    assert_close(y, expected.detach())
    assert_close(actual_mean, mean.detach().reshape(-1))
    assert_close(actual_variance, variance.detach().reshape(-1))
    gradients = normalization.batch_norm_gradient(dy, normalized, gamma, inverse_deviation, axes)
    check_gradients(gradients, (tensor, *tensors))


@pytest.mark.parametrize(("scaled", "shifted"), PARAMETERS)
@pytest.mark.parametrize(("shape", "axes"), BATCH_CASES)
def test_batch_norm_inference(shape, axes, scaled, shifted):
    rng = np.random.default_rng(1)
    x, dy = rng.standard_normal(shape), rng.standard_normal(shape)
    spread = [1 if axis in axes else size for axis, size in enumerate(shape)]
    mean, variance = rng.standard_normal(max(spread)), rng.uniform(0.5, 2, max(spread))
    (gamma, beta), tensors = draw(max(spread), scaled, shifted)
    tensor = torch.tensor(x, requires_grad=True)
    statistics = [torch.tensor(a).reshape(spread) for a in (mean, variance)]
    expected = torch_normalize(tensor, *tensors, *statistics, spread)
    expected.backward(torch.tensor(dy))

    given = (mean, variance, axes, EPSILON)
    assert_close(normalization.batch_norm_inference(x, gamma, beta, *given), expected.detach())
    gradients = normalization.batch_norm_inference_gradient(dy, x, gamma, *given)
    check_gradients(gradients, (tensor, *tensors))


def test_batch_norm_variance_survives_a_large_mean():
    x = np.random.default_rng(2).standard_normal((64, 7, 3))
    shifted = x + 1e6
    y = normalization.batch_norm(x, None, None, (0, 1), EPSILON)[0]
    assert_close(normalization.batch_norm(shifted, None, None, (0, 1), EPSILON)[0], y, 1e-8)


@pytest.mark.parametrize("shape", [(5, 4, 3), (4, 6, 2, 3)])
@pytest.mark.parametrize("scaled", [True, False])
def test_batch_norm_masked_gradient_is_the_derivative(shape, scaled):
    rng = np.random.default_rng(3)
    x, dy = rng.standard_normal(shape), rng.standard_normal(shape)
    mask = rng.random(shape[:-1]) < 0.6
    gamma = rng.standard_normal(shape[-1]) if scaled else None

    def objective():
        return float((normalization.batch_norm_masked(x, mask, gamma, None, EPSILON)[0] * dy).sum())

    results = normalization.batch_norm_masked(x, mask, gamma, None, EPSILON)
    dx, dgamma, dbeta = normalization.batch_norm_masked_gradient(
        dy, results[1], mask, gamma, results[4]
    )
    assert_close(dx, numerical_gradient(objective, x), 1e-8)
    if gamma is not None:
        assert_close(dgamma, numerical_gradient(objective, gamma), 1e-8)
    assert_close(dbeta, dy.sum(axis=tuple(range(dy.ndim - 1))))


def test_batch_norm_without_a_valid_position_is_finite():
    x, mask = np.ones((2, 3, 4)), np.zeros((2, 3), bool)
    results = normalization.batch_norm_masked(x, mask, None, None, EPSILON)
    gradients = normalization.batch_norm_masked_gradient(x, results[1], mask, None, results[4])
    assert all(np.isfinite(array).all() for array in (*results, *gradients))


@pytest.mark.parametrize(("scaled", "shifted"), PARAMETERS)
@pytest.mark.parametrize(("shape", "axes"), LAYER_CASES)
def test_layer_norm(shape, axes, scaled, shifted):
    rng = np.random.default_rng(4)
    x, dy = rng.standard_normal(shape) + 2, rng.standard_normal(shape)
    spread = [size if axis in axes else 1 for axis, size in enumerate(shape)]
    (gamma, beta), tensors = draw([shape[axis] for axis in axes], scaled, shifted)
    tensor = torch.tensor(x, requires_grad=True)
    variance, mean = torch.var_mean(tensor, axes, correction=0, keepdim=True)
    expected = torch_normalize(tensor, *tensors, mean, variance, spread)
    expected.backward(torch.tensor(dy))

    y, normalized, inverse_deviation = normalization.layer_norm(x, gamma, beta, axes, EPSILON)
    assert_close(y, expected.detach())
    gradients = normalization.layer_norm_gradient(dy, normalized, gamma, inverse_deviation, axes)
    check_gradients(gradients, (tensor, *tensors))


def test_channel_sum_is_the_sum():
    x = np.random.default_rng(6).standard_normal((3, 5, 2, 4))
    assert_close(normalization.channel_sum(x), x.sum(axis=(0, 1, 2)))
    assert_close(normalization.channel_sum(x[:, 0, 0]), x[:, 0, 0].sum(axis=0))


@pytest.mark.parametrize("ids_shape", [(7,), (3, 5), (1,), (2, 3, 4)])
def test_embedding_gradient(ids_shape):
    rng = np.random.default_rng(7)
    ids, dy = rng.integers(0, 6, ids_shape), rng.standard_normal((*ids_shape, 3))
    table = torch.zeros((6, 3), dtype=torch.float64, requires_grad=True)
    torch.nn.functional.embedding(torch.tensor(ids), table).backward(torch.tensor(dy))
    assert_close(embedding.embedding_gradient(ids, dy, 6), table.grad)


def test_padding_row_of_an_embedding_gets_no_gradient():
    rng = np.random.default_rng(8)
    ids, dy = rng.integers(0, 4, (3, 5)), rng.standard_normal((3, 5, 2))
    table = torch.zeros((4, 2), dtype=torch.float64, requires_grad=True)
    rows = torch.nn.functional.embedding(torch.tensor(ids), table, padding_idx=1)
    rows.backward(torch.tensor(dy))
    assert_close(embedding.embedding_gradient(ids, dy, 4, 1), table.grad)


def test_running_statistics_are_those_of_torch():
    x = np.random.default_rng(9).standard_normal((4, 3))
    layer = torch.nn.BatchNorm1d(3, momentum=0.1, dtype=torch.float64)
    layer(torch.tensor(x))
    moving_mean, moving_variance = np.zeros(3), np.ones(3)
    _, _, mean, variance, _ = normalization.batch_norm(x, None, None, (0,), EPSILON)
    normalization.update_statistics(moving_mean, moving_variance, mean, variance, 0.9, 4)
    assert_close(moving_mean, layer.running_mean)
    assert_close(moving_variance, layer.running_var)


def test_running_variance_of_one_value_is_refused():
    statistics = [np.zeros(2) for _ in range(4)]
    with pytest.raises(ValueError, match="more than 1 value"):
        normalization.update_statistics(*statistics, 0.9, 1)


def test_float32_stays_float32():
    x, gamma = np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4), np.ones(4, np.float32)
    mask = np.array([[True, True, False], [True, False, False]])
    for axes, scale in (((0, 1), gamma), ((0, 2), gamma[:3])):
        results = normalization.batch_norm(x, scale, scale, axes, EPSILON)
        assert_float32(results)
        saved = (results[1], scale, results[4], axes)
        assert_float32(normalization.batch_norm_gradient(x, *saved))
        given = (scale, scale, axes, EPSILON)
        assert_float32(normalization.batch_norm_inference(x, scale, scale, *given))
        assert_float32(normalization.batch_norm_inference_gradient(x, x, scale, *given))
    results = normalization.batch_norm_masked(x, mask, gamma, gamma, EPSILON)
    assert_float32(results)
    saved = (results[1], mask, gamma, results[4])
    assert_float32(normalization.batch_norm_masked_gradient(x, *saved))
    results = normalization.layer_norm(x, gamma, gamma, (2,), EPSILON)
    assert_float32(results)
    saved = (results[1], gamma, results[2], (2,))
    assert_float32(normalization.layer_norm_gradient(x, *saved))
    assert_float32(embedding.embedding_gradient(np.array([[0, 1, 1]] * 2), x, 3))

"""NumPy pooling against torch, in float64; padding that torch lacks is padded by hand."""

import numpy as np
import pytest
import torch
from numpy_kernel_checks import assert_close, assert_float32, numerical_gradient
from torch.nn import functional

from specc.backends.numpy.prelude import pooling

NONE = ((0, 0), (0, 0))

# input shape, pool size, strides, padding
CASES_2D = [
    ((2, 6, 8, 3), (2, 2), (2, 2), NONE),
    ((2, 7, 9, 3), (2, 2), (2, 2), NONE),
    ((2, 7, 6, 2), (3, 2), (1, 2), NONE),
    ((2, 7, 6, 2), (3, 3), (2, 2), ((1, 1), (1, 1))),
    ((1, 8, 5, 4), (3, 2), (2, 1), ((0, 1), (1, 0))),
    ((2, 9, 9, 1), (2, 2), (4, 3), NONE),
    ((1, 1, 1, 1), (1, 1), (1, 1), NONE),
]
CASES_1D = [
    ((2, 8, 3), 2, 2, (0, 0)),
    ((2, 9, 3), 3, 1, (1, 1)),
    ((2, 9, 2), 3, 2, (0, 1)),
    ((2, 9, 2), 2, 4, (0, 0)),
]


def padded(x, padding, value):
    (top, bottom), (left, right) = padding
    return functional.pad(x.permute(0, 3, 1, 2), (left, right, top, bottom), value=value)


def torch_max(x, pool_size, strides, padding):
    y = functional.max_pool2d(padded(x, padding, -torch.inf), pool_size, strides)
    return y.permute(0, 2, 3, 1)


def torch_average(x, pool_size, strides, padding, count_include_pad):
    total = functional.avg_pool2d(padded(x, padding, 0.0), pool_size, strides)
    if not count_include_pad:
        ones = padded(torch.ones_like(x), padding, 0.0)
        total = total / functional.avg_pool2d(ones, pool_size, strides)
    return total.permute(0, 2, 3, 1)


def attributes_2d(pool_size, strides, padding):
    return (1, pool_size), (1, strides), ((0, 0), padding)


@pytest.mark.parametrize(("shape", "pool_size", "strides", "padding"), CASES_2D)
@pytest.mark.parametrize("ties", [False, True])
def test_max_pool2d_matches_torch(shape, pool_size, strides, padding, ties):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, shape).astype(float) if ties else rng.standard_normal(shape)
    tensor = torch.tensor(x, requires_grad=True)
    expected = torch_max(tensor, pool_size, strides, padding)
    dy = rng.standard_normal(expected.shape)
    expected.backward(torch.tensor(dy))

    y = pooling.max_pool2d(x, pool_size, strides, padding)
    dx = pooling.max_pool2d_gradient(x, y, dy, pool_size, strides, padding)
    assert_close(y, expected.detach())
    assert_close(dx, tensor.grad)


@pytest.mark.parametrize(("shape", "pool_size", "strides", "padding"), CASES_2D)
@pytest.mark.parametrize("count_include_pad", [False, True])
def test_average_pool2d_matches_torch(shape, pool_size, strides, padding, count_include_pad):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape)
    tensor = torch.tensor(x, requires_grad=True)
    attributes = (pool_size, strides, padding, count_include_pad)
    expected = torch_average(tensor, *attributes)
    dy = rng.standard_normal(expected.shape)
    expected.backward(torch.tensor(dy))

    assert_close(pooling.average_pool2d(x, *attributes), expected.detach())
    assert_close(pooling.average_pool2d_gradient(dy, shape, *attributes), tensor.grad)


@pytest.mark.parametrize("count_include_pad", [False, True])
def test_symmetric_padding_is_torchs_own(count_include_pad):
    x = np.random.default_rng(1).standard_normal((2, 7, 6, 2))
    image = torch.tensor(x).permute(0, 3, 1, 2)
    attributes = ((3, 3), (2, 1), ((1, 1), (1, 1)))
    largest = functional.max_pool2d(image, 3, (2, 1), 1)
    mean = functional.avg_pool2d(image, 3, (2, 1), 1, count_include_pad=count_include_pad)
    assert_close(pooling.max_pool2d(x, *attributes), largest.permute(0, 2, 3, 1))
    actual = pooling.average_pool2d(x, *attributes, count_include_pad)
    assert_close(actual, mean.permute(0, 2, 3, 1))


@pytest.mark.parametrize(("shape", "pool_size", "strides", "padding"), CASES_1D)
def test_pool1d_is_pool2d_over_one_row(shape, pool_size, strides, padding):
    rng = np.random.default_rng(2)
    x = rng.standard_normal(shape)
    tensor = torch.tensor(x, requires_grad=True)
    attributes = attributes_2d(pool_size, strides, padding)
    expected = torch_max(tensor[:, None], *attributes)[:, 0]
    mean = torch_average(tensor[:, None], *attributes, False)[:, 0]
    dy = rng.standard_normal(expected.shape)
    [max_dx] = torch.autograd.grad(expected, tensor, torch.tensor(dy))
    [mean_dx] = torch.autograd.grad(mean, tensor, torch.tensor(dy))

    y = pooling.max_pool1d(x, pool_size, strides, padding)
    assert_close(y, expected.detach())
    assert_close(pooling.max_pool1d_gradient(x, y, dy, pool_size, strides, padding), max_dx)
    options = (pool_size, strides, padding, False)
    assert_close(pooling.average_pool1d(x, *options), mean.detach())
    assert_close(pooling.average_pool1d_gradient(dy, shape, *options), mean_dx)


def test_gradients_match_finite_differences():
    rng = np.random.default_rng(3)
    x = rng.permutation(2 * 7 * 6 * 2).reshape(2, 7, 6, 2) / 168.0
    attributes = ((3, 2), (2, 2), ((1, 1), (0, 1)))
    y = pooling.max_pool2d(x, *attributes)
    dy = rng.standard_normal(y.shape)
    dx = pooling.max_pool2d_gradient(x, y, dy, *attributes)
    numerical = numerical_gradient(
        lambda: float((pooling.max_pool2d(x, *attributes) * dy).sum()), x
    )
    assert_close(dx, numerical, 1e-8)
    dx = pooling.average_pool2d_gradient(dy, x.shape, *attributes, False)
    numerical = numerical_gradient(
        lambda: float((pooling.average_pool2d(x, *attributes, False) * dy).sum()), x
    )
    assert_close(dx, numerical, 1e-8)


@pytest.mark.parametrize(("shape", "pool_size", "strides", "padding"), CASES_2D)
def test_float32_stays_float32(shape, pool_size, strides, padding):
    x = np.ones(shape, np.float32)
    attributes = (pool_size, strides, padding)
    y = pooling.max_pool2d(x, *attributes)
    assert_float32(y)
    assert_float32(pooling.max_pool2d_gradient(x, y, y, *attributes))
    for count_include_pad in (False, True):
        y = pooling.average_pool2d(x, *attributes, count_include_pad)
        assert_float32(y)
        assert_float32(pooling.average_pool2d_gradient(y, shape, *attributes, count_include_pad))


@pytest.mark.parametrize("axes", [1, (1, 2)])
def test_global_max_pool_shares_among_equals(axes):
    x = np.random.default_rng(4).integers(0, 3, (2, 4, 3, 5)).astype(float)
    tensor = torch.tensor(x, requires_grad=True)
    expected = torch.amax(tensor, axes, keepdim=True)
    dy = np.random.default_rng(5).standard_normal(expected.shape)
    expected.backward(torch.tensor(dy))
    y = x.max(axis=axes, keepdims=True)
    assert_close(pooling.global_max_pool_gradient(x, y, dy, axes), tensor.grad)
    single = [array.astype(np.float32) for array in (x, y, dy)]
    assert_float32(pooling.global_max_pool_gradient(*single, axes))


@pytest.mark.parametrize(("steps", "channels"), [(1, 2), (2, 1)])
def test_masked_mean_counts_valid_steps(steps, channels):
    rng = np.random.default_rng(6)
    mask = rng.random((3, 5)) < 0.6
    mask[:, 0] = True
    shape = (3, 5, 2) if steps == 1 else (3, 2, 5)
    x = rng.standard_normal(shape)
    tensor = torch.tensor(x, requires_grad=True)
    valid = torch.tensor(mask).unsqueeze(channels)
    expected = (tensor * valid).sum(steps, keepdim=True) / valid.sum(steps, keepdim=True)
    dy = rng.standard_normal(expected.shape)
    expected.backward(torch.tensor(dy))

    assert_close(pooling.masked_mean(x, mask, steps, channels, True), expected.detach())
    squeezed = pooling.masked_mean(x, mask, steps, channels, False)
    assert_close(squeezed, expected.detach().squeeze(steps))
    assert_close(pooling.masked_mean_gradient(dy, mask, steps, channels), tensor.grad)
    single = x.astype(np.float32)
    y = pooling.masked_mean(single, mask, steps, channels, True)
    assert_float32(y)
    assert_float32(pooling.masked_mean_gradient(y, mask, steps, channels))

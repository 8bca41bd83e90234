"""NumPy convolutions against torch, in float64."""

import numpy as np
import pytest
import torch
from numpy_kernel_checks import assert_close, assert_float32, numerical_gradient
from torch.nn import functional

from specc.backends.numpy.prelude import convolution

NONE = ((0, 0), (0, 0))

# input shape, kernel shape, strides, padding, dilation, groups
CASES_2D = [
    ((2, 7, 6, 3), (3, 3, 3, 4), (1, 1), NONE, (1, 1), 1),
    ((2, 7, 6, 3), (3, 2, 3, 4), (2, 1), ((1, 2), (0, 1)), (1, 1), 1),
    ((1, 9, 10, 2), (3, 3, 2, 5), (1, 2), ((2, 1), (3, 0)), (2, 3), 1),
    ((3, 9, 8, 1), (2, 1, 1, 2), (4, 3), NONE, (1, 1), 1),
    ((2, 6, 6, 4), (3, 3, 2, 6), (2, 2), ((1, 1), (0, 1)), (1, 2), 2),
    ((2, 5, 5, 3), (2, 3, 1, 6), (1, 1), ((1, 0), (1, 1)), (1, 1), 3),
    ((2, 5, 4, 6), (1, 1, 6, 3), (1, 1), NONE, (1, 1), 1),
    ((2, 5, 4, 6), (1, 1, 6, 3), (2, 3), NONE, (1, 1), 1),
    ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1), NONE, (1, 1), 1),
    ((2, 1, 3, 2), (3, 3, 2, 2), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
]

CASES_1D = [
    ((2, 9, 3), (3, 3, 4), 1, (0, 0), 1, 1),
    ((2, 9, 3), (4, 3, 2), 2, (2, 1), 1, 1),
    ((2, 11, 4), (3, 2, 6), 1, (4, 0), 2, 2),
    ((3, 8, 2), (2, 2, 3), 5, (0, 0), 1, 1),
    ((1, 1, 1), (1, 1, 1), 1, (0, 0), 1, 1),
]

# input shape, kernel shape, strides, padding, dilation
CASES_DEPTHWISE = [
    ((2, 7, 6, 3), (3, 3, 3, 1), (1, 1), NONE, (1, 1)),
    ((2, 7, 6, 3), (3, 2, 3, 2), (2, 3), ((1, 2), (0, 1)), (1, 1)),
    ((1, 9, 8, 2), (2, 3, 2, 3), (1, 1), ((0, 1), (2, 0)), (3, 2)),
    ((2, 1, 1, 1), (1, 1, 1, 1), (1, 1), NONE, (1, 1)),
]


def leaf(array):
    return torch.tensor(array, requires_grad=True)


def torch_conv2d(x, kernel, strides, padding, dilation, groups):
    (top, bottom), (left, right) = padding
    image = functional.pad(x.permute(0, 3, 1, 2), (left, right, top, bottom))
    y = functional.conv2d(
        image, kernel.permute(3, 2, 0, 1), None, strides, 0, dilation, groups=groups
    )
    return y.permute(0, 2, 3, 1)


def torch_conv1d(x, kernel, strides, padding, dilation, groups):
    signal = functional.pad(x.permute(0, 2, 1), padding)
    y = functional.conv1d(signal, kernel.permute(2, 1, 0), None, strides, 0, dilation, groups)
    return y.permute(0, 2, 1)


def torch_depthwise(x, kernel, strides, padding, dilation):
    height, width, channels, multiplier = kernel.shape
    filters = kernel.reshape(height, width, 1, channels * multiplier)
    return torch_conv2d(x, filters, strides, padding, dilation, channels)


FAMILIES = {
    "conv2d": (torch_conv2d, CASES_2D),
    "conv1d": (torch_conv1d, CASES_1D),
    "depthwise_conv2d": (torch_depthwise, CASES_DEPTHWISE),
}
CASES = [
    pytest.param(name, case[0], case[1], case[2:], id=f"{name}-{number}")
    for name, (_, cases) in FAMILIES.items()
    for number, case in enumerate(cases)
]


def kernels(name):
    """The forward, input gradient and kernel gradient functions, with groups as last argument."""

    def one(suffix):
        def call(*arguments, groups=1):
            *tensors, strides, padding, dilation = arguments
            options = {"strides": strides, "padding": padding, "dilation": dilation}
            if groups == 1:
                return getattr(convolution, name + suffix)(*tensors, **options)
            return getattr(convolution, f"grouped_{name}{suffix}")(*tensors, groups, **options)

        if name == "depthwise_conv2d":
            return getattr(convolution, name + suffix)
        return lambda *arguments: call(*arguments[:-1], groups=arguments[-1])

    return [one(suffix) for suffix in ("", "_input_gradient", "_kernel_gradient")]


@pytest.mark.parametrize(("name", "input_shape", "kernel_shape", "attributes"), CASES)
def test_matches_torch(name, input_shape, kernel_shape, attributes):
    forward, input_gradient, kernel_gradient = kernels(name)
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal(input_shape), rng.standard_normal(kernel_shape)
    torch_x, torch_kernel = leaf(x), leaf(kernel)
    expected = FAMILIES[name][0](torch_x, torch_kernel, *attributes)
    dy = rng.standard_normal(expected.shape)
    expected.backward(torch.tensor(dy))

    assert_close(forward(x, kernel, *attributes), expected.detach())
    assert_close(input_gradient(dy, kernel, input_shape, *attributes), torch_x.grad)
    assert_close(kernel_gradient(x, dy, kernel_shape, *attributes), torch_kernel.grad)


@pytest.mark.parametrize(("name", "input_shape", "kernel_shape", "attributes"), CASES)
def test_float32_stays_float32(name, input_shape, kernel_shape, attributes):
    forward, input_gradient, kernel_gradient = kernels(name)
    x, kernel = np.ones(input_shape, np.float32), np.ones(kernel_shape, np.float32)
    y = forward(x, kernel, *attributes)
    assert_float32(y)
    assert_float32(input_gradient(y, kernel, input_shape, *attributes))
    assert_float32(kernel_gradient(x, y, kernel_shape, *attributes))


@pytest.mark.parametrize("name", list(FAMILIES))
def test_gradients_match_finite_differences(name):
    input_shape, kernel_shape, *attributes = FAMILIES[name][1][1]
    forward, input_gradient, kernel_gradient = kernels(name)
    rng = np.random.default_rng(1)
    x, kernel = rng.standard_normal(input_shape), rng.standard_normal(kernel_shape)
    dy = rng.standard_normal(forward(x, kernel, *attributes).shape)

    def objective():
        return float(np.sum(forward(x, kernel, *attributes) * dy))

    dx = input_gradient(dy, kernel, input_shape, *attributes)
    dkernel = kernel_gradient(x, dy, kernel_shape, *attributes)
    assert_close(dx, numerical_gradient(objective, x), 1e-8)
    assert_close(dkernel, numerical_gradient(objective, kernel), 1e-8)


def test_arguments_are_left_unchanged():
    rng = np.random.default_rng(2)
    x, kernel = rng.standard_normal((2, 4, 4, 2)), rng.standard_normal((1, 1, 2, 2))
    copies = x.copy(), kernel.copy()
    attributes = ((1, 1), NONE, (1, 1))
    y = convolution.conv2d(x, kernel, *attributes)
    y += 1.0
    convolution.conv2d_input_gradient(y, kernel, x.shape, *attributes)
    convolution.conv2d_kernel_gradient(x, y, kernel.shape, *attributes)
    assert np.array_equal(x, copies[0])
    assert np.array_equal(kernel, copies[1])


def test_a_large_batch_is_the_same_image_by_image():
    rng = np.random.default_rng(3)
    x, kernel = rng.standard_normal((40, 30, 30, 4)), rng.standard_normal((3, 3, 4, 2))
    attributes = ((1, 1), ((1, 1), (1, 1)), (1, 1))
    windows = convolution.image_windows(x, (3, 3), *attributes)
    assert len(convolution.image_blocks(windows)) == 2
    y = convolution.conv2d(x, kernel, *attributes)
    single = [convolution.conv2d(image[None], kernel, *attributes) for image in x]
    assert_close(y, np.concatenate(single))
    dkernel = convolution.conv2d_kernel_gradient(x, y, kernel.shape, *attributes)
    parts = [
        convolution.conv2d_kernel_gradient(image[None], dy[None], kernel.shape, *attributes)
        for image, dy in zip(x, y, strict=True)
    ]
    assert_close(dkernel, sum(parts))


def test_an_empty_batch_gives_an_empty_result():
    y = convolution.conv2d(np.zeros((0, 5, 5, 2)), np.ones((3, 3, 2, 4)))
    assert y.shape == (0, 3, 3, 4)

"""The fast NumPy kernels take what the textbook's do, and compute the same."""

import ast
from pathlib import Path

import numpy as np
import pytest

from specc.backends.numpy import prelude, prelude_fast
from specc.backends.numpy.prelude import activations, attention, convolution, normalization
from specc.backends.numpy.prelude_fast import activations as fast_activations
from specc.backends.numpy.prelude_fast import attention as fast_attention
from specc.backends.numpy.prelude_fast import convolution as fast_convolution
from specc.backends.numpy.prelude_fast import normalization as fast_normalization
from specc.backends.numpy.prelude_fast import products as fast_products
from tests.ops.numpy_kernel_checks import assert_close, assert_float32


def functions(package):
    """{name: definition} of all functions of a package of kernels."""
    trees = [
        ast.parse(path.read_text("utf-8")) for path in Path(package.__file__).parent.glob("*.py")
    ]
    return {n.name: n for tree in trees for n in tree.body if isinstance(n, ast.FunctionDef)}


TEXTBOOK, FAST = functions(prelude), functions(prelude_fast)


@pytest.mark.parametrize("name", FAST)
def test_every_function_says_what_it_does(name):
    assert ast.get_docstring(FAST[name])
    assert FAST[name].end_lineno - FAST[name].lineno < 60


@pytest.mark.parametrize("name", sorted(TEXTBOOK.keys() & FAST.keys()))
def test_a_fast_kernel_takes_the_arguments_of_the_textbook_in_their_order(name):
    wanted = [each.arg for each in TEXTBOOK[name].args.args]
    given = [each.arg for each in FAST[name].args.args]
    assert given[: len(wanted)] == wanted


def draw(*shape, dtype=np.float64):
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(dtype)


OPTIONS = [
    {},
    {"padding": ((1, 1), (1, 1))},
    {"padding": ((0, 1), (2, 0))},
    {"strides": (2, 2), "padding": ((0, 1), (0, 1))},
    {"dilation": (2, 1)},
    {"padding": ((3, 3), (3, 3))},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [9, 30])
def test_convolutions(options, channels, size):
    x, kernel = draw(5, size, size + 1, channels), draw(3, 2, channels, 4)
    y = convolution.conv2d(x, kernel, **options)
    bias = draw(4)
    assert_close(fast_convolution.conv2d(x, kernel, **options), y)
    found = fast_convolution.conv2d(x, kernel, **options, bias=bias, relu=True)
    assert_close(found, np.maximum(y + bias, 0))
    dy = draw(*y.shape)
    assert_close(
        fast_convolution.conv2d_input_gradient(dy, kernel, x.shape, **options),
        convolution.conv2d_input_gradient(dy, kernel, x.shape, **options),
    )
    assert_close(
        fast_convolution.conv2d_kernel_gradient(x, dy, kernel.shape, **options),
        convolution.conv2d_kernel_gradient(x, dy, kernel.shape, **options),
    )


@pytest.mark.parametrize("shape", [(300, 7), (9, 40, 5), (6, 20, 19, 16)])
@pytest.mark.parametrize("affine", [True, False])
def test_normalizations(shape, affine):
    x, dy = draw(*shape), draw(*shape)[::-1]
    gamma, beta = (draw(shape[-1]), draw(shape[-1])) if affine else (None, None)
    rest, last = tuple(range(len(shape) - 1)), (len(shape) - 1,)
    found = fast_normalization.channel_norm(x, gamma, beta, 1e-3)
    wanted = normalization.batch_norm(x, gamma, beta, rest, 1e-3)
    for one, other in zip(found, wanted, strict=True):
        assert_close(one, other.reshape(one.shape))
    for one, other in zip(
        fast_normalization.channel_norm_gradient(dy, found[1], gamma, found[4]),
        normalization.batch_norm_gradient(dy, wanted[1], gamma, wanted[4], rest),
        strict=True,
    ):
        assert_close(one, other)
    found = fast_normalization.last_axis_norm(x, gamma, beta, 1e-3)
    for one, other in zip(found, normalization.layer_norm(x, gamma, beta, last, 1e-3), strict=True):
        assert_close(one, other)
    for one, other in zip(
        fast_normalization.last_axis_norm_gradient(dy, found[1], gamma, found[2]),
        normalization.layer_norm_gradient(dy, found[1], gamma, found[2], last),
        strict=True,
    ):
        assert_close(one, other)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("masked", [None, (3, 1, 1, 6), (3, 1, 5, 6)])
def test_attention(causal, masked):
    query, key, value = draw(3, 2, 5, 4), draw(3, 2, 6, 4), draw(3, 2, 6, 3)
    mask = None if masked is None else draw(*masked) > 0.5
    wanted = attention.scaled_dot_product_attention(query, key, value, mask, causal)
    found = fast_attention.scaled_dot_product_attention(query, key, value, mask, causal)
    dy = draw(*wanted[0].shape)
    wanted += attention.scaled_dot_product_attention_gradient(dy, wanted[1], query, key, value)
    found += fast_attention.scaled_dot_product_attention_gradient(dy, found[1], query, key, value)
    for one, other in zip(found, wanted, strict=True):
        assert_close(one, other)


def test_gelu_in_both_precisions():
    x, dy = draw(3, 20000) * 3, draw(3, 20000)
    assert_close(fast_activations.gelu(x), activations.gelu(x))
    slope = activations.gelu_gradient(dy, x)
    assert_close(fast_activations.gelu_gradient(dy, x), slope)
    short = x.astype(np.float32), dy.astype(np.float32)
    assert_float32((fast_activations.gelu(short[0]), fast_activations.gelu_gradient(*short[::-1])))
    assert_close(fast_activations.gelu(short[0]), activations.gelu(x), 5e-7)
    assert_close(fast_activations.gelu_gradient(short[1], short[0]), slope, 1e-6)
    assert np.shares_memory(fast_activations.gelu_gradient(dy, x, out=dy), dy)


@pytest.mark.parametrize(
    "name", [n for n, f in FAST.items() if "out" in [a.arg for a in f.args.args]]
)
def test_a_result_is_whole_wherever_it_may_be_written(name):
    """The place may be a part of a larger array, as the gradient of a padded pool is."""
    rng = np.random.default_rng(0)
    kernel = {**vars(fast_activations), **vars(fast_products), **vars(fast_normalization)}[name]
    arrays = [np.ascontiguousarray(each) for each in rng.normal(size=(2, 3, 5, 6, 4))]
    if "norm" in name:  # gamma, and a deviation for each channel or each position
        shape = (4,) if name.startswith("channel") else (3, 5, 6, 1)
        arrays += [rng.normal(size=4), rng.normal(size=shape)]
    part = np.zeros((3, 7, 8, 4))[:, 1:6, 1:7]
    part[...] = arrays[0]
    expected, found = kernel(*arrays), kernel(part, *arrays[1:], out=part)
    several = isinstance(expected, tuple)
    for a, b in zip(expected, found, strict=True) if several else [(expected, found)]:
        np.testing.assert_allclose(b, a, rtol=1e-12)

"""NumPy activations against torch, in float64."""

import math

import numpy as np
import pytest
import torch
from numpy_kernel_checks import assert_close, assert_float32
from torch.nn import functional

from specc.backends.numpy.prelude import activations

# name: (torch's function, further arguments, whether the gradient reads x or y)
ACTIVATIONS = {
    "relu": (functional.relu, (), "y"),
    "leaky_relu": (functional.leaky_relu, (0.2,), "x"),
    "elu": (functional.elu, (0.7,), "y"),
    "sigmoid": (torch.sigmoid, (), "y"),
    "silu": (functional.silu, (), "x"),
    "tanh": (torch.tanh, (), "y"),
    "softplus": (lambda x: functional.softplus(x, threshold=1000.0), (), "x"),
    "softmax": (torch.softmax, (1,), "y"),
    "log_softmax": (torch.log_softmax, (-1,), "y"),
    "gelu": (functional.gelu, (), "x"),
    "gelu_tanh": (lambda x: functional.gelu(x, approximate="tanh"), (), "x"),
}


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (2, 7, 4)])
@pytest.mark.parametrize("scale", [0.1, 1.0, 8.0])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_matches_torch(name, scale, shape):
    reference, arguments, saved = ACTIVATIONS[name]
    rng = np.random.default_rng(0)
    x = scale * rng.standard_normal(shape)
    x.flat[0] = 0.0
    tensor = torch.tensor(x, requires_grad=True)
    expected = reference(tensor, *arguments)
    dy = rng.standard_normal(shape)
    expected.backward(torch.tensor(dy))

    y = getattr(activations, name)(x, *arguments)
    source = y if saved == "y" else x
    dx = getattr(activations, name + "_gradient")(dy, source, *arguments)
    assert_close(y, expected.detach())
    # A softmax over one class has no gradient: torch's and ours are rounding noise of dy.
    noise = 1e-15 if shape == (1, 1) and "softmax" in name else 0.0
    assert np.abs(dx - tensor.grad.numpy()).max() <= 1e-12 * tensor.grad.abs().max() + noise


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_float32_stays_float32(name):
    _, arguments, saved = ACTIVATIONS[name]
    x = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)
    y = getattr(activations, name)(x, *arguments)
    assert_float32(y)
    source = y if saved == "y" else x
    assert_float32(getattr(activations, name + "_gradient")(x, source, *arguments))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_large_inputs_are_finite(name):
    _, arguments, saved = ACTIVATIONS[name]
    x = np.array([[-1000.0, 1000.0, 0.0]])
    with np.errstate(all="raise", under="ignore"):
        y = getattr(activations, name)(x, *arguments)
        source = y if saved == "y" else x
        dx = getattr(activations, name + "_gradient")(np.ones_like(x), source, *arguments)
    assert np.isfinite(y).all()
    assert np.isfinite(dx).all()


def test_erf_is_accurate_everywhere():
    sizes = np.concatenate([np.linspace(0.0, 7.0, 20001), np.logspace(-300, 1, 2001)])
    x = np.concatenate([sizes, -sizes, [np.inf, -np.inf, 5e-324]])
    expected = np.array([math.erf(value) for value in x])
    error = np.abs(activations.erf(x) - expected)
    assert (error <= 1e-15 * np.abs(expected)).all()


def test_erf_in_float32():
    x = np.linspace(-5, 5, 2001, dtype=np.float32)
    expected = np.array([math.erf(value) for value in x])
    assert np.abs(activations.erf(x) - expected).max() < 3e-7

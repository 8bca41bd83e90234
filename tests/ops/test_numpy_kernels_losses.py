"""NumPy losses against torch in float64, the probability forms as Keras defines them."""

import numpy as np
import pytest
import torch
from numpy_kernel_checks import assert_close, assert_float32
from torch.nn import functional

from specc.backends.numpy.prelude import losses

EPSILON = 1e-7
SHAPES = [(1, 1), (4, 3), (2, 5, 7)]
ELEMENTWISE = {
    "mean_squared_error": (functional.mse_loss, ()),
    "mean_absolute_error": (functional.l1_loss, ()),
    "huber": (functional.huber_loss, (0.6,)),
}


def check(name, reference, prediction, arguments):
    """Values and gradient of the loss `name` equal those of `reference(prediction) -> values`."""
    tensor = torch.tensor(prediction, requires_grad=True)
    expected = reference(tensor)
    weights = np.random.default_rng(7).uniform(0.5, 1.5, expected.shape)
    (expected * torch.tensor(weights)).sum().backward()

    values = getattr(losses, name)(prediction, *arguments)
    gradient = getattr(losses, name + "_gradient")(prediction, *arguments, weights=weights)
    assert_close(values, expected.detach())
    assert_close(gradient, tensor.grad)


def probabilities(shape):
    """Rows that do not quite sum to 1, with values that clipping changes."""
    p = np.random.default_rng(0).dirichlet(np.ones(shape[-1]), shape[:-1]) * 0.9
    p.reshape(-1, shape[-1])[0, 0] = 1e-9
    return p


def smoothed(target, amount, classes):
    return torch.tensor(target) * (1 - amount) + amount / classes


@pytest.mark.parametrize("shape", [(5,), *SHAPES])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_regression_losses_match_torch(name, shape):
    function, arguments = ELEMENTWISE[name]
    rng = np.random.default_rng(0)
    prediction, target = rng.standard_normal(shape), rng.standard_normal(shape)
    if len(shape) > 1 and shape[-1] > 1:
        target.flat[0] = prediction.flat[0]

    def reference(tensor):
        keywords = {"delta": arguments[0]} if arguments else {}
        values = function(tensor, torch.tensor(target), reduction="none", **keywords)
        return values.mean(dim=-1) if len(shape) > 1 else values

    check(name, reference, prediction, (target, *arguments))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", SHAPES)
def test_binary_crossentropy(shape, smoothing):
    rng = np.random.default_rng(1)
    target = rng.integers(0, 2, shape).astype(float)
    logits = 3 * rng.standard_normal(shape)
    p = 1 / (1 + np.exp(-logits))
    if p.size > 1:
        p.flat[:2] = 0.0, 1.0
    smooth = torch.tensor(target) * (1 - smoothing) + smoothing / 2

    def from_probabilities(tensor):
        clipped = torch.clip(tensor, EPSILON, 1 - EPSILON)
        return functional.binary_cross_entropy(clipped, smooth, reduction="none").mean(dim=-1)

    def from_logits(tensor):
        values = functional.binary_cross_entropy_with_logits(tensor, smooth, reduction="none")
        return values.mean(dim=-1)

    check("binary_crossentropy", from_probabilities, p, (target, smoothing, EPSILON))
    check("binary_crossentropy_from_logits", from_logits, logits, (target, smoothing))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_binary_crossentropy_floored_is_torchs_own(smoothing):
    rng = np.random.default_rng(1)
    target, p = rng.integers(0, 2, (4, 6)).astype(float), rng.random((4, 6))
    p[0] = [0.0, 1.0, 0.0, 1.0, 1e-60, 1e-14]
    target[0] = [1, 0, 0, 1, 1, 1]
    smooth = torch.tensor(target) * (1 - smoothing) + smoothing / 2

    def reference(tensor):
        return functional.binary_cross_entropy(tensor, smooth, reduction="none").mean(dim=-1)

    check("binary_crossentropy_floored", reference, p, (target, smoothing))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(4, 3), (2, 5, 7)])
def test_categorical_crossentropy(shape, smoothing):
    rng = np.random.default_rng(2)
    target = rng.dirichlet(np.ones(shape[-1]), shape[:-1])
    target.reshape(-1, shape[-1])[0] *= 2
    smooth = smoothed(target, smoothing, shape[-1])

    def from_probabilities(tensor):
        p = tensor / tensor.sum(dim=-1, keepdim=True)
        return -(smooth * torch.log(torch.clip(p, EPSILON, 1 - EPSILON))).sum(dim=-1)

    def from_logits(tensor):
        return -(smooth * torch.log_softmax(tensor, dim=-1)).sum(dim=-1)

    p, logits = probabilities(shape), 4 * rng.standard_normal(shape)
    check("categorical_crossentropy", from_probabilities, p, (target, smoothing, EPSILON))
    check("categorical_crossentropy_from_logits", from_logits, logits, (target, smoothing))


@pytest.mark.parametrize("shape", [(4, 3), (2, 5, 7)])
def test_sparse_categorical_crossentropy(shape):
    rng = np.random.default_rng(3)
    labels = rng.integers(0, shape[-1], shape[:-1])
    labels.flat[0] = 0  # whose probability is clipped

    def from_probabilities(tensor):
        p = torch.clip(tensor / tensor.sum(dim=-1, keepdim=True), EPSILON, 1 - EPSILON)
        return -torch.log(p).gather(-1, torch.tensor(labels)[..., None])[..., 0]

    arguments = (labels, EPSILON)
    check("sparse_categorical_crossentropy", from_probabilities, probabilities(shape), arguments)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(4, 3), (2, 5, 7)])
def test_sparse_categorical_crossentropy_from_logits(shape, smoothing):
    rng = np.random.default_rng(4)
    labels = rng.integers(0, shape[-1], shape[:-1])

    def reference(tensor):
        rows, targets = tensor.reshape(-1, shape[-1]), torch.tensor(labels).reshape(-1)
        values = functional.cross_entropy(
            rows, targets, reduction="none", label_smoothing=smoothing
        )
        return values.reshape(shape[:-1])

    logits = 4 * rng.standard_normal(shape)
    check("sparse_categorical_crossentropy_from_logits", reference, logits, (labels, smoothing))


def test_hard_zeros_and_large_logits_are_finite():
    labels, target = np.array([1, 0]), np.array([[0.0, 1.0], [1.0, 0.0]])
    p, weights = np.array([[1.0, 0.0], [0.0, 1.0]]), np.ones(2)
    logits = np.array([[1000.0, -1000.0], [-1000.0, 1000.0]])
    cases = [
        ("sparse_categorical_crossentropy", p, (labels, EPSILON)),
        ("sparse_categorical_crossentropy_from_logits", logits, (labels, 0.0)),
        ("categorical_crossentropy", p, (target, 0.0, EPSILON)),
        ("categorical_crossentropy_from_logits", logits, (target, 0.0)),
        ("binary_crossentropy", p, (target, 0.0, EPSILON)),
        ("binary_crossentropy_from_logits", logits, (target, 0.0)),
    ]
    with np.errstate(all="raise", under="ignore"):
        for name, prediction, arguments in cases:
            values = getattr(losses, name)(prediction, *arguments)
            gradient = getattr(losses, name + "_gradient")(prediction, *arguments, weights=weights)
            assert np.isfinite(values).all()
            assert np.isfinite(gradient).all()


def test_float32_stays_float32():
    prediction = np.linspace(0.1, 0.9, 6, dtype=np.float32).reshape(2, 3)
    target, weights = np.eye(3, dtype=np.float32)[:2], np.ones(2, np.float32)
    labels = np.array([0, 2])
    cases = {
        "mean_squared_error": (target,),
        "mean_absolute_error": (target,),
        "huber": (target, 1.0),
        "binary_crossentropy": (target, 0.1, EPSILON),
        "binary_crossentropy_floored": (target, 0.1),
        "binary_crossentropy_from_logits": (target, 0.1),
        "categorical_crossentropy": (target, 0.1, EPSILON),
        "categorical_crossentropy_from_logits": (target, 0.1),
        "sparse_categorical_crossentropy": (labels, EPSILON),
        "sparse_categorical_crossentropy_from_logits": (labels, 0.1),
    }
    for name, arguments in cases.items():
        assert_float32(getattr(losses, name)(prediction, *arguments))
        assert_float32(getattr(losses, name + "_gradient")(prediction, *arguments, weights=weights))

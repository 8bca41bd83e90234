"""Gradient clipping: three backends alike, and equal to Keras and to torch, without a norm too."""

import math

import numpy as np
import pytest
from optimizer_runs import FRAMEWORKS

from specc.ir.graph import Configured
from specc.training.clipping import CLIPPINGS, emit_clipping
from specc.training.frameworks import TENSORFLOW

SHAPES = [(3, 4), (4,), (2, 3, 2)]


def gradients(scale):
    random = np.random.default_rng(1)
    return [scale * random.standard_normal(shape) for shape in SHAPES]


def clip(backend, arrays, *choices, conventions="keras"):
    chosen = [
        Configured(CLIPPINGS[kind].kind, {**CLIPPINGS[kind].defaults(conventions), **attributes})
        for kind, attributes in choices
    ]
    scope = {"math": math, "np": np, **_modules(backend)}
    exec(emit_clipping(chosen, FRAMEWORKS[backend]), scope)
    with np.errstate(invalid="ignore"):
        return [np.asarray(each) for each in scope["clip_gradients"](_tensors(backend, arrays))]


def _modules(backend):
    if backend == "torch":
        import torch

        return {"torch": torch}
    if backend == "tensorflow":
        import tensorflow as tf

        return {"tf": tf}
    return {}


def _tensors(backend, arrays):
    if backend == "torch":
        import torch

        return [torch.tensor(array) for array in arrays]
    if backend == "tensorflow":
        import tensorflow as tf

        return [tf.constant(array) for array in arrays]
    return [array.copy() for array in arrays]


def keras_clip(arrays, **arguments):
    """keras.optimizers' own clipping: these functions compute in the gradients' dtype."""
    import keras

    optimizer = keras.optimizers.SGD(**arguments)
    return [np.asarray(each) for each in optimizer._clip_gradients(_tensors("tensorflow", arrays))]


BACKENDS = ["numpy", "torch", "tensorflow"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_the_keras_convention_is_keras(backend, scale):
    arrays = gradients(scale)
    for choice, arguments in (
        (("global_norm", {"max_norm": 1.5}), {"global_clipnorm": 1.5}),
        (("norm", {"max_norm": 1.5}), {"clipnorm": 1.5}),
        (("value", {"limit": 0.7}), {"clipvalue": 0.7}),
    ):
        ours, theirs = clip(backend, arrays, choice), keras_clip(arrays, **arguments)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=3e-15 if "norm" in choice[0] else 1e-7)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_the_pytorch_convention_is_torch(backend, scale):
    import torch

    arrays = gradients(scale)
    parameters = [torch.nn.Parameter(torch.zeros(shape, dtype=torch.float64)) for shape in SHAPES]
    for parameter, array in zip(parameters, arrays, strict=True):
        parameter.grad = torch.tensor(array)
    torch.nn.utils.clip_grad_norm_(parameters, 1.5)
    ours = clip(backend, arrays, ("clip_grad_norm", {"max_norm": 1.5}), conventions="pytorch")
    for a, parameter in zip(ours, parameters, strict=True):
        np.testing.assert_allclose(a, parameter.grad.numpy(), rtol=3e-15)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
@pytest.mark.parametrize("backend", BACKENDS)
def test_norms_that_are_not_finite(backend, bad):
    import torch

    arrays = gradients(1.0)
    arrays[0][0, 0] = bad
    keras = clip(backend, arrays, ("global_norm", {"max_norm": 1.0}))
    assert all(np.isnan(each).all() for each in keras)
    parameters = [torch.nn.Parameter(torch.zeros(shape, dtype=torch.float64)) for shape in SHAPES]
    for parameter, array in zip(parameters, arrays, strict=True):
        parameter.grad = torch.tensor(array)
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    pytorch = clip(backend, arrays, ("global_norm", {"max_norm": 1.0}), conventions="pytorch")
    for a, parameter in zip(pytorch, parameters, strict=True):
        np.testing.assert_array_equal(a, parameter.grad.numpy())


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_of_zero_stay_zero(backend):
    arrays = [np.zeros(3), np.zeros((2, 2))]
    for kind in ("global_norm", "norm"):
        assert all((each == 0).all() for each in clip(backend, arrays, (kind, {"max_norm": 1.0})))


@pytest.mark.parametrize("backend", BACKENDS)
def test_clippings_apply_in_order_and_leave_the_gradients_as_they_are(backend):
    arrays = gradients(10.0)
    both = clip(backend, arrays, ("value", {"limit": 0.5}), ("global_norm", {"max_norm": 1.0}))
    assert math.sqrt(sum(float((each**2).sum()) for each in both)) == pytest.approx(1.0)
    assert arrays[0] is not both[0] and np.array_equal(arrays[0], gradients(10.0)[0])


def test_single_precision_stays_single():
    arrays = [each.astype(np.float32) for each in gradients(3.0)]
    for backend in BACKENDS:
        for choice in (
            ("global_norm", {"max_norm": 1.0}),
            ("norm", {"max_norm": 1.0}),
            ("value", {"limit": 0.3}),
        ):
            assert all(each.dtype == np.float32 for each in clip(backend, arrays, choice))


def test_repeated_rows_count_with_their_sum():
    import tensorflow as tf

    scope = {"tf": tf}
    chosen = [Configured("global_norm", {"max_norm": 1.0, "epsilon": 0.0, "poison": True})]
    exec(emit_clipping(chosen, TENSORFLOW), scope)
    rows = tf.IndexedSlices(tf.constant([[3.0], [1.0]]), tf.constant([2, 2]), [4, 1])
    (clipped,) = scope["clip_gradients"]([rows])
    assert clipped.numpy().ravel().tolist() == [0, 0, 1, 0]

"""Losses: every form against Keras or PyTorch, in value and gradient, in float64."""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from torch.nn import functional as F

from specc.backends.numpy.prelude import losses as numpy_losses
from specc.backends.torch import prelude_losses as torch_losses
from specc.backends.writer import render
from specc.ir.graph import Node, Value
from specc.ir.types import TensorType
from specc.ops.base import Sample, Site
from specc.ops.losses import LOSSES

BATCH = 6


def make_node(kind: str, sample: Sample) -> Node:
    """The node of a sample, its attributes filled in."""
    op = LOSSES[kind]
    attributes = {a.name: a.default_for(sample.conventions) for a in op.attributes}
    attributes |= sample.attributes
    output = op.infer(Site(sample.inputs, attributes, sample.conventions))
    inputs = tuple(Value(p.name, t) for p, t in zip(op.ports, sample.inputs, strict=True))
    return Node(kind, "loss", inputs, (Value("loss", output),), attributes)


def sizes(kind: TensorType) -> tuple[int, ...]:
    return (BATCH, *kind.shape[1:])


def make_arrays(node: Node, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A prediction and a target that mean something to the loss."""
    rng = np.random.default_rng(seed)
    prediction = rng.standard_normal(sizes(node.inputs[0].type))
    wanted, shape = node.inputs[1].type.dtype, sizes(node.inputs[1].type)
    axis = node.attributes.get("axis", -1)
    logits = node.attributes.get("from_logits", True)
    if node.op == "binary_crossentropy" and not logits:
        prediction = 1 / (1 + np.exp(-prediction))
    if "categorical" in node.op and not logits:
        prediction = np.exp(prediction)
        prediction /= prediction.sum(axis=axis, keepdims=True)
        if node.op == "categorical_crossentropy":  # it divides by the sum, as Keras' own does
            prediction *= 1.5
    if node.op == "sparse_categorical_crossentropy":
        target = rng.integers(0, prediction.shape[axis], shape)
    elif node.op == "categorical_crossentropy":
        target = rng.random(shape)
        target /= target.sum(axis=axis, keepdims=True)
        if wanted == "int":
            target = (target == target.max(axis=axis, keepdims=True)).astype(int)
    elif node.op == "binary_crossentropy":
        target = rng.integers(0, 2, shape) if wanted == "int" else rng.random(shape)
    else:
        target = rng.integers(-2, 3, shape) if wanted == "int" else rng.standard_normal(shape)
    return prediction, target


def torch_form(node: Node, prediction: np.ndarray, target: np.ndarray) -> tuple:
    form = LOSSES[node.op].torch(node)
    x = torch.tensor(prediction, requires_grad=True)
    expression = render(form.expression, {"prediction": "x", "target": "t"})
    values = eval(
        expression,
        vars(torch_losses) | {"F": F, "torch": torch},
        {"x": x, "t": torch.tensor(target)},
    )
    values.backward(torch.tensor(weights_of(values.shape)))
    return values.detach().numpy(), x.grad.numpy()


def numpy_form(node: Node, prediction: np.ndarray, target: np.ndarray) -> tuple:
    op, names = LOSSES[node.op], vars(numpy_losses)
    fields = {"prediction": "x", "target": "t"}
    arrays = {"x": prediction, "t": target}
    values = eval(render(op.numpy(node).expression, fields), names, arrays)
    arrays["w"] = weights_of(values.shape)
    template = op.gradient_template(node)
    return values, eval(render(template, {"0": "x", "1": "t", "2": "w"}), names, arrays)


def weights_of(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).random(tuple(shape))


def oracle(node: Node, conventions: str, prediction: np.ndarray, target: np.ndarray) -> tuple:
    """What the framework of the conventions computes."""
    if conventions == "keras":
        return keras_oracle(node, prediction, target)
    return torch_oracle(node, prediction, target)


def keras_oracle(node: Node, prediction: np.ndarray, target: np.ndarray) -> tuple:
    a = {k: v for k, v in node.attributes.items() if k != "epsilon"}
    function, t = getattr(keras.losses, node.op), tf.constant(target)
    if node.op == "sparse_categorical_crossentropy" and a.pop("label_smoothing"):
        function = keras.losses.categorical_crossentropy  # Keras' own form has no smoothing
        t = tf.one_hot(t, prediction.shape[-1], dtype="float64")
        a["label_smoothing"] = node["label_smoothing"]
    if prediction.ndim == 1:  # Keras wants features
        prediction, t = prediction[:, None], t[:, None]
    x = tf.constant(prediction)
    with tf.GradientTape() as tape:
        tape.watch(x)
        values = function(t, x, **a)
        total = tf.reduce_sum(values * weights_of(values.shape))
    gradient = tape.gradient(total, x).numpy()
    return values.numpy(), gradient.reshape(len(prediction), *gradient.shape[1:])


def torch_oracle(node: Node, prediction: np.ndarray, target: np.ndarray) -> tuple:
    x, t = torch.tensor(prediction, requires_grad=True), torch.tensor(target)
    smoothing = node["label_smoothing"]
    if node.op == "binary_crossentropy":
        t = t.double() * (1 - smoothing) + smoothing / 2
        loss = F.binary_cross_entropy_with_logits if node["from_logits"] else F.binary_cross_entropy
        values = loss(x, t, reduction="none").mean(-1)
    else:
        if node.op == "categorical_crossentropy":
            t = t.double().movedim(node["axis"], 1)
        logits = x if node["from_logits"] else x.log()  # a softmax of logarithms normalises
        values = F.cross_entropy(
            logits.movedim(node["axis"], 1), t, reduction="none", label_smoothing=smoothing
        )
    values.backward(torch.tensor(weights_of(values.shape)))
    return values.detach().numpy(), x.grad.numpy()


CASES = [
    pytest.param(kind, sample, id=f"{kind}-{index}")
    for kind, op in LOSSES.items()
    for index, sample in enumerate(op.samples)
]


@pytest.mark.parametrize("form", [torch_form, numpy_form])
@pytest.mark.parametrize(("kind", "sample"), CASES)
def test_forms_compute_what_the_framework_does(kind, sample, form):
    node = make_node(kind, sample)
    prediction, target = make_arrays(node)
    values, gradient = form(node, prediction, target)
    expected, slope = oracle(node, sample.conventions, prediction, target)
    assert values.shape == sizes(node.outputs[0].type)
    np.testing.assert_allclose(values, expected, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(gradient, slope.reshape(gradient.shape), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("form", [torch_form, numpy_form])
@pytest.mark.parametrize("conventions", ["keras", "pytorch"])
def test_certain_probabilities_follow_the_convention(conventions, form):
    """At p = 0 and 1 Keras limits the probability, PyTorch its logarithm."""
    kind = TensorType("float", ("batch", 2))
    node = make_node("binary_crossentropy", Sample((kind, kind), {}, conventions))
    prediction = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 1.0]])
    target = np.array([[1.0, 0.0], [1.0, 0.0], [0.5, 0.25]])
    values, gradient = form(node, prediction, target)
    expected, slope = oracle(node, conventions, prediction, target)
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(gradient, slope, rtol=1e-12)


@pytest.mark.parametrize("form", [torch_form, numpy_form])
def test_an_error_of_zero_has_no_slope(form):
    kind = TensorType("float", ("batch", 2))
    node = make_node("mean_absolute_error", Sample((kind, kind)))
    _, gradient = form(node, np.zeros((1, 2)), np.array([[0.0, 1.0]]))
    assert gradient[0, 0] == 0 and gradient[0, 1] < 0

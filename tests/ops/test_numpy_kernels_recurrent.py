"""NumPy recurrent layers against torch's cells and layers, in float64."""

import numpy as np
import pytest
import torch
from numpy_kernel_checks import assert_close, assert_float32, numerical_gradient

from specc.backends.numpy.prelude import recurrent

BATCH, STEPS, FEATURES, UNITS = 4, 5, 3, 2
GATES = {"lstm": 4, "gru": 3, "gru_reset_before": 3, "simple_rnn": 1}
LAYERS = ["lstm", "gru", "gru_reset_before", "simple_rnn_tanh", "simple_rnn_relu"]

# Full, right-padded, left-padded with a gap, and empty sequences.
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]], bool)


class Case:
    """One layer with its arrays, run by the NumPy kernels and step by step by torch."""

    def __init__(self, layer, mask=None, reverse=False, initial=True, biased=True, dtype="float64"):
        self.name = layer.removesuffix("_tanh").removesuffix("_relu")
        self.activation = layer.removeprefix("simple_rnn_")
        self.mask, self.reverse = mask, reverse
        rng = np.random.default_rng(0)

        def draw(*shape):
            return rng.standard_normal(shape).astype(dtype)

        width = GATES[self.name] * UNITS
        self.arrays = {
            "x": draw(BATCH, STEPS, FEATURES),
            "kernel": draw(FEATURES, width),
            "recurrent_kernel": draw(UNITS, width),
        }
        if biased:
            self.arrays["bias"] = draw(2, width) if self.name == "gru" else draw(width)
        if biased and self.name in ("lstm", "simple_rnn"):
            self.arrays["recurrent_bias"] = draw(width)
        if initial:
            self.arrays["h0"] = draw(BATCH, UNITS)
        if initial and self.name == "lstm":
            self.arrays["c0"] = draw(BATCH, UNITS)
        self.d_outputs = draw(BATCH, STEPS, UNITS)
        self.d_states = [draw(BATCH, UNITS) for _ in range(2 if self.name == "lstm" else 1)]

    def forward(self):
        names = ["x", "kernel", "recurrent_kernel", "bias"]
        if self.name in ("lstm", "simple_rnn"):
            names.append("recurrent_bias")
        names += ["h0", "c0"] if self.name == "lstm" else ["h0"]
        activation = [self.activation] if self.name == "simple_rnn" else []
        arguments = [self.arrays.get(name) for name in names] + [self.mask, *activation]
        *results, saved = getattr(recurrent, self.name)(*arguments, reverse=self.reverse)
        return results, saved

    def gradients(self, saved, d_outputs, d_states):
        activation = [self.activation] if self.name == "simple_rnn" else []
        kernels = self.arrays["kernel"], self.arrays["recurrent_kernel"], self.mask, *activation
        function = getattr(recurrent, self.name + "_gradient")
        results = function(d_outputs, *d_states, saved, *kernels, reverse=self.reverse)
        names = ["x", "kernel", "recurrent_kernel", "bias", "h0", "c0"]
        return dict(zip(names, results, strict=False))

    def torch_step(self, x, h, c, leaves):
        inputs = x @ leaves["kernel"]
        product = h @ leaves["recurrent_kernel"]
        bias = leaves.get("bias", torch.zeros(1, dtype=torch.float64))
        if self.name == "gru":
            inputs, product = inputs + bias[0], product + bias[-1]
        else:
            inputs = inputs + bias + leaves.get("recurrent_bias", 0)
        if self.name == "simple_rnn":
            return getattr(torch, self.activation)(inputs + product), c
        if self.name == "lstm":
            i, f, g, o = (inputs + product).chunk(4, dim=-1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            return torch.sigmoid(o) * torch.tanh(c), c
        z = torch.sigmoid(inputs[:, :UNITS] + product[:, :UNITS])
        r = torch.sigmoid(inputs[:, UNITS : 2 * UNITS] + product[:, UNITS : 2 * UNITS])
        recalled = r * product[:, 2 * UNITS :]
        if self.name == "gru_reset_before":
            recalled = (r * h) @ leaves["recurrent_kernel"][:, 2 * UNITS :]
        return z * h + (1 - z) * torch.tanh(inputs[:, 2 * UNITS :] + recalled), c

    def torch_forward(self):
        leaves = {name: torch.tensor(a, requires_grad=True) for name, a in self.arrays.items()}
        zeros = torch.zeros(BATCH, UNITS, dtype=torch.float64)
        h, c, output = leaves.get("h0", zeros), leaves.get("c0", zeros), zeros
        outputs = [zeros] * STEPS
        for t in reversed(range(STEPS)) if self.reverse else range(STEPS):
            new_h, new_c = self.torch_step(leaves["x"][:, t], h, c, leaves)
            valid = torch.ones(BATCH, 1) > 0
            if self.mask is not None:
                valid = torch.tensor(self.mask[:, t, None])
            output = torch.where(valid, new_h, output)
            h, c = torch.where(valid, new_h, h), torch.where(valid, new_c, c)
            outputs[t] = output
        return leaves, (torch.stack(outputs, dim=1), h, c)[: 1 + len(self.d_states)]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("mask", [None, MASK], ids=["full", "masked"])
@pytest.mark.parametrize(("initial", "biased"), [(True, True), (False, False)])
@pytest.mark.parametrize("layer", LAYERS)
def test_matches_torch(layer, initial, biased, mask, reverse):
    case = Case(layer, mask, reverse, initial, biased)
    leaves, expected = case.torch_forward()
    cotangents = [torch.tensor(d) for d in (case.d_outputs, *case.d_states)]
    torch.autograd.backward(expected, cotangents)

    results, saved = case.forward()
    for result, reference in zip(results, expected, strict=True):
        assert_close(result, reference.detach())
    gradients = case.gradients(saved, case.d_outputs, case.d_states)
    for name, leaf in leaves.items():
        actual = gradients["bias" if name == "recurrent_bias" else name]
        assert_close(actual, leaf.grad)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_missing_cotangent_is_zero(layer):
    case = Case(layer, MASK)
    _, saved = case.forward()
    zeros = [np.zeros_like(d) for d in case.d_states]
    only_outputs = case.gradients(saved, case.d_outputs, [None] * len(zeros))
    only_states = case.gradients(saved, None, case.d_states)
    for name, gradient in case.gradients(saved, case.d_outputs, zeros).items():
        assert_close(only_outputs[name], gradient)
    no_outputs = np.zeros_like(case.d_outputs)
    for name, gradient in case.gradients(saved, no_outputs, case.d_states).items():
        assert_close(only_states[name], gradient)


@pytest.mark.parametrize("layer", LAYERS)
def test_gradients_match_finite_differences(layer):
    case = Case(layer, MASK, reverse=True)

    def objective():
        (outputs, *states), _ = case.forward()
        total = (outputs * case.d_outputs).sum()
        return float(total + sum((s * d).sum() for s, d in zip(states, case.d_states, strict=True)))

    gradients = case.gradients(case.forward()[1], case.d_outputs, case.d_states)
    for name in ("x", "recurrent_kernel", "bias", "h0"):
        assert_close(gradients[name], numerical_gradient(objective, case.arrays[name]), 1e-8)


@pytest.mark.parametrize("mask", [None, MASK], ids=["full", "masked"])
@pytest.mark.parametrize("layer", LAYERS)
def test_float32_stays_float32(layer, mask):
    case = Case(layer, mask, dtype="float32")
    results, saved = case.forward()
    assert_float32(tuple(results))
    assert_float32(tuple(case.gradients(saved, case.d_outputs, case.d_states).values()))


def torch_order(array, gates):
    """Keras' gate blocks on the last axis, in the order and orientation of torch's weights."""
    blocks = np.split(array, len(gates), axis=-1)
    return torch.tensor(np.concatenate([blocks[gate] for gate in gates], axis=-1).T)


@pytest.mark.parametrize("layer", ["lstm", "gru", "simple_rnn_tanh"])
def test_two_biases_are_the_layers_of_torch(layer):
    case = Case(layer, initial=False)
    module, gates = {
        "lstm": (torch.nn.LSTM, (0, 1, 2, 3)),
        "gru": (torch.nn.GRU, (1, 0, 2)),
        "simple_rnn_tanh": (torch.nn.RNN, (0,)),
    }[layer]
    net = module(FEATURES, UNITS, batch_first=True, dtype=torch.float64)
    bias = case.arrays["bias"]
    biases = bias if layer == "gru" else (bias, case.arrays["recurrent_bias"])
    arrays = case.arrays["kernel"], case.arrays["recurrent_kernel"], *biases
    with torch.no_grad():
        for parameter, array in zip(net.parameters(), arrays, strict=True):
            parameter.copy_(torch_order(array, gates))
    expected, _ = net(torch.tensor(case.arrays["x"]))
    (outputs, *_), _ = case.forward()
    assert_close(outputs, expected.detach())

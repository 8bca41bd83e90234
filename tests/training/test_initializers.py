"""Initial values: their formulas against those of the frameworks, and the table in a file."""

import inspect
import math

import numpy as np
import pytest

from specc.backends import prelude_shared
from specc.ir.graph import Initializer, Parameter
from specc.ops.attributes import AttributeProblem
from specc.training.initial_values import emit_initial_parameters
from specc.training.initializers import INITIALIZERS

KEY = prelude_shared.stream_key(1, "initial/layer.kernel")
SHAPE, FAN_IN, FAN_OUT = (3, 3, 64, 128), 3 * 3 * 64, 3 * 3 * 128
UNIFORM = {
    "glorot_uniform": math.sqrt(6 / (FAN_IN + FAN_OUT)),
    "xavier_uniform": math.sqrt(6 / (FAN_IN + FAN_OUT)),
    "he_uniform": math.sqrt(6 / FAN_IN),
    "lecun_uniform": math.sqrt(3 / FAN_IN),
    "kaiming_uniform": math.sqrt(6 / FAN_IN),
    "fan_in_uniform": math.sqrt(1 / FAN_IN),
    "uniform": 0.05,
}
NORMAL = {
    "glorot_normal": (math.sqrt(2 / (FAN_IN + FAN_OUT)), True),
    "he_normal": (math.sqrt(2 / FAN_IN), True),
    "lecun_normal": (math.sqrt(1 / FAN_IN), True),
    "variance_scaling": (math.sqrt(1 / FAN_IN), True),
    "xavier_normal": (math.sqrt(2 / (FAN_IN + FAN_OUT)), False),
    "kaiming_normal": (math.sqrt(2 / FAN_IN), False),
    "normal": (0.05, False),
    "truncated_normal": (0.05 * 0.87962566103423978, True),
}


@pytest.mark.parametrize("kind", UNIFORM)
def test_uniform_initializers_reach_their_limit_and_no_further(kind):
    values, limit = INITIALIZERS[kind].values(KEY, SHAPE, FAN_IN, FAN_OUT), UNIFORM[kind]
    assert values.shape == SHAPE and values.dtype == np.float64
    assert 0.9999 * limit < np.abs(values).max() <= limit
    assert abs(values.std() / (limit / math.sqrt(3)) - 1) < 0.01


@pytest.mark.parametrize("kind", NORMAL)
def test_normal_initializers_have_their_deviation_and_cut(kind):
    values = INITIALIZERS[kind].values(KEY, SHAPE, FAN_IN, FAN_OUT)
    stddev, cut = NORMAL[kind]
    assert abs(values.std() / stddev - 1) < 0.01
    largest = np.abs(values).max() / stddev
    assert (2.2 < largest <= 2 / 0.87962566103423978) if cut else largest > 4


def test_variances_are_those_of_the_frameworks():
    """The same mean square as torch.nn.init on torch's own layout, (out, in, height, width)."""
    import torch

    for kind, function in (
        ("xavier_uniform", torch.nn.init.xavier_uniform_),
        ("xavier_normal", torch.nn.init.xavier_normal_),
        ("kaiming_uniform", torch.nn.init.kaiming_uniform_),
        ("kaiming_normal", torch.nn.init.kaiming_normal_),
    ):
        theirs = function(torch.empty(128, 64, 3, 3, dtype=torch.float64)).numpy()
        ours = INITIALIZERS[kind].values(KEY, SHAPE, FAN_IN, FAN_OUT)
        assert abs(ours.std() / theirs.std() - 1) < 0.02, kind


@pytest.mark.parametrize(
    "nonlinearity", ["leaky_relu", "relu", "tanh", "selu", "linear", "sigmoid"]
)
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
def test_kaiming_gains_are_torchs(nonlinearity, mode):
    import torch

    chosen = {"a": 0.3, "mode": mode, "nonlinearity": nonlinearity}
    _, arguments = INITIALIZERS["kaiming_uniform"].call(chosen, 10, 20)
    assert arguments["fan"] == {"fan_in": 10, "fan_out": 20}[mode]
    assert arguments["gain"] == torch.nn.init.calculate_gain(nonlinearity, 0.3)


@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4), (3, 3, 2, 5)])
def test_orthogonal_factors(shape):
    values = INITIALIZERS["orthogonal"].values(KEY, shape).reshape(-1, shape[-1])
    gram = values @ values.T if values.shape[0] <= values.shape[1] else values.T @ values
    assert np.abs(gram - np.eye(len(gram))).max() < 1e-14


def test_simple_initializers():
    assert (INITIALIZERS["zeros"].values(KEY, (2, 3)) == 0).all()
    assert (INITIALIZERS["ones"].values(KEY, (2, 3)) == 1).all()
    assert (INITIALIZERS["constant"].values(KEY, (2,), attributes={"value": 0.3}) == 0.3).all()
    assert (INITIALIZERS["eye"].values(KEY, (2, 3)) == np.eye(2, 3)).all()
    bias = INITIALIZERS["unit_forget_bias"].values(KEY, (12,))
    assert bias.tolist() == [0] * 3 + [1] * 3 + [0] * 6


def test_the_two_meanings_of_truncated():
    row = INITIALIZERS["truncated_normal"]
    keras = row.values(KEY, (200000,), attributes=row.defaults("keras") | {"stddev": 0.5})
    pytorch = row.values(KEY, (200000,), attributes=row.defaults("pytorch") | {"stddev": 0.5})
    assert 0.999 < np.abs(keras).max() <= 1.0
    assert 1.9 < np.abs(pytorch).max() <= 2.0


def test_rows_and_prelude_functions_have_the_same_defaults():
    for kind, row in INITIALIZERS.items():
        for conventions in ("keras", "pytorch"):
            name, arguments = row.call(row.defaults(conventions), 3, 4)
            signature = inspect.signature(getattr(prelude_shared, name))
            bound = signature.bind(**arguments)
            bound.apply_defaults()
            for attribute in row.attributes:
                if attribute.name in bound.arguments:
                    stated = attribute.default_for(conventions)
                    assert bound.arguments[attribute.name] == stated, (kind, attribute.name)


@pytest.mark.parametrize(
    ("kind", "attributes", "shape", "message"),
    [
        ("uniform", {"low": 1.0, "high": 0.0}, (2,), "low 1 is above high 0"),
        ("truncated_normal", {"mean": 9.0, "cut": "absolute"}, (2,), "lies within the cut"),
        ("identity", {}, (2, 2, 2), "identity fills matrices, not shape (2, 2, 2)"),
        ("orthogonal", {}, (2,), "orthogonal needs two axes or more"),
        ("unit_forget_bias", {}, (6,), "bias of an LSTM, not (6,)"),
    ],
)
def test_what_cannot_be_drawn_is_refused(kind, attributes, shape, message):
    row = INITIALIZERS[kind]
    with pytest.raises(AttributeProblem) as caught:
        row.check(row.defaults("keras") | attributes)
        row.check_shape(shape)
    assert message in caught.value.message


def test_a_forget_gate_has_its_bias_in_an_lstm_only():
    row = INITIALIZERS["unit_forget_bias"]
    row.check_parameter("lstm", (8,))
    with pytest.raises(AttributeProblem, match="is for the parameters of lstm only"):
        row.check_parameter("dense", (8,))
    with pytest.raises(AttributeProblem, match="bias of an LSTM"):
        row.check_parameter("lstm", (8, 8))
    INITIALIZERS["zeros"].check_parameter("anything", (8,))


def kernel(shape, kind="glorot_uniform", conventions="keras"):
    return Parameter(
        "kernel", shape, Initializer(kind, INITIALIZERS[kind].defaults(conventions)), 9, 288
    )


def evaluate(parameters, seed):
    source, names = emit_initial_parameters(parameters)
    scope = {name: getattr(prelude_shared, name) for name in names} | {"np": np, "SEED": 0}
    exec(source, scope)
    return scope["initial_parameters"](seed), source


def test_the_emitted_table_gives_the_values_of_the_rows():
    parameters = [
        (
            f"layer_{kind}.kernel",
            kernel((8, 8) if kind != "unit_forget_bias" else (8,), kind, conventions),
        )
        for kind in INITIALIZERS
        for conventions in ("keras",)
    ]
    values, _ = evaluate(parameters, 5)
    assert list(values) == [path for path, _ in parameters]
    for path, parameter in parameters:
        row = INITIALIZERS[parameter.initializer.kind]
        key = prelude_shared.stream_key(5, f"initial/{path}")
        expected = row.values(key, parameter.shape, 9, 288, parameter.initializer.attributes)
        assert np.array_equal(values[path], expected), path


def test_a_layer_keeps_its_values_when_others_come_or_go():
    one, _ = evaluate([("a.kernel", kernel((3, 4)))], 0)
    two, _ = evaluate([("b.kernel", kernel((9, 4))), ("a.kernel", kernel((3, 4)))], 0)
    assert np.array_equal(one["a.kernel"], two["a.kernel"])
    assert not np.array_equal(
        one["a.kernel"], evaluate([("a.kernel", kernel((3, 4)))], 1)[0]["a.kernel"]
    )


def test_repeated_layers_share_their_lines_and_keep_their_order():
    parameters = [("stem.kernel", kernel((3, 3, 1, 32)))]
    for i in range(4):
        width = 4 if i else 2
        parameters.append((f"stage.{i}.conv.kernel", kernel((width, 4))))
        parameters += [
            (f"stage.{i}.inner.{j}.kernel", kernel((4, 4), "orthogonal")) for j in range(3)
        ]
    parameters.append(("head.kernel", kernel((4, 2))))
    values, source = evaluate(parameters, 0)
    assert list(values) == [path for path, _ in parameters]
    assert "for i in range(1, 4):" in source and "for j in range(3):" in source
    assert source.count("orthogonal()") == 2
    assert 'f"stage.{i}.inner.{j}.kernel"' in source.replace("'", '"')

"""Every optimizer, every convention: three backends alike, and equal to the frameworks' own."""

import ast

import numpy as np
import pytest
from optimizer_runs import (
    FRAMEWORKS,
    NAMES,
    STEPS,
    configured,
    difference,
    emitted,
    keras_results,
    problem,
    train,
)

from specc.ops.attributes import AttributeProblem
from specc.training.emit_optimizer import emit_optimizer
from specc.training.optimizers import OPTIMIZERS

DECAYING = (
    "ExponentialDecay",
    {"initial_learning_rate": 0.01, "decay_steps": 50, "decay_rate": 0.8},
)
VARIANTS = {
    "sgd": [{}, {"momentum": 0.8}, {"momentum": 0.8, "nesterov": True}],
    "momentum": [{}],
    "nesterov": [{}],
    "rmsprop": [
        {},
        {"centered": True},
        {"momentum": 0.5},
        {"momentum": 0.5, "centered": True, "epsilon": 1e-3},
    ],
    "adam": [{}, {"epsilon": 1e-3}, {"amsgrad": True, "beta_1": 0.8, "beta_2": 0.95}],
    "adamw": [{"weight_decay": 0.1}],
    "adagrad": [{}, {"epsilon": 1e-3}],
    "adadelta": [{}],
    "adamax": [{}, {"epsilon": 1e-3}],
    "nadam": [{}],
}
DECAYS = [
    {},
    {"weight_decay": 0.05},
    {"weight_decay": 0.05, "exclude_from_weight_decay": ("bias",)},
]
CASES = [
    (kind, {**variant, **decay})
    for kind, variants in VARIANTS.items()
    for variant in variants
    for decay in (DECAYS if variant is variants[0] else DECAYS[:1])
]
ids = [f"{kind}-{'-'.join(f'{k}={v}' for k, v in a.items())}" for kind, a in CASES]


def with_schedule(kind, conventions, attributes):
    from specc.ir.graph import Configured

    rate = Configured("exponential", {**DECAYING[1], "staircase": False})
    return configured(kind, conventions, learning_rate=rate, **attributes)


@pytest.mark.parametrize("conventions", ["keras", "pytorch"])
@pytest.mark.parametrize(("kind", "attributes"), CASES, ids=ids)
def test_three_backends_agree(kind, attributes, conventions):
    optimizer = with_schedule(kind, conventions, attributes)
    numpy, torch, tensorflow = (train(optimizer, b) for b in ("numpy", "torch", "tensorflow"))
    assert difference(torch, numpy) < STEPS * 1e-15
    assert difference(tensorflow, numpy) < STEPS * 1e-15


@pytest.mark.parametrize("conventions", ["keras", "pytorch"])
@pytest.mark.parametrize("kind", VARIANTS)
def test_single_precision_stays_near_double(kind, conventions):
    """With step scalars in double 200 steps lose 17 roundings, TensorFlow's kernels included."""
    optimizer = with_schedule(kind, conventions, {})
    exact = train(optimizer, "numpy")
    for backend in ("numpy", "torch", "tensorflow"):
        for single, double in zip(train(optimizer, backend, "float32"), exact, strict=True):
            assert np.linalg.norm(single - double) < 2e-6 * np.linalg.norm(double), backend


KERAS = {
    "sgd": "SGD",
    "momentum": "SGD",
    "nesterov": "SGD",
    "rmsprop": "RMSprop",
    "adam": "Adam",
    "adamw": "AdamW",
    "adagrad": "Adagrad",
    "adadelta": "Adadelta",
    "adamax": "Adamax",
    "nadam": "Nadam",
}


def keras_case(kind, attributes):
    arguments = {"learning_rate": DECAYING, **attributes}
    if kind in ("momentum", "nesterov"):
        arguments.update(momentum=0.9, nesterov=kind == "nesterov")
    if arguments.pop("exclude_from_weight_decay", None):
        arguments["exclude"] = [i for i, name in enumerate(NAMES) if "bias" in name]
    return (KERAS[kind], arguments, *problem())


@pytest.fixture(scope="module")
def keras_parameters():
    return keras_results([keras_case(*case) for case in CASES])


@pytest.mark.parametrize("number", range(len(CASES)), ids=ids)
def test_the_keras_convention_is_keras(number, keras_parameters):
    """Keras on its torch backend, whose optimizers are exact in float64."""
    kind, attributes = CASES[number]
    ours = train(with_schedule(kind, "keras", attributes), "numpy")
    assert difference(ours, keras_parameters[number]) < STEPS * 1e-15


def torch_optimizer(kind, parameters, attributes):
    import torch

    names = {"epsilon": "eps", "exclude_from_weight_decay": None, "learning_rate": None}
    arguments = {names.get(key, key): value for key, value in attributes.items()}
    arguments.pop(None, None)
    if kind in ("momentum", "nesterov"):
        arguments.update(momentum=0.9, nesterov=kind == "nesterov")
    betas = (arguments.pop("beta_1", 0.9), arguments.pop("beta_2", 0.999))
    if "adam" in kind:
        arguments["betas"] = betas
    cls = {"adamw": "AdamW", "nadam": "NAdam"}.get(kind, KERAS[kind])
    if "exclude_from_weight_decay" in attributes:
        decaying = [p for p, name in zip(parameters, NAMES, strict=True) if "bias" not in name]
        others = [p for p, name in zip(parameters, NAMES, strict=True) if "bias" in name]
        parameters = [{"params": decaying}, {"params": others, "weight_decay": 0.0}]
    return getattr(torch.optim, cls)(parameters, lr=0.01, foreach=False, **arguments)


@pytest.fixture
def double_by_default():
    """torch.optim.NAdam keeps its product of momenta in the default dtype."""
    import torch

    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(("kind", "attributes"), CASES, ids=ids)
def test_the_pytorch_convention_is_torch(kind, attributes, double_by_default):
    import torch

    start, noise = problem()
    parameters = [torch.nn.Parameter(torch.tensor(array)) for array in start]
    optimizer = torch_optimizer(kind, parameters, attributes)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.8 ** (step / 50))
    for added in noise:
        for parameter, extra in zip(parameters, added, strict=True):
            parameter.grad = parameter.detach() + torch.tensor(extra)
        optimizer.step()
        schedule.step()
    ours = train(with_schedule(kind, "pytorch", attributes), "numpy")
    assert difference(ours, [p.detach().numpy() for p in parameters]) < STEPS * 1e-15


def test_dampened_momentum_is_torchs():
    import torch

    start, noise = problem()
    parameters = [torch.nn.Parameter(torch.tensor(array)) for array in start]
    optimizer = torch.optim.SGD(parameters, lr=0.01, momentum=0.9, dampening=0.3)
    for added in noise:
        for parameter, extra in zip(parameters, added, strict=True):
            parameter.grad = parameter.detach() + torch.tensor(extra)
        optimizer.step()
    expected = [p.detach().numpy() for p in parameters]
    ours = configured("momentum", "pytorch", dampening=0.3, learning_rate=0.01)
    for backend in ("numpy", "torch", "tensorflow"):
        assert difference(train(ours, backend), expected) < STEPS * 1e-15


def test_frameworks_own_forms_are_used_where_they_are_exact():
    def source(kind, conventions, backend, **attributes):
        return emit_optimizer(
            configured(kind, conventions, **attributes), FRAMEWORKS[backend], NAMES
        )[0]

    for conventions in ("keras", "pytorch"):
        assert "torch.optim.Adam(parameters" in source("adam", conventions, "torch")
        assert "fused=True" in source("adam", conventions, "torch")
        assert "torch.optim.AdamW(parameters" in source("adamw", conventions, "torch")
        # What torch.optim does around this one operation takes longer than the operation.
        assert "parameter.sub_(gradient, alpha=rate)" in source("sgd", conventions, "torch")
        assert "ResourceApplyAdam(" in source("adam", conventions, "tensorflow")
    assert "torch.optim.AdamW(" in source("adam", "keras", "torch", weight_decay=0.1)
    assert "torch.optim.SGD(" in source("momentum", "pytorch", "torch")
    assert "torch.optim.RMSprop(" in source("rmsprop", "pytorch", "torch")
    assert "ResourceApplyKerasMomentum(" in source("momentum", "keras", "tensorflow")
    assert "ResourceApplyMomentum(" in source("momentum", "pytorch", "tensorflow")
    for kind in ("momentum", "rmsprop", "adagrad"):
        assert "torch.optim" not in source(kind, "keras", "torch")


def test_a_state_moves_between_backends_in_the_middle_of_a_run():
    """Slots are loaded in place; torch.optim's own count follows the step that it is given."""
    import torch

    optimizer = configured("adam", "keras", learning_rate=0.01)
    start, noise = problem()
    parameters = [array.copy() for array in start]
    ours = emitted(optimizer, "numpy")["Optimizer"](parameters)
    for step in range(100):
        gradients = [p + n for p, n in zip(parameters, noise[step], strict=True)]
        ours.update(gradients, ours.scalars(step))
    moved = [torch.nn.Parameter(torch.tensor(p)) for p in parameters]
    theirs = emitted(optimizer, "torch")["Optimizer"](moved)
    assert list(theirs.slots) == list(ours.slots) == ["m", "v"]
    for name, values in ours.slots.items():
        for target, value in zip(theirs.slots[name], values, strict=True):
            target.copy_(torch.tensor(value))
    for step in range(100, STEPS):
        gradients = [p.detach() + torch.tensor(n) for p, n in zip(moved, noise[step], strict=True)]
        theirs.update(gradients, theirs.scalars(step))
    expected = train(optimizer, "numpy")
    assert difference([p.detach().numpy() for p in moved], expected) < STEPS * 1e-15


def test_a_rate_can_be_given_for_a_step():
    cls = emitted(configured("sgd", "keras", learning_rate=0.5), "numpy")["Optimizer"]
    parameters = [np.ones(2)]
    optimizer = cls(parameters)
    optimizer.update([np.ones(2)], optimizer.scalars(0, rate=0.25))
    assert parameters[0].tolist() == [0.75, 0.75]


def test_a_repeated_row_of_an_embedding_counts_once_with_its_sum():
    """Keras on TensorFlow squares sparse gradients row by row: 1 + 4 for 3. The gradient is 3."""
    import tensorflow as tf

    cls = emitted(configured("adam", "keras"), "tensorflow")["Optimizer"]
    table = tf.Variable(np.zeros((4, 1)))
    optimizer = cls([table])
    rows = tf.IndexedSlices(tf.constant([[1.0], [2.0]], tf.float64), tf.constant([2, 2]), [4, 1])
    scalars = tuple(tf.constant(each, tf.float64) for each in optimizer.scalars(0))
    optimizer.update([tf.convert_to_tensor(rows)], scalars)
    assert np.allclose(optimizer.slots["v"][0].numpy().ravel(), [0, 0, 0.009, 0], rtol=1e-12)


@pytest.mark.parametrize("backend", ["numpy", "torch", "tensorflow"])
@pytest.mark.parametrize("kind", VARIANTS)
def test_emitted_source_is_self_contained(kind, backend):
    source, names = emit_optimizer(configured(kind, "keras"), FRAMEWORKS[backend], NAMES)
    tree = ast.parse(source)
    framework = {"numpy": "np", "torch": "torch", "tensorflow": "tf"}[backend]
    known = {"math", framework, "learning_rate", *names, *dir(__builtins__)}
    stored = {
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    arguments = {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    known |= {"list", "tuple", "int", "float", "zip", "enumerate", "range", "len"}
    assert used <= known | stored | arguments


def test_momentum_that_does_not_exist_cannot_look_ahead():
    with pytest.raises(AttributeProblem, match="nesterov needs momentum"):
        configured("sgd", "keras", nesterov=True)


def test_every_row_is_tested():
    assert set(VARIANTS) == set(OPTIMIZERS)

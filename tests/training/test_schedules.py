"""Schedules against those of Keras and torch, step by step, and their mistakes."""

import math

import pytest
from optimizer_runs import keras_results

from specc.ir.graph import Configured
from specc.ops.attributes import AttributeProblem
from specc.training.schedules import SCHEDULES, Rate, emit_schedule

STEPS = 60
EXPONENTIAL = {"initial_learning_rate": 0.3, "decay_steps": 7, "decay_rate": 0.9}
POLYNOMIAL = {
    "initial_learning_rate": 0.3,
    "decay_steps": 20,
    "end_learning_rate": 0.01,
    "power": 2.0,
}
COSINE = {"initial_learning_rate": 0.3, "decay_steps": 25}
WARM = {**COSINE, "initial_learning_rate": 0.02, "warmup_target": 0.5, "warmup_steps": 9}
PIECES = {"boundaries": (5, 20, 21), "values": (0.3, 0.2, 0.1, 0.05)}
KERAS = [
    ("exponential", EXPONENTIAL, "ExponentialDecay", {}),
    ("exponential", {**EXPONENTIAL, "staircase": True}, "ExponentialDecay", {}),
    ("inverse_time", EXPONENTIAL, "InverseTimeDecay", {}),
    ("inverse_time", {**EXPONENTIAL, "staircase": True}, "InverseTimeDecay", {}),
    ("polynomial", POLYNOMIAL, "PolynomialDecay", {}),
    ("polynomial", {**POLYNOMIAL, "cycle": True}, "PolynomialDecay", {}),
    ("cosine", COSINE, "CosineDecay", {}),
    ("cosine", {**COSINE, "alpha": 0.1}, "CosineDecay", {}),
    ("cosine", {**WARM, "alpha": 0.1}, "CosineDecay", {}),
    ("piecewise_constant", PIECES, "PiecewiseConstantDecay", {}),
]


def rates(kind, conventions, attributes, steps=STEPS):
    row = SCHEDULES[kind]
    names = {each.name: each for each in row.attributes}
    values = row.defaults(conventions) | {k: names[k].kind.parse(v) for k, v in attributes.items()}
    row.check(values)
    scope = {"math": math}
    exec(emit_schedule(Configured(kind, values)), scope)
    computed = [scope["learning_rate"](step) for step in range(steps)]
    assert all(type(rate) is float for rate in computed)
    return computed


@pytest.fixture(scope="module")
def keras_rates():
    cases = [("schedule", name, dict(attributes), STEPS) for _, attributes, name, _ in KERAS]
    return keras_results(cases)


@pytest.mark.parametrize(
    "number", range(len(KERAS)), ids=[f"{k}-{i}" for i, (k, *_) in enumerate(KERAS)]
)
def test_the_keras_convention_is_keras(number, keras_rates):
    """Keras converts the numbers of a schedule to float32, whatever floatx is: to that accuracy."""
    kind, attributes, _, _ = KERAS[number]
    assert rates(kind, "keras", attributes) == pytest.approx(keras_rates[number].tolist(), rel=2e-6)


def torch_rates(make, rate=0.3):
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    schedule = make(torch.optim.lr_scheduler, optimizer)
    found = []
    for _ in range(STEPS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_the_pytorch_convention_is_torch():
    step = rates("step_lr", "pytorch", {"initial_learning_rate": 0.3, "step_size": 7, "gamma": 0.5})
    assert step == pytest.approx(torch_rates(lambda s, o: s.StepLR(o, 7, 0.5)), rel=1e-13)
    exponential = {"initial_learning_rate": 0.3, "decay_steps": 1, "decay_rate": 0.9}
    expected = torch_rates(lambda s, o: s.ExponentialLR(o, 0.9))
    assert rates("exponential", "pytorch", exponential) == pytest.approx(expected, rel=1e-13)
    pieces = {"boundaries": (5, 20), "values": (0.3, 0.03, 0.003)}
    expected = torch_rates(lambda s, o: s.MultiStepLR(o, [5, 20], 0.1))
    assert rates("piecewise_constant", "pytorch", pieces) == pytest.approx(expected, rel=1e-13)
    polynomial = {**POLYNOMIAL, "end_learning_rate": 0.0}
    expected = torch_rates(lambda s, o: s.PolynomialLR(o, 20, 2.0))
    assert rates("polynomial", "pytorch", polynomial) == pytest.approx(
        expected, rel=1e-12, abs=1e-15
    )


def test_cosine_rises_again_in_the_pytorch_convention():
    """CosineAnnealingLR's recursion is the closed form, twice past the end of the decay."""
    ours = rates("cosine", "pytorch", {**COSINE, "minimum": 0.01})
    expected = torch_rates(lambda s, o: s.CosineAnnealingLR(o, 25, eta_min=0.01))
    assert ours == pytest.approx(expected, rel=1e-10)
    assert ours[50] == pytest.approx(0.3) and ours[25] == pytest.approx(0.01)


def test_cosine_stays_down_in_the_keras_convention():
    ours = rates("cosine", "keras", {**COSINE, "minimum": 0.01})
    assert ours[25:] == [pytest.approx(0.01)] * 35


def test_warm_up_of_torch():
    """LinearLR from a tenth, then CosineAnnealingLR: torch's usual pair, joined by SequentialLR."""

    def make(schedulers, optimizer):
        warm = schedulers.LinearLR(optimizer, start_factor=0.1, total_iters=10)
        decay = schedulers.CosineAnnealingLR(optimizer, 40)
        return schedulers.SequentialLR(optimizer, [warm, decay], [10])

    attributes = {
        "initial_learning_rate": 0.03,
        "warmup_target": 0.3,
        "warmup_steps": 10,
        "decay_steps": 40,
    }
    expected = torch_rates(make)
    assert rates("cosine", "pytorch", attributes)[:50] == pytest.approx(expected[:50], rel=1e-10)


def test_a_number_is_a_constant_schedule():
    assert rates("constant", "keras", {"learning_rate": 0.1}) == [0.1] * STEPS
    scope = {}
    exec(emit_schedule(0.25), scope)
    assert scope["learning_rate"](7) == 0.25
    assert Rate().parse(1) == 1.0
    with pytest.raises(AttributeProblem):
        Rate().parse(-0.1)


@pytest.mark.parametrize(
    ("kind", "attributes", "message"),
    [
        ("piecewise_constant", {"boundaries": [1], "values": [0.1]}, "1 boundaries need 2 values"),
        ("piecewise_constant", {"boundaries": [2, 1], "values": [1, 1, 1]}, "must increase"),
        ("cosine", {**COSINE, "alpha": 0.1, "minimum": 0.1}, "both set the final rate"),
        ("cosine", {**COSINE, "warmup_steps": 3}, "needs both warmup_target and warmup_steps"),
        ("exponential", {**EXPONENTIAL, "decay_steps": 0}, "not a positive integer"),
    ],
)
def test_what_makes_no_schedule_is_refused(kind, attributes, message):
    with pytest.raises(AttributeProblem) as caught:
        rates(kind, "keras", attributes)
    assert message in caught.value.message


def test_every_row_is_tested():
    assert {kind for kind, *_ in KERAS} | {"constant", "step"} == set(SCHEDULES)

"""A framework whose arrays do not change in place has every optimizer and clipping by its words."""

import math
from dataclasses import replace

import numpy as np
import pytest
from optimizer_runs import NAMES, configured, difference, problem, train
from test_optimizers import VARIANTS

from specc.backends import prelude_shared
from specc.ir.graph import Configured
from specc.training.clipping import CLIPPINGS, emit_clipping
from specc.training.emit_optimizer import emit_optimizer
from specc.training.formulas import FunctionalWriter
from specc.training.frameworks import NUMPY

FUNCTIONAL = replace(NUMPY, name="functional", writer=FunctionalWriter)
CASES = [(kind, variant) for kind, variants in VARIANTS.items() for variant in variants]
CASES.append(("adamw", {"exclude_from_weight_decay": ("bias",)}))


def frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("conventions", ["keras", "pytorch"])
@pytest.mark.parametrize(("kind", "variant"), CASES)
def test_optimizers_that_return_what_they_change(kind, variant, conventions):
    optimizer = configured(kind, conventions, **variant)
    source, names = emit_optimizer(optimizer, FUNCTIONAL, NAMES)
    scope = {name: getattr(prelude_shared, name) for name in names} | {"math": math, "np": np}
    exec(source, scope)
    start, noise = problem()
    parameters = [frozen(array.copy()) for array in start]
    ours = scope["Optimizer"]()
    slots = {name: [frozen(v) for v in held] for name, held in ours.init(parameters).items()}
    for step, added in enumerate(noise):
        gradients = [p + n for p, n in zip(parameters, added, strict=True)]
        # A caller may hand the slots over in another order.
        slots = dict(sorted(slots.items(), reverse=True))
        parameters, slots = ours.update(parameters, gradients, slots, ours.scalars(step))
    assert difference(parameters, train(optimizer, "numpy")) < 1e-13


@pytest.mark.parametrize("kind", CLIPPINGS)
def test_clippings_in_a_plug_ins_words(kind):
    values = CLIPPINGS[kind].defaults("keras") | {"max_norm": 1.0, "limit": 0.5}
    results = []
    for words in (NUMPY, FUNCTIONAL):
        scope = {"math": math, "np": np}
        exec(emit_clipping([Configured(kind, values)], words), scope)
        results.append(scope["clip_gradients"]([np.arange(6.0), np.ones((2, 2))]))
    for ours, theirs in zip(*results, strict=True):
        assert np.array_equal(ours, theirs)

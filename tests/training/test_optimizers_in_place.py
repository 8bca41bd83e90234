"""The optimizers that NumPy computes in blocks and in place are those of the textbook form."""

import math

import numpy as np
import pytest

from specc.backends import prelude_shared
from specc.backends.numpy.prelude_fast.blocks import array_blocks
from specc.training.emit_optimizer import emit_optimizer
from specc.training.frameworks import NUMPY_IN_PLACE
from specc.training.optimizers import OPTIMIZERS
from tests.training.optimizer_runs import NAMES, configured, difference, train, train_numpy

OPTIONS = (
    {},
    {"weight_decay": 0.01},
    {"weight_decay": 0.01, "exclude_from_weight_decay": ("bias",)},
    {"amsgrad": True},
    {"centered": True, "momentum": 0.9},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.9, "dampening": 0.1},
)
CASES = [
    (kind, conventions, options)
    for kind, row in OPTIMIZERS.items()
    for conventions in ("keras", "pytorch")
    for options in OPTIONS
    if options.keys() <= row.defaults(conventions).keys()
]


@pytest.mark.parametrize(("kind", "conventions", "options"), CASES)
def test_in_place_is_the_textbook_form(kind, conventions, options):
    optimizer = configured(kind, conventions, **options)
    source, names = emit_optimizer(optimizer, NUMPY_IN_PLACE, NAMES)
    scope = {"np": np, "math": math, "array_blocks": array_blocks}
    scope |= {name: getattr(prelude_shared, name) for name in names - {"array_blocks"}}
    exec(source, scope)
    assert "array_blocks(arrays" in source
    for dtype, tolerance in (("float64", 1e-13), ("float32", 1e-4)):
        found = train_numpy(scope["Optimizer"], dtype)
        assert difference(found, train(optimizer, "numpy", dtype)) <= tolerance


def test_blocks_cover_every_number_once():
    arrays = [np.zeros((3, 2**16)), np.ones((3, 2**16))]
    for into, added, spare in array_blocks(arrays, 1):
        assert spare.shape == into.shape
        into += added
    assert np.array_equal(arrays[0], arrays[1])

"""What cases are fed."""

from __future__ import annotations

import numpy as np

from specc.fuzz.case import Case
from specc.fuzz.data import batches, data_of
from specc.fuzz.spec import accepted

CASES = [Case.draw(11, index) for index in range(60)]


def data(case: Case, key: str = "k") -> dict[str, dict[str, np.ndarray]]:
    found = accepted(case.spec)
    assert found is not None
    return data_of(found[0], key, case.rows + case.short, case.weighted)


def test_data_derive_from_the_key() -> None:
    for case in CASES[:20]:
        one, again, other = data(case), data(case), data(case, "l")
        for name, array in one["inputs"].items():
            assert np.array_equal(array, again["inputs"][name])
            assert array.dtype.kind != "f" or not np.array_equal(array, other["inputs"][name])


def test_sequences_have_a_step_that_counts() -> None:
    seen = 0
    for case in CASES:
        for name, array in data(case)["inputs"].items():
            if array.dtype == bool:
                assert array.any(axis=-1).all(), name
                assert not array.all() or array.size < 40
                seen += 1
    assert seen


def test_no_two_numbers_are_equal() -> None:
    for case in CASES:
        for array in data(case)["inputs"].values():
            if array.dtype.kind == "f":
                assert len(np.unique(array)) == array.size


def test_every_sample_is_in_a_batch() -> None:
    for rows, short in ((3, 3), (6, 4)):
        steps = batches(rows, short)
        assert len(steps) == 5
        assert {len(each) for each in steps} == {rows, short}
        assert set(np.concatenate(steps)) == set(range(rows + short))

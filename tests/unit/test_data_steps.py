"""Preparation steps: what they fit, what they give, and how they refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest

from specc.data.section import located, read_attributes
from specc.data.steps import STEPS, Column, DataProblem, Step
from specc.ops.attributes import AttributeProblem


def step(kind: str, **attributes: object) -> Step:
    cls = STEPS[kind]
    values, problems = read_attributes(kind, cls.attributes, located(attributes))
    assert not problems, problems
    cls.check(values)
    return cls(values)


def column(values: object) -> Column:
    array = np.array(values)
    return Column(array, np.arange(len(array)))


def prepared(made: Step, train: object, other: object | None = None) -> np.ndarray:
    state = json.loads(json.dumps(made.fit(column(train))))
    return made.apply(column(train if other is None else other), state).values


@pytest.mark.parametrize("kind", STEPS)
def test_every_step_is_documented(kind: str) -> None:
    cls = STEPS[kind]
    assert cls.kind == kind
    assert cls.__doc__
    assert all(attribute.doc for attribute in cls.attributes)


def test_rescale() -> None:
    made = step("rescale", divide=255, subtract=1)
    assert prepared(made, [[1, 256]]).tolist() == [[0, 1]]


def test_rescale_does_not_wrap_around_in_bytes() -> None:
    assert prepared(step("rescale", divide=2, subtract=4), np.array([0], np.uint8)) == [-2]


def test_rescale_refuses_a_division_by_zero() -> None:
    _, problems = read_attributes("rescale", STEPS["rescale"].attributes, located({"divide": 0}))
    assert "other than 0" in problems[0].message


def test_standardize_measures_the_training_part_only() -> None:
    made = step("standardize")
    train = [[1.0, 10.0], [3.0, 30.0]]
    assert prepared(made, train).tolist() == [[-1, -1], [1, 1]]
    assert prepared(made, train, [[5.0, 20.0]]).tolist() == [[3, 0]]


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9 + 0.1])
def test_standardize_only_centres_a_constant_feature(constant: float) -> None:
    values = prepared(step("standardize"), np.full((1000, 1), constant))
    assert np.abs(values).max() <= abs(constant) * 1e-15
    moved = prepared(step("standardize"), np.full((1000, 1), constant), [[constant + 1]])
    assert moved == pytest.approx(1, abs=1e-6)


def test_standardize_per_feature_of_a_sequence_and_over_all() -> None:
    values = np.arange(12.0).reshape(2, 3, 2)
    per_feature = prepared(step("standardize"), values)
    np.testing.assert_allclose(per_feature.mean((0, 1)), 0, atol=1e-15)
    np.testing.assert_allclose(per_feature.std((0, 1)), 1)
    over_all = prepared(step("standardize", per="all"), values)
    np.testing.assert_allclose(over_all, (values - 5.5) / values.std())


def test_standardize_refuses_other_features() -> None:
    with pytest.raises(DataProblem, match="fitted on 2 features"):
        prepared(step("standardize"), [[1.0, 2.0]], [[1.0, 2.0, 3.0]])


def test_log() -> None:
    np.testing.assert_allclose(prepared(step("log", offset=1), [0, 1]), [0, np.log(2)])
    with pytest.raises(DataProblem, match="above 0, but one is -2") as caught:
        prepared(step("log"), [1, -2])
    assert caught.value.row == 1


def test_missing_drop_keeps_the_numbers_of_the_rows() -> None:
    made = step("missing", rule="drop")
    result = made.apply(column([np.nan, 1.0, np.nan, 2.0]), {})
    assert result.values.tolist() == [1, 2]
    assert result.rows.tolist() == [1, 3]


def test_missing_forward_fill_repeats_the_last_value_seen() -> None:
    made = step("missing", rule="forward_fill")
    result = made.apply(column([np.nan, 1.0, np.nan, np.nan, 2.0]), {})
    assert result.values.tolist() == [1, 1, 1, 2]
    assert result.rows.tolist() == [1, 2, 3, 4]
    two = made.apply(column([[1.0, np.nan], [np.nan, 5.0], [3.0, np.nan]]), {})
    assert two.values.tolist() == [[1, 5], [3, 5]]
    assert made.ordered
    assert not step("missing", rule="drop").ordered


def test_missing_mean_is_that_of_the_training_part() -> None:
    made = step("missing", rule="mean")
    train = [[1.0, 4.0], [3.0, np.nan]]
    assert prepared(made, train).tolist() == [[1, 4], [3, 4]]
    assert prepared(made, train, [[np.nan, np.nan]]).tolist() == [[2, 4]]
    with pytest.raises(DataProblem, match="no value to average"):
        prepared(made, [np.nan, np.nan])


def test_missing_values_stop_the_steps_that_need_numbers() -> None:
    with pytest.raises(DataProblem, match="meets 1 missing") as caught:
        prepared(step("rescale", divide=2), [1.0, np.nan])
    assert caught.value.row == 1
    assert "missing: drop" in caught.value.help


def test_categories_are_sorted_or_as_named() -> None:
    assert prepared(step("categories"), ["b", "a", "b"]).tolist() == [1, 0, 1]
    assert prepared(step("categories", names=["b", "a"]), ["b", "a"]).tolist() == [0, 1]
    assert prepared(step("categories"), [3.0, 1.0, 2.5]).tolist() == [2, 0, 1]


def test_categories_refuse_a_name_that_training_lacks() -> None:
    with pytest.raises(DataProblem, match="'tragedi' is none of the known") as caught:
        prepared(step("categories"), ["comedy", "tragedy"], ["comedy", "tragedi"])
    assert caught.value.row == 1
    assert "tragedy" in caught.value.help


def test_one_hot() -> None:
    assert prepared(step("one_hot", classes=3), [2, 0]).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert prepared(step("one_hot"), ["x", "y"]).tolist() == [[1, 0], [0, 1]]
    assert prepared(step("one_hot"), [5, 7], [7]).tolist() == [[0, 1]]
    with pytest.raises(DataProblem, match="3 is none of the known classes"):
        prepared(step("one_hot", classes=3), [0, 3])


TRAIN = ["the cat, the dog", "The bird don't", "a cat"]


def test_tokens_rank_words_by_frequency_then_alphabet() -> None:
    made = step("tokens", vocabulary=100, length=4)
    assert made.fit(column(TRAIN)) == {"words": ["the", "cat", "a", "bird", "dog", "don't"]}
    assert prepared(made, TRAIN).tolist() == [[2, 3, 2, 6], [2, 5, 7, 0], [4, 3, 0, 0]]


def test_tokens_vocabulary_counts_padding_and_unknown() -> None:
    made = step("tokens", vocabulary=4, length=3)
    numbers = prepared(made, TRAIN)
    assert made.fit(column(TRAIN)) == {"words": ["the", "cat"]}
    assert numbers.max() == 3
    assert prepared(made, TRAIN, ["zebra the"]).tolist() == [[1, 2, 0]]


@pytest.mark.parametrize(
    ("padding", "truncation", "expected"),
    [
        ("post", "post", [[2, 3], [2, 0], [0, 0]]),
        ("pre", "post", [[2, 3], [0, 2], [0, 0]]),
        ("post", "pre", [[3, 4], [2, 0], [0, 0]]),
        ("pre", "pre", [[3, 4], [0, 2], [0, 0]]),
    ],
)
def test_tokens_pad_and_cut(padding: str, truncation: str, expected: list[list[int]]) -> None:
    made = step("tokens", vocabulary=9, length=2, padding=padding, truncation=truncation)
    assert prepared(made, ["a b c", "a", ""]).tolist() == expected


def test_tokens_can_tell_case_and_know_other_scripts() -> None:
    made = step("tokens", vocabulary=9, length=2, lower=False)
    assert made.fit(column(["A a", "Ünï 汉字"]))["words"] == ["A", "a", "Ünï", "汉字"]


def test_tokens_refuse_numbers() -> None:
    with pytest.raises(DataProblem, match="needs one column of text"):
        prepared(step("tokens", vocabulary=9, length=2), [1, 2])


def test_text_stops_the_steps_that_need_numbers() -> None:
    with pytest.raises(DataProblem, match="needs numbers, but this is text, such as 'abc'"):
        prepared(step("standardize"), ["abc"])


def test_returns() -> None:
    result = step("returns").apply(column([1.0, 2.0, 1.0]), {})
    np.testing.assert_allclose(result.values, [np.log(2), -np.log(2)])
    assert result.rows.tolist() == [1, 2]
    assert prepared(step("returns", form="simple"), [1.0, 2.0, 1.0]).tolist() == [1, -0.5]
    with pytest.raises(DataProblem, match="above 0, but one is -37"):
        prepared(step("returns"), [1.0, -37.0])


def test_windows_look_back_to_their_row() -> None:
    result = step("windows", length=3).apply(column([0.0, 1, 2, 3, 4]), {})
    assert result.values[..., 0].tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
    assert result.values.shape == (3, 3, 1)
    assert result.rows.tolist() == [2, 3, 4]


def test_windows_look_ahead_from_the_row_after_theirs() -> None:
    made = step("windows", horizon=2, statistic="sum")
    result = made.apply(column([0.0, 1, 2, 3, 4]), {})
    assert result.values.tolist() == [3, 5, 7]
    assert result.rows.tolist() == [0, 1, 2]


def test_windows_keep_features_and_take_steps() -> None:
    values = np.arange(10.0).reshape(5, 2)
    result = step("windows", length=2, step=2).apply(column(values), {})
    assert result.values.tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]
    assert result.rows.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [("last", 4), ("mean", 8 / 3), ("std", np.std([1, 3, 4])), ("sum", 8), ("min", 1), ("max", 4)],
)
def test_window_statistics(statistic: str, expected: float) -> None:
    made = step("windows", horizon=3, statistic=statistic)
    assert prepared(made, [9.0, 1, 3, 4]) == pytest.approx([expected])


def test_windows_need_rows_and_one_direction() -> None:
    with pytest.raises(DataProblem, match="at least 4 rows, but this part has 3"):
        prepared(step("windows", horizon=3), [1.0, 2, 3])
    for wrong in ({}, {"length": 2, "horizon": 2}):
        with pytest.raises(AttributeProblem, match="either length"):
            step("windows", **wrong)


def test_reshape() -> None:
    assert prepared(step("reshape", shape=[2, -1]), np.zeros((3, 4))).shape == (3, 2, 2)
    for shape in ([3], [3, -1], [0, -1]):
        with pytest.raises(DataProblem, match=r"a row of shape \[4\] \(4 values\) cannot become"):
            prepared(step("reshape", shape=shape), np.zeros((3, 4)))
    with pytest.raises(AttributeProblem, match="only one size"):
        step("reshape", shape=[-1, -1])


def test_cast() -> None:
    assert prepared(step("cast", to="int"), [1.9, -1.9]).tolist() == [1, -1]
    assert prepared(step("cast", to="float"), [1, 2]).dtype == np.float64

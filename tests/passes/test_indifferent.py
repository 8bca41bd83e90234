"""Which tensors rounding noise alone moves: proved, and no more than proved."""

from __future__ import annotations

import pytest

from specc.compiler import load_program
from specc.passes.indifferent import indifferent

HEAD = """\
specc: 1
conventions: {conventions}
inputs: {{x: {{shape: {shape}}}}}
targets: {{y: {{shape: [3]}}}}
layers:
"""
TAIL = """\
  - {name: out, dense: {units: 3}}
outputs: [out]
training: {loss: {mean_squared_error: {prediction: out, target: y}}}
"""


@pytest.fixture
def found(tmp_path):
    def find(layers: str, shape: str = "[4]", conventions: str = "keras") -> tuple[str, ...]:
        path = tmp_path / "net.yaml"
        path.write_text(HEAD.format(shape=shape, conventions=conventions) + layers + TAIL)
        return indifferent(load_program(path)[0])

    return find


def test_a_bias_before_batch_norm_and_the_mean_that_follows_it(found):
    layers = "  - {name: d, dense: {units: 5}}\n  - {name: n, batch_norm: {}}\n"
    assert found(layers) == ("d.bias", "n.moving_mean")


@pytest.mark.parametrize(
    "layers",
    [
        "  - {name: d, dense: {units: 5}}\n",
        "  - {name: d, dense: {units: 5, activation: relu}}\n  - batch_norm\n",
        "  - {name: d, dense: {units: 5, use_bias: false}}\n  - batch_norm\n",
        "  - {name: d, dense: {units: 5, bias_regularizer: l2, bias_initializer: ones}}\n"
        "  - batch_norm\n",
        "  - {name: d, dense: {units: 5}}\n  - layer_norm\n",
        "  - {name: d, dense: {units: 5}}\n  - {batch_norm: {trainable: false}}\n",
        "  - {name: d, dense: {units: 5}}\n  - {name: n, batch_norm: {}}\n"
        "  - {add: {}, from: [d, n]}\n",
    ],
    ids=[
        "no norm",
        "nonlinear",
        "no bias",
        "penalty",
        "layer norm",
        "frozen",
        "also read elsewhere",
    ],
)
def test_what_something_else_feels_is_judged(found, layers):
    assert found(layers) == ()


def test_the_shift_goes_through_pools_and_sums(found):
    layers = (
        "  - {name: a, conv2d: {filters: 5, kernel_size: 3}}\n"
        "  - {name: b, conv2d: {filters: 5, kernel_size: 3}, from: x}\n"
        "  - {name: s, add: {}, from: [a, b]}\n"
        "  - {max_pool2d: {pool_size: 2}}\n"
        "  - {name: n, batch_norm: {}}\n"
        "  - flatten\n"
    )
    assert found(layers, "[8, 8, 2]") == ("a.bias", "n.moving_mean", "b.bias")
    assert found(layers, "[2, 8, 8]", "pytorch") == ("a.bias", "n.moving_mean", "b.bias")


def test_a_norm_over_another_axis_does_not_absorb_it(found):
    layers = (
        "  - {name: a, conv2d: {filters: 5, kernel_size: 3}}\n"
        "  - {name: n, batch_norm: {axis: 1}}\n  - flatten\n"
    )
    assert found(layers, "[8, 8, 2]") == ()


def test_a_shared_layer_is_indifferent_only_if_every_call_is(found):
    layers = (
        "  - {name: d, dense: {units: 4}}\n  - {name: n, batch_norm: {}}\n  - {layer: d, from: n}\n"
    )
    assert found(layers) == ()
    assert found(layers + "  - {name: m, batch_norm: {}}\n") == (
        "d.bias",
        "n.moving_mean",
        "m.moving_mean",
    )


def test_paths_inside_blocks_are_whole(found):
    layers = (
        "  - {name: r, repeat: {times: 2, layers: "
        "[{name: d, dense: {units: 4}}, {name: n, batch_norm: {}}]}}\n"
    )
    assert found(layers) == ("r.0.d.bias", "r.0.n.moving_mean", "r.1.d.bias", "r.1.n.moving_mean")


ATTENTION = """\
  - {{name: q, dense: {{units: 4}}}}
  - {{name: k, dense: {{units: 4}}, from: x}}
  - name: a
    multi_head_attention: {{num_heads: 2{options}}}
    from: {{query: q, value: {value}, key: k}}
  - flatten
"""


def test_a_shift_of_all_keys(found):
    layers = ATTENTION.format(options="", value="q")
    assert set(found(layers, "[5, 4]")) == {"a.key.bias", "k.bias"}


def test_keys_that_are_values_too_are_felt(found):
    layers = ATTENTION.format(options="", value="k")
    assert found(layers, "[5, 4]") == ("a.key.bias",)


def test_a_penalty_pulls_at_the_bias_of_the_keys(found):
    penalty = ", bias_regularizer: {l2: {l2: 0.1}}"
    layers = ATTENTION.format(options=f"{penalty}, bias_initializer: ones", value="k")
    assert found(layers, "[5, 4]") == ()
    # At 0 it does not: the bias stays where rounding noise takes it.
    assert found(ATTENTION.format(options=penalty, value="k"), "[5, 4]") == ("a.key.bias",)


def test_a_softmax_over_another_axis_absorbs_a_shift(found):
    dense = "  - {name: d, dense: {units: 5}}\n"
    assert found(dense + "  - {softmax: {axis: 1}}\n  - flatten\n", "[6, 4]") == ("d.bias",)
    assert found(dense + "  - {softmax: {axis: 2}}\n  - flatten\n", "[6, 4]") == ()


def test_offsets_of_norms_are_shifts_too(found):
    norm = "  - {name: n, layer_norm: {axis: -1}}\n"
    assert found(norm + "  - {softmax: {axis: 1}}\n  - flatten\n", "[6, 4]") == ("n.beta",)
    both = "  - {name: n, layer_norm: {axis: [1, 2]}}\n"
    assert found(both + "  - {softmax: {axis: 1}}\n  - flatten\n", "[6, 4]") == ()


def test_a_shift_keeps_its_axis_in_a_sum_with_more_axes(found):
    layers = (
        "  - {name: p, global_average_pool1d: {}, from: x}\n"
        "  - {name: d, dense: {units: 4}}\n"
        "  - {add: {}, from: [x, d]}\n"
    )
    assert found(f"{layers}  - {{softmax: {{axis: 1}}}}\n  - flatten\n", "[6, 4]") == ("d.bias",)
    assert found(f"{layers}  - {{softmax: {{axis: -1}}}}\n  - flatten\n", "[6, 4]") == ()


@pytest.mark.parametrize("norm", ["layer_norm", "group_norm: {groups: 1}", "softmax"])
def test_nothing_before_a_norm_of_one_number_is_felt(found, norm):
    one = f"  - {{name: d, dense: {{units: 1}}}}\n  - {{name: n, {norm}}}\n"
    one = one.replace("layer_norm}", "layer_norm: {}}").replace("softmax}", "softmax: {}}")
    gamma = () if norm == "softmax" else ("n.gamma",)
    assert found(one) == ("d.bias", "d.kernel", *gamma)[:2] + gamma
    beside = one + "  - {concatenate: {}, from: [d, n]}\n"
    assert found(beside) == gamma


def test_a_layer_that_nothing_reads_is_judged(found):
    assert found("  - {name: d, dense: {units: 1}}\n  - {dense: 3, from: x}\n") == ()


def test_losses_of_what_blocks_give(tmp_path):
    path = tmp_path / "net.yaml"
    path.write_text(BLOCK)
    assert indifferent(load_program(path)[0]) == ("b.n.beta",)


BLOCK = """\
specc: 1
inputs: {x: {shape: [3, 2, 4]}}
targets: {y: {shape: [3, 4], dtype: int}}
blocks:
  shift:
    inputs: [a]
    layers:
      - {name: n, layer_norm: {scale: false}}
layers:
  - {name: b, use: shift}
outputs: [b]
training:
  loss: {sparse_categorical_crossentropy: {prediction: b, target: y, from_logits: true, axis: 2}}
"""

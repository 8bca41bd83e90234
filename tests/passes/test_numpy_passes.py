"""The passes over the statements of NumPy files: text in, text out; and levels that agree."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest

from specc.backends.numpy.passes import (
    fuse_epilogues,
    give_back,
    move_relu_gradients,
    use_kernels,
    work_in_place,
)
from specc.backends.numpy.statements import read_statements
from specc.compiler import compile_spec
from specc.ir.levels import LEVELS


def after(rewrite, *lines, large=()):
    """The lines after a pass."""
    statements = read_statements([f"    {line}" for line in lines], large)
    return [each.text.strip() for each in rewrite(statements)]


def test_products_and_sums_become_kernels():
    assert after(
        use_kernels,
        'h = x @ p["a.kernel"] + p["a.bias"]  # (batch, 4)',
        'g["a.kernel"] = x.T @ d_h  # (3, 4)',
        'g["b.kernel"] = s.reshape(-1, s.shape[-1]).T @ d_s.reshape(-1, d_s.shape[-1])  # (3, 4)',
        'd_x = d_h @ p["a.kernel"].T  # (batch, 3)',
        "d_y = d_a + d_b  # (batch, 3)",
        "q = a @ b  # (batch, 3)",
    ) == [
        "h = affine(x, p['a.kernel']) + p['a.bias']  # (batch, 4)",
        'g["a.kernel"] = affine_kernel_gradient(x, d_h)  # (3, 4)',
        'g["b.kernel"] = affine_kernel_gradient(s, d_s)  # (3, 4)',
        "d_x = affine(d_h, p['a.kernel'].T)  # (batch, 3)",
        "d_y = added(d_a, d_b)  # (batch, 3)",
        "q = a @ b  # (batch, 3)",
    ]


def test_normalizations_of_the_last_axis_have_kernels_of_their_own():
    assert after(
        use_kernels,
        "y, n, m, v, i = batch_norm(x, g, b, (0, 1, 2), 0.001)  # (batch, 8, 8, 4)",
        "y, n, m, v, i = batch_norm(x, g, b, (0, 2, 3), 0.001)  # (batch, 4, 8, 8)",
        "y, n, i = layer_norm(x, None, None, (2,), 0.001)  # (batch, 5, 4)",
        "y, n, i = layer_norm(x, None, None, (1,), 0.001)  # (batch, 5, 4)",
        "dx, dg, db = layer_norm_gradient(dy, n, g, i, (2,))  # (batch, 5, 4)",
    ) == [
        "y, n, m, v, i = channel_norm(x, g, b, 0.001)  # (batch, 8, 8, 4)",
        "y, n, m, v, i = batch_norm(x, g, b, (0, 2, 3), 0.001)  # (batch, 4, 8, 8)",
        "y, n, i = last_axis_norm(x, None, None, 0.001)  # (batch, 5, 4)",
        "y, n, i = layer_norm(x, None, None, (1,), 0.001)  # (batch, 5, 4)",
        "dx, dg, db = last_axis_norm_gradient(dy, n, g, i)  # (batch, 5, 4)",
    ]


def test_bias_and_relu_become_the_end_of_the_product():
    assert after(
        fuse_epilogues,
        'y = relu(conv2d(x, p["c.kernel"], strides=(2, 2)) + p["c.bias"])',
        'z = np.tanh(affine(x, p["d.kernel"]) + p["d.bias"])',
        "r = relu(x)",
    ) == [
        "y = conv2d(x, p['c.kernel'], strides=(2, 2), bias=p['c.bias'], relu=True)",
        "z = np.tanh(affine(x, p['d.kernel'], bias=p['d.bias']))",
        "r = relu(x)",
    ]


def test_the_gradient_of_relu_moves_behind_the_pool():
    pool = "d_c = max_pool2d_gradient(c, pooled, d_pooled, (2, 2))  # (batch, 4, 4, 3)"
    relu = "d_pre = relu_gradient(d_c, c)  # (batch, 4, 4, 3)"
    assert after(move_relu_gradients, pool, relu) == [
        "d_pooled_positive = relu_gradient(d_pooled, pooled)",
        "d_pre = max_pool2d_gradient(c, pooled, d_pooled_positive, (2, 2))  # (batch, 4, 4, 3)",
    ]
    kept = [pool, relu, "d_other = added(d_c, d_x)"]
    assert after(move_relu_gradients, *kept) == kept


def test_only_what_nothing_reads_later_is_written_over():
    assert after(
        work_in_place,
        "d_h = affine(d_y, w)",
        "d_pre = relu_gradient(d_h, h)",
        "d_a = affine(d_pre, w)",
        "d_x = added(d_a, d_pre)",
        "d_v = np.broadcast_to(d_x, s)",
        "d_w = relu_gradient(d_v, v)",
        "d_z = added(d_x, d_w)",
    ) == [
        "d_h = affine(d_y, w)",
        "d_pre = relu_gradient(d_h, h, out=d_h)",
        "d_a = affine(d_pre, w)",
        "d_x = added(d_a, d_pre, out=d_a)",
        "d_v = np.broadcast_to(d_x, s)",
        "d_w = relu_gradient(d_v, v)",
        "d_z = added(d_x, d_w, out=d_w)",
    ]


@pytest.mark.parametrize("view", ["d_h.reshape(s)", "d_h[:, 3:]", "split(d_h)"])
def test_nothing_is_written_over_while_a_view_of_it_may_be_read(view):
    lines = [
        "d_h = affine(d_y, w)",
        f"d_u = {view}",
        "d_v = relu_gradient(d_h, v)",
        "d_w = relu_gradient(d_u, u)",
    ]
    assert after(work_in_place, *lines) == lines


def test_a_recorded_value_is_not_written_over():
    lines = ["stage_0_a = affine(x, w)", "y = added(stage_0_a, x)", 'record(locals(), "stage.0.a")']
    assert after(work_in_place, *lines) == lines


def test_names_of_large_arrays_end_after_their_last_use():
    assert after(
        give_back,
        "a = conv2d(x, k)",
        "b = relu(a)",
        "# Backward: here",
        "d_b = relu_gradient(d, b)",
        "d_a = affine(d_b, k)",
        "return d_a",
        large={"a", "b", "d_b", "d_a"},
    ) == [
        "a = conv2d(x, k)",
        "b = relu(a)",
        "# Backward: here",
        "del a",
        "d_b = relu_gradient(d, b)",
        "del b",
        "d_a = affine(d_b, k)",
        "del d_b",
        "return d_a",
    ]


NETWORK = """
specc: 1
name: net
dtype: float64
inputs: {image: {shape: [12, 12, 3]}, words: {shape: [6], dtype: int}}
targets: {label: {shape: [], dtype: int}}
layers:
  - {name: one, conv2d: {filters: 8, kernel_size: 3, activation: relu}, from: image}
  - {name: two, conv2d: {filters: 8, kernel_size: 3, padding: same, use_bias: false}}
  - {name: norm, batch_norm: {}}
  - {name: sum, add: {}, from: [one, norm]}
  - {name: three, conv2d: {filters: 8, kernel_size: 3, strides: 2, activation: relu}}
  - {name: pool, max_pool2d: {pool_size: 2}}
  - {name: flat, flatten: {}}
  - {name: table, embedding: {input_dim: 9, output_dim: 8}, from: words}
  - {name: attend, multi_head_attention: {num_heads: 2, causal: true}}
  - {name: joined, add: {}, from: [table, attend]}
  - {name: level, layer_norm: {}}
  - {name: wide, dense: {units: 8, activation: gelu}}
  - {name: more, add: {}, from: [joined, wide]}
  - {name: memory, lstm: {units: 5, return_sequences: true}}
  - {name: last, lstm: {units: 5}}
  - {name: both, concatenate: {}, from: [flat, last]}
  - {name: probabilities, dense: {units: 4, activation: softmax}}
outputs: [probabilities]
training:
  loss: {sparse_categorical_crossentropy: {prediction: probabilities, target: label}}
  optimizer: {adam: {learning_rate: 1e-2}}
  clip: {global_norm: 1.0}
  epochs: 1
  batch_size: 7
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """The network's file at each level, as modules."""
    folder = tmp_path_factory.mktemp("levels")
    (folder / "net.yaml").write_text(NETWORK, encoding="utf-8")
    found = []
    for level in LEVELS:
        module = types.ModuleType(f"net_{level}")
        sys.modules[module.__name__] = module
        source = compile_spec(folder / "net.yaml", backend="numpy", optimize=level)
        exec(compile(source, str(Path(folder) / f"{level}.py"), "exec"), module.__dict__)
        found.append(module)
    return found


def batch(rows):
    rng = np.random.default_rng(rows)
    inputs = {
        "image": rng.standard_normal((rows, 12, 12, 3)),
        "words": rng.integers(0, 9, (rows, 6)),
    }
    return inputs, {"label": rng.integers(0, 4, rows)}


def same(first, second):
    assert first.keys() == second.keys()
    for name, array in first.items():
        scale = max(np.abs(array).max(), 1e-3)  # less is rounding noise
        assert np.abs(array - second[name]).max() <= 1e-12 * scale, name


def test_levels_train_alike_with_batches_of_several_sizes(programs):
    trainers = [module.Trainer(module.build()) for module in programs]
    for rows in (7, 7, 3, 7, 1):
        losses = [trainer.step(*batch(rows)) for trainer in trainers]
        assert losses[1] == pytest.approx(losses[0], rel=1e-13)
    same(*(m.get_parameters(t.model) for m, t in zip(programs, trainers, strict=True)))
    same(*(trainer.state() for trainer in trainers))


@pytest.mark.parametrize("training", [False, True])
def test_levels_trace_alike(programs, training):
    inputs, targets = batch(5)
    same(*(m.trace(m.build(), inputs, targets, training=training) for m in programs))
    same(*(m.trace(m.build(), inputs, training=training) for m in programs))


def test_results_stay_as_they_are_when_more_is_computed(programs):
    for module in programs:
        model, (inputs, targets) = module.build(), batch(5)
        loss, gradients = module.loss_and_gradients(model, inputs, targets)
        kept = {name: array.copy() for name, array in gradients.items()}
        outputs = module.predict(model, inputs)["probabilities"].copy()
        module.loss_and_gradients(model, *batch(6))
        assert loss == module.loss_and_gradients(model, inputs, targets)[0]
        for name, array in gradients.items():
            assert np.array_equal(array, kept[name])
        assert np.array_equal(module.predict(model, inputs)["probabilities"], outputs)


def test_a_step_takes_no_new_memory_once_it_is_steady(programs):
    module = programs[1]
    trainer = module.Trainer(module.build())
    for _ in range(2):
        trainer.step(*batch(7))
    before = {size: len(blocks) for size, blocks in vars(module.MEMORY).items()}
    for _ in range(3):
        trainer.step(*batch(7))
    assert {size: len(blocks) for size, blocks in vars(module.MEMORY).items()} == before

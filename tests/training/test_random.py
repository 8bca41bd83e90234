"""The random streams: published values, quality, and the same masks on every backend."""

import math

import numpy as np
import pytest

from specc.backends.numpy.prelude_random import dropout_mask
from specc.backends.prelude_shared import (
    batch_order,
    layer_key,
    random_normal,
    random_uniform,
    random_words,
    step_key,
    stream_key,
)
from specc.training import data_order

KEY = layer_key(7, "stage.1.dropout")


def test_words_are_those_of_the_published_generator():
    # SplitMix64 seeded with 1234567 (Vigna's reference code): its state is advanced before use.
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert random_words(1234567, 4, start=1).tolist() == published


def test_a_stream_can_be_read_from_anywhere():
    assert (random_words(KEY, 100)[40:] == random_words(KEY, 60, start=40)).all()
    assert step_key(KEY, 12) == int(random_words(KEY, 1, start=12)[0])


def test_keys_are_pinned():
    """A change of these numbers changes every model's start: it is a new major version."""
    assert stream_key(0, "initial/conv1.kernel") == 16899205537557256545
    assert batch_order(0, 0, 8).tolist() == [2, 0, 1, 4, 6, 3, 5, 7]
    assert layer_key(0, "a") == layer_key(0, "a", 0) != layer_key(0, "a", 1)
    key = stream_key(0, "order/0")
    assert data_order.permutation(key, 8).tolist() == batch_order(0, 0, 8).tolist()


def test_order_is_a_permutation_that_changes_with_seed_and_epoch():
    orders = {(s, e): batch_order(s, e, 500) for s in (0, 1) for e in (0, 1)}
    for order in orders.values():
        assert sorted(order) == list(range(500))
    distinct = {tuple(order) for order in orders.values()}
    assert len(distinct) == 4


def test_permutations_are_uniform():
    counts = np.zeros(24)
    index = {order: i for i, order in enumerate(sorted(_orders(4)))}
    for epoch in range(12000):
        counts[index[tuple(batch_order(3, epoch, 4).tolist())]] += 1
    assert chi_square(counts) < critical(23)


def _orders(n: int) -> list[tuple[int, ...]]:
    if n == 0:
        return [()]
    return [(*o[:i], n - 1, *o[i:]) for o in _orders(n - 1) for i in range(n)]


def chi_square(counts: np.ndarray) -> float:
    expected = counts.sum() / counts.size
    return float(((counts - expected) ** 2 / expected).sum())


def critical(freedom: int, sigmas: float = 4.0) -> float:
    """The value that chi-square exceeds with the chance of sigmas (Wilson and Hilferty)."""
    part = 2 / (9 * freedom)
    return float(freedom * (1 - part + sigmas * math.sqrt(part)) ** 3)


def test_uniform_values_fill_the_interval_evenly():
    values = random_uniform(KEY, 1 << 20)
    assert values.min() >= 0 and values.max() < 1
    assert chi_square(np.bincount((values * 1024).astype(int), minlength=1024)) < critical(1023)
    pairs = (values[:-1] * 32).astype(int) * 32 + (values[1:] * 32).astype(int)
    assert chi_square(np.bincount(pairs[::2], minlength=1024)) < critical(1023)


def test_normal_values_follow_their_distribution():
    values = random_normal(KEY, 1 << 20)
    n = values.size
    assert abs(values.mean()) < 4 / math.sqrt(n)
    assert abs(values.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs((values**4).mean() - 3) < 4 * math.sqrt(96 / n)
    edges = np.linspace(-4, 4, 81)
    cdf = np.array([0, *(math.erf(e / math.sqrt(2)) / 2 + 0.5 for e in edges), 1])
    counts = np.bincount(np.searchsorted(edges, values), minlength=82)
    expected = np.diff(cdf) * n
    assert float(((counts - expected) ** 2 / expected).sum()) < critical(81)
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 4 / math.sqrt(n)


def test_a_cut_normal_is_the_same_stream_without_the_tails():
    whole, cut = random_normal(KEY, 1000), random_normal(KEY, 900, -2.0, 2.0)
    inside = whole[np.abs(whole) <= 2]
    assert (cut[: inside.size] == inside[:900]).all()
    assert abs(random_normal(KEY, 1 << 18, -2.0, 2.0).std() - 0.87962566103423978) < 3e-3


def test_normal_values_do_not_depend_on_how_many_are_drawn():
    assert (random_normal(KEY, 50000)[:77] == random_normal(KEY, 77)).all()


SIZE = 1 << 20


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.9])
def test_the_share_of_kept_elements(rate):
    kept = dropout_mask((SIZE,), rate, KEY, 3, np.float64) > 0
    chance = round((1 - rate) * 65536) / 65536
    spread = math.sqrt(chance * (1 - chance) / SIZE)
    assert abs(kept.mean() - chance) < 4 * spread
    for lane in range(4):
        assert abs(kept[lane::4].mean() - chance) < 4 * 2 * spread
    # Blocks of 64 elements: the number kept in each is binomial, neither too even nor too uneven.
    blocks = kept.reshape(-1, 64).sum(1)
    n = blocks.size
    assert abs(blocks.var() / (64 * chance * (1 - chance)) - 1) < 4 * math.sqrt(2 / n) * 1.1


def test_masks_of_lanes_neighbours_steps_layers_and_calls_are_uncorrelated():
    bound = 4.5 / math.sqrt(SIZE // 4)
    mask = dropout_mask((SIZE,), 0.5, KEY, 0, np.float64) - 1
    lanes = np.corrcoef(mask.reshape(-1, 4).T)
    assert np.abs(lanes - np.eye(4)).max() < bound
    for shift in (1, 2, 3, 4, 5, 8, 64, 1024):
        assert abs((mask[shift:] * mask[:-shift]).mean()) < bound
    for other in (
        dropout_mask((SIZE,), 0.5, KEY, 1, np.float64),
        dropout_mask((SIZE,), 0.5, KEY, 2**31, np.float64),
        dropout_mask((SIZE,), 0.5, layer_key(8, "stage.1.dropout"), 0, np.float64),
        dropout_mask((SIZE,), 0.5, layer_key(7, "stage.2.dropout"), 0, np.float64),
        dropout_mask((SIZE,), 0.5, layer_key(7, "stage.1.dropout", 1), 0, np.float64),
    ):
        assert abs((mask * (other - 1)).mean()) < bound


def test_lane_patterns_are_uniform():
    kept = dropout_mask((SIZE,), 0.5, KEY, 5, np.float64) > 0
    patterns = np.packbits(kept.reshape(-1, 8))
    assert chi_square(np.bincount(patterns, minlength=256)) < critical(255)


def test_one_element_over_many_steps_is_fair():
    steps = np.array([dropout_mask((5,), 0.5, KEY, s, np.float64) for s in range(4000)]) - 1
    assert np.abs(steps.mean(0)).max() < 4.5 / math.sqrt(4000)
    assert np.abs((steps[1:] * steps[:-1]).mean(0)).max() < 4.5 / math.sqrt(4000)


def test_part_of_a_batch_has_its_rows_of_the_mask():
    whole = dropout_mask((10, 3, 3), 0.3, KEY, 2, np.float32)
    assert (dropout_mask((4, 3, 3), 0.3, KEY, 2, np.float32, first_row=5) == whole[5:9]).all()


def test_masks_scale_what_they_keep():
    mask = dropout_mask((64, 3), 0.2, KEY, 0, np.float32)
    assert mask.dtype == np.float32 and set(np.unique(mask)) == {0, np.float32(1 / 0.8)}
    assert (dropout_mask((64, 3), 0.0, KEY, 0, np.float64) == 1).all()


SHAPES = [(1,), (3, 5, 7), (7, 1, 9, 2), (0, 3), (2, 0), (33, 1001), (3, 70001)]


@pytest.mark.parametrize("shape", SHAPES)
def test_three_backends_draw_the_same_masks(shape):
    import tensorflow as tf
    import torch

    from specc.backends.tensorflow import prelude_random as tensorflow_random
    from specc.backends.torch import prelude_random as torch_random

    @tf.function
    def graph_mask(sizes, step, first_row):
        return tensorflow_random.dropout_mask(sizes, 0.3, KEY, step, tf.float64, first_row)

    for rate in (0.0, 1e-6, 0.1, 0.3, 0.5, 0.999):
        for step, row in ((0, 0), (1, 1), (40, 3), (123456, 100001)):
            expected = dropout_mask(shape, rate, KEY, step, np.float64, row)
            ours = torch_random.dropout_mask(shape, rate, KEY, step, torch.float64, row)
            theirs = tensorflow_random.dropout_mask(shape, rate, KEY, step, tf.float64, row)
            assert expected.shape == tuple(ours.shape) == tuple(theirs.shape) == shape
            assert np.array_equal(expected, ours.numpy())
            assert np.array_equal(expected, theirs.numpy())
            if rate == 0.3:
                sizes = tf.constant(shape, tf.int32)
                traced = graph_mask(sizes, tf.constant(step, tf.int64), tf.constant(row))
                assert np.array_equal(expected, traced.numpy())
    assert graph_mask.experimental_get_tracing_count() == 1


def test_dropout_of_both_frameworks_uses_the_mask_and_passes_its_gradient():
    import tensorflow as tf
    import torch

    from specc.backends.tensorflow.prelude_random import dropout as tensorflow_dropout
    from specc.backends.torch.prelude_random import dropout as torch_dropout

    x = np.random.default_rng(0).standard_normal((6, 5, 3)).astype(np.float32)
    mask = dropout_mask(x.shape, 0.4, KEY, 9, np.float32)
    ours = torch.tensor(x, requires_grad=True)
    # A permuted view: what counts is the order of the axes, not that of the memory.
    y = torch_dropout(ours.permute(2, 1, 0).contiguous().permute(2, 1, 0), 0.4, KEY, 9)
    y.sum().backward()
    assert np.array_equal(y.detach().numpy(), x * mask)
    assert np.array_equal(ours.grad.numpy(), mask)
    theirs = tf.Variable(x)
    with tf.GradientTape() as tape:
        z = tensorflow_dropout(theirs, 0.4, KEY, tf.constant(9))
        total = tf.reduce_sum(z)
    assert np.array_equal(z.numpy(), x * mask)
    assert np.array_equal(tape.gradient(total, theirs).numpy(), mask)

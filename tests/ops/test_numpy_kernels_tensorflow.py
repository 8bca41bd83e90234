"""NumPy kernels against TensorFlow where its rules are the ones that matter."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy_kernel_checks import assert_close

from specc.backends.numpy.prelude import (
    attention,
    convolution,
    losses,
    normalization,
    pooling,
    recurrent,
)


def test_max_pool_ties_go_to_the_first_element():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (3, 7, 6, 2)).astype(float)
    with tf.GradientTape() as tape:
        variable = tf.Variable(x)
        expected = tf.nn.max_pool2d(variable, (3, 3), (2, 2), "SAME")
    dy = rng.standard_normal(expected.shape)
    gradient = tape.gradient(expected, variable, tf.constant(dy))

    attributes = ((3, 3), (2, 2), ((1, 1), (0, 1)))  # what SAME comes to for 7 x 6
    y = pooling.max_pool2d(x, *attributes)
    assert_close(y, expected.numpy())
    assert_close(pooling.max_pool2d_gradient(x, y, dy, *attributes), gradient.numpy())


def test_average_pool_leaves_padding_out():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3, 7, 6, 2))
    with tf.GradientTape() as tape:
        variable = tf.Variable(x)
        expected = tf.nn.avg_pool2d(variable, (3, 3), (2, 2), "SAME")
    dy = rng.standard_normal(expected.shape)
    gradient = tape.gradient(expected, variable, tf.constant(dy))

    attributes = ((3, 3), (2, 2), ((1, 1), (0, 1)), False)
    assert_close(pooling.average_pool2d(x, *attributes), expected.numpy())
    assert_close(pooling.average_pool2d_gradient(dy, x.shape, *attributes), gradient.numpy())


def test_masked_batch_norm_is_keras():
    rng = np.random.default_rng(2)
    x, dy = rng.standard_normal((4, 6, 3)) + 1, rng.standard_normal((4, 6, 3))
    mask = rng.random((4, 6)) < 0.6
    layer = keras.layers.BatchNormalization(momentum=0.0, dtype="float64")
    layer.build(x.shape)
    gamma, beta = rng.standard_normal(3), rng.standard_normal(3)
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        expected = layer(variable, training=True, mask=mask)
    sources = (variable, layer.gamma.value, layer.beta.value)
    gradients = tape.gradient(expected, sources, tf.constant(dy))

    # momentum 0 leaves the statistics of this batch in the moving ones
    results = normalization.batch_norm_masked(x, mask, gamma, beta, 1e-3)
    y, normalized, mean, variance, inverse_deviation = results
    assert_close(y, expected.numpy())
    assert_close(mean, layer.moving_mean.numpy())
    assert_close(variance, layer.moving_variance.numpy())
    actual = normalization.batch_norm_masked_gradient(
        dy, normalized, mask, gamma, inverse_deviation
    )
    for gradient, reference in zip(actual, gradients, strict=True):
        assert_close(gradient, reference.numpy())


def keras_recurrent(name, units, **options):
    """A Keras layer, float64, that returns its outputs and states."""
    classes = {
        "lstm": keras.layers.LSTM,
        "gru": keras.layers.GRU,
        "gru_reset_before": keras.layers.GRU,
        "simple_rnn": keras.layers.SimpleRNN,
    }
    if name == "gru_reset_before":
        options["reset_after"] = False
    return classes[name](
        units, return_sequences=True, return_state=True, dtype="float64", **options
    )


def numpy_recurrent(name, x, weights, initial, mask, reverse):
    """Results of the kernel `name`, and a function from cotangents to dx and weight gradients."""
    one_bias = [None] if name in ("lstm", "simple_rnn") else []
    states = initial or [None] * (2 if name == "lstm" else 1)
    activation = ["tanh"] if name == "simple_rnn" else []
    forward, backward = getattr(recurrent, name), getattr(recurrent, name + "_gradient")
    *results, saved = forward(x, *weights, *one_bias, *states, mask, *activation, reverse=reverse)

    def gradients(*cotangents):
        rest = (saved, weights[0], weights[1], mask, *activation)
        return backward(*cotangents, *rest, reverse=reverse)

    return results, gradients


# Full, right-padded, left-padded with a gap, and empty sequences.
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]], bool)


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("mask", [None, MASK], ids=["full", "masked"])
@pytest.mark.parametrize("initial", [False, True])
@pytest.mark.parametrize("name", ["lstm", "gru", "gru_reset_before", "simple_rnn"])
def test_recurrent_layers_are_keras(name, initial, mask, reverse, unroll):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((4, 5, 3))
    layer = keras_recurrent(name, 2, go_backwards=reverse, unroll=unroll)
    layer.build(x.shape)
    weights = [rng.standard_normal(weight.shape) for weight in layer.get_weights()]
    layer.set_weights(weights)
    count = 2 if name == "lstm" else 1
    given = [rng.standard_normal((4, 2)) for _ in range(count)] if initial else []
    cotangents = [rng.standard_normal((4, 5, 2)), *rng.standard_normal((count, 4, 2))]
    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        states = [tf.constant(state) for state in given] or None
        outputs, *final = layer(variable, initial_state=states, mask=mask)
        if reverse:
            outputs = tf.reverse(outputs, [1])  # Keras leaves them in the order of processing
        total = sum(
            tf.reduce_sum(a * b) for a, b in zip((outputs, *final), cotangents, strict=True)
        )
    sources = [variable, *(weight.value for weight in layer.trainable_weights)]
    expected = tape.gradient(total, sources)

    results, gradients = numpy_recurrent(name, x, weights, given, mask, reverse)
    for result, reference in zip(results, (outputs, *final), strict=True):
        assert_close(result, reference.numpy())
    for gradient, reference in zip(gradients(*cotangents), expected, strict=False):
        assert_close(gradient, reference.numpy())


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_bidirectional_zeroes_masked_outputs(name):
    """Keras' Bidirectional is both directions with masked outputs set to 0, states untouched."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((4, 5, 3))
    layer = keras.layers.Bidirectional(keras_recurrent(name, 2), dtype="float64")
    layer.build(x.shape)
    weights = [rng.standard_normal(weight.shape) for weight in layer.get_weights()]
    layer.set_weights(weights)
    outputs, *final = layer(tf.constant(x), mask=MASK)

    directions = [
        numpy_recurrent(name, x, part, [], MASK, reverse)[0]
        for part, reverse in ((weights[:3], False), (weights[3:], True))
    ]
    joined = np.concatenate([results[0] for results in directions], axis=-1) * MASK[..., None]
    assert_close(joined, outputs.numpy())
    actual = [state for results in directions for state in results[1:]]
    for state, reference in zip(actual, final, strict=True):
        assert_close(state, reference.numpy())


def test_depthwise_channels_are_keras():
    rng = np.random.default_rng(5)
    x, kernel = rng.standard_normal((2, 7, 6, 3)), rng.standard_normal((3, 2, 3, 2))
    with tf.GradientTape() as tape:
        variables = tf.Variable(x), tf.Variable(kernel)
        expected = keras.ops.depthwise_conv(*variables, strides=2, padding="same")
    dy = rng.standard_normal(expected.shape)
    gradients = tape.gradient(expected, variables, tf.constant(dy))

    attributes = ((2, 2), ((1, 1), (0, 0)), (1, 1))  # what SAME comes to for 7 x 6
    assert_close(convolution.depthwise_conv2d(x, kernel, *attributes), expected.numpy())
    dx = convolution.depthwise_conv2d_input_gradient(dy, kernel, x.shape, *attributes)
    dkernel = convolution.depthwise_conv2d_kernel_gradient(x, dy, kernel.shape, *attributes)
    assert_close(dx, gradients[0].numpy())
    assert_close(dkernel, gradients[1].numpy())


@pytest.mark.parametrize("causal", [False, True])
def test_masked_attention_is_keras(causal):
    rng = np.random.default_rng(6)
    query, key, value, dy = rng.standard_normal((4, 2, 3, 5, 4))
    mask = rng.random((2, 1, 5, 5)) < 0.6
    mask[..., 0] = True
    with tf.GradientTape() as tape:
        variables = [tf.Variable(array.swapaxes(1, 2)) for array in (query, key, value)]
        expected = keras.ops.dot_product_attention(*variables, mask=mask, is_causal=causal)
    gradients = tape.gradient(expected, variables, tf.constant(dy.swapaxes(1, 2)))

    y, weights = attention.scaled_dot_product_attention(query, key, value, mask, causal)
    # Keras rounds 1 / sqrt(D) to float32, which is exact for D = 4.
    assert_close(y.swapaxes(1, 2), expected.numpy())
    actual = attention.scaled_dot_product_attention_gradient(dy, weights, query, key, value)
    for gradient, reference in zip(actual, gradients, strict=True):
        assert_close(gradient.swapaxes(1, 2), reference.numpy())


def keras_loss_cases():
    """Kernel's name, Keras' function and options, prediction, target, further arguments."""
    rng = np.random.default_rng(7)
    p = rng.dirichlet(np.ones(4), (3, 5))
    logits, labels = 3 * rng.standard_normal((3, 5, 4)), rng.integers(0, 4, (3, 5))
    target, bits = rng.dirichlet(np.ones(4), (3, 5)), rng.integers(0, 2, (3, 5, 4)).astype(float)
    of_logits = {"from_logits": True}
    k = keras.losses
    return [
        ("mean_squared_error", k.mean_squared_error, {}, logits, target, ()),
        ("mean_absolute_error", k.mean_absolute_error, {}, logits, target, ()),
        ("huber", k.huber, {"delta": 0.5}, logits, target, (0.5,)),
        ("binary_crossentropy", k.binary_crossentropy, {}, p, bits, ()),
        ("binary_crossentropy_from_logits", k.binary_crossentropy, of_logits, logits, bits, ()),
        ("categorical_crossentropy", k.categorical_crossentropy, {}, 0.7 * p, target, ()),
        (
            "categorical_crossentropy_from_logits",
            k.categorical_crossentropy,
            {"label_smoothing": 0.25, **of_logits},
            logits,
            target,
            (0.25,),
        ),
        ("sparse_categorical_crossentropy", k.sparse_categorical_crossentropy, {}, p, labels, ()),
        (
            "sparse_categorical_crossentropy_from_logits",
            k.sparse_categorical_crossentropy,
            of_logits,
            logits,
            labels,
            (),
        ),
    ]


@pytest.mark.parametrize("case", keras_loss_cases(), ids=lambda case: case[0])
def test_losses_are_keras(case):
    name, function, options, prediction, target, arguments = case
    weights = np.random.default_rng(8).uniform(0.5, 1.5, prediction.shape[:-1])
    variable = tf.Variable(prediction)
    with tf.GradientTape() as tape:
        expected = function(target, tf.convert_to_tensor(variable), **options)
    gradient = tape.gradient(expected, variable, tf.constant(weights))

    values = getattr(losses, name)(prediction, target, *arguments)
    actual = getattr(losses, name + "_gradient")(prediction, target, *arguments, weights=weights)
    assert_close(values, expected.numpy())
    assert_close(actual, tf.convert_to_tensor(gradient).numpy())

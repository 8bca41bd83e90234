"""NumPy kernels against TensorFlow where its rules are the ones that matter."""

import keras
import numpy as np
import tensorflow as tf
from numpy_kernel_checks import assert_close

from specc.backends.numpy.prelude import normalization, pooling


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

"""Dropout of generated TensorFlow files."""

import tensorflow as tf


def scramble_tensor(z: tf.Tensor) -> tf.Tensor:
    """The SplitMix64 finaliser of uint64 words."""
    word = tf.uint64
    shift, xor = tf.bitwise.right_shift, tf.bitwise.bitwise_xor
    z = xor(z, shift(z, tf.constant(30, word))) * tf.constant(0xBF58476D1CE4E5B9, word)
    z = xor(z, shift(z, tf.constant(27, word))) * tf.constant(0x94D049BB133111EB, word)
    return xor(z, shift(z, tf.constant(31, word)))


def dropout_mask(
    shape: tf.Tensor | tuple[int, ...],
    rate: float,
    key: int,
    step: tf.Tensor | int,
    dtype: tf.DType,
    first_row: tf.Tensor | int = 0,
) -> tf.Tensor:
    """A mask of 0 and 1 / (1 - rate), the same on every backend; 0 <= rate < 1.

    Element e of the global batch, counted over the spec's layout, is kept where 16-bit lane e % 4
    of word e // 4 of the step's stream is below round((1 - rate) * 65536). This part of the batch
    starts at row first_row. shape and step may be tensors: one graph serves every batch and step.
    """
    shape = tf.cast(shape, tf.int64)
    size = tf.reduce_prod(shape)
    first = tf.cast(first_row, tf.int64) * tf.reduce_prod(shape[1:])
    word, skip = first // 4, first % 4
    golden = tf.constant(0x9E3779B97F4A7C15, tf.uint64)
    key = scramble_tensor(tf.constant(key, tf.uint64) + tf.cast(step, tf.uint64) * golden)
    counter = tf.cast(tf.range(word, word + (skip + size + 3) // 4), tf.uint64)
    lanes = tf.reshape(tf.bitcast(scramble_tensor(counter * golden + key), tf.uint16), [-1])
    # "At most" the last kept lane: the bound itself, 65536 where nothing is dropped, is no uint16.
    last = tf.constant(round((1 - rate) * 65536) - 1, tf.uint16)
    kept = tf.reshape(lanes[skip : skip + size] <= last, shape)
    return tf.cast(kept, dtype) * (1 / (1 - rate))


def dropout(
    x: tf.Tensor, rate: float, key: int, step: tf.Tensor | int, first_row: tf.Tensor | int = 0
) -> tf.Tensor:
    """Inverted dropout of x, in the spec's layout; (key, step) alone decide the mask."""
    return x * dropout_mask(tf.shape(x), rate, key, step, x.dtype, first_row)

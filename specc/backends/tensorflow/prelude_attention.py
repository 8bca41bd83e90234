"""Attention of generated TensorFlow files."""

import keras
import tensorflow as tf


class MultiHeadAttention(keras.Layer):
    """Multi-head attention with kernels by head, as Keras keeps them.

    Keras' own rounds its scale to float32 in float64 models. A query that may attend to nothing
    gets 0 from every head.
    """

    def __init__(
        self,
        features: int,
        heads: int,
        key_dim: int,
        value_dim: int | None = None,
        key_features: int | None = None,
        value_features: int | None = None,
        bias: bool = True,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.causal, self.scale = causal, key_dim**-0.5
        value_dim = value_dim or key_dim
        for name, shape, kept in (
            ("query", (features, heads, key_dim), 1),
            ("key", (key_features or features, heads, key_dim), 1),
            ("value", (value_features or features, heads, value_dim), 1),
            ("output", (heads, value_dim, features), 2),
        ):
            setattr(self, f"{name}_kernel", self.add_weight(shape, name=f"{name}_kernel"))
            made = self.add_weight(shape[kept:], name=f"{name}_bias") if bias else None
            setattr(self, f"{name}_bias", made)

    def project(self, name: str, x: tf.Tensor, axes: int = 1) -> tf.Tensor:
        """x through a kernel over its last axes, the bias added."""
        kernel, bias = getattr(self, f"{name}_kernel"), getattr(self, f"{name}_bias")
        y = tf.tensordot(x, kernel, axes)
        return y if bias is None else y + bias

    def split(self, name: str, x: tf.Tensor) -> tf.Tensor:
        """The projection of x (N, T, D) by head: (N, heads, T, size)."""
        return tf.transpose(self.project(name, x), [0, 2, 1, 3])

    def call(
        self,
        query: tf.Tensor,
        value: tf.Tensor | None = None,
        key: tf.Tensor | None = None,
        allowed: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Attention of query (N, T, D) to value and key (N, S, ...), where it is allowed."""
        value = query if value is None else value
        key = value if key is None else key
        queries, keys = self.split("query", query), self.split("key", key)
        scores = tf.matmul(queries * self.scale, keys, transpose_b=True)
        past = tf.linalg.band_part(tf.ones_like(scores[0, 0], tf.bool), -1, 0)
        if allowed is not None:
            allowed = tf.expand_dims(allowed, 1)
            allowed = tf.expand_dims(allowed, 1) if len(allowed.shape) == 3 else allowed
            allowed = allowed & past if self.causal else allowed
            weights = tf.nn.softmax(tf.where(allowed, scores, scores.dtype.min))
            weights *= tf.cast(allowed, scores.dtype)
        elif self.causal:  # no query is without a key
            hidden = tf.constant(float("-inf"), scores.dtype)
            weights = tf.nn.softmax(scores + tf.where(past, tf.zeros_like(hidden), hidden))
        else:
            weights = tf.nn.softmax(scores)
        means = tf.matmul(weights, self.split("value", value))
        return self.project("output", tf.transpose(means, [0, 2, 1, 3]), 2)

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

    def project(self, name: str, equation: str, x: tf.Tensor) -> tf.Tensor:
        """x through a kernel, its bias added: (heads, size) along the axes of the heads."""
        kernel, bias = getattr(self, f"{name}_kernel"), getattr(self, f"{name}_bias")
        y = tf.einsum(equation, x, kernel)
        if bias is None:
            return y
        return y + (bias if len(bias.shape) == 1 else tf.expand_dims(bias, 1))

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
        split = "ntd,dhk->nhtk"
        queries, keys = self.project("query", split, query), self.project("key", split, key)
        scores = tf.matmul(queries * self.scale, keys, transpose_b=True)
        if allowed is not None:
            allowed = tf.expand_dims(allowed, 1)
            allowed = tf.expand_dims(allowed, 1) if len(allowed.shape) == 3 else allowed
        if self.causal:
            past = tf.linalg.band_part(tf.ones_like(scores[0, 0], tf.bool), -1, 0)
            allowed = past if allowed is None else allowed & past
        if allowed is None:
            weights = tf.nn.softmax(scores)
        else:
            weights = tf.nn.softmax(tf.where(allowed, scores, scores.dtype.min))
            weights *= tf.cast(allowed, scores.dtype)
        means = tf.matmul(weights, self.project("value", split, value))
        return self.project("output", "nhtk,hkd->ntd", means)

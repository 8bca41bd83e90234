"""Dropout of generated JAX files."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def scramble_words(z: jax.Array) -> jax.Array:
    """The SplitMix64 finaliser of uint64 words."""
    z = (z ^ (z >> 30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> 27)) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> 31)


def dropout_mask(
    shape: tuple[int, ...],
    rate: float,
    key: int,
    step: jax.Array | int,
    dtype: jnp.dtype,
    first_row: int = 0,
) -> jax.Array:
    """A mask of 0 and 1 / (1 - rate), the same on every backend and device; 0 <= rate < 1.

    Element e of the global batch, counted over the spec's layout, is kept where 16-bit lane e % 4
    of word e // 4 of the step's stream is below round((1 - rate) * 65536). This part of the batch
    starts at row first_row. step may be traced: one program serves every step.
    """
    size = math.prod(shape)
    word, skip = divmod(first_row * math.prod(shape[1:]), 4)
    with jax.enable_x64(True):  # the words have 64 bits, whatever the precision of the model
        golden = np.uint64(0x9E3779B97F4A7C15)
        stream = scramble_words(jnp.asarray(step).astype(jnp.uint64) * golden + np.uint64(key))
        counter = jnp.arange(word, word + -(-(skip + size) // 4), dtype=jnp.uint64)
        words = scramble_words(counter * golden + stream)
        lanes = lax.bitcast_convert_type(words, jnp.uint16).reshape(-1)[skip : skip + size]
        # "At most" the last kept lane: the bound itself may be 65536, which is no uint16.
        kept = lanes <= np.uint16(round((1 - rate) * 65536) - 1)
    return kept.reshape(shape).astype(dtype) * (1 / (1 - rate))


def dropout(
    x: jax.Array, rate: float, key: int, step: jax.Array | int, first_row: int = 0
) -> jax.Array:
    """Inverted dropout of x, in the spec's layout; (key, step) alone decide the mask."""
    return x * dropout_mask(x.shape, rate, key, step, x.dtype, first_row)

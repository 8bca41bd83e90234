"""Framework-free code copied into generated files: random streams, batch order and initial values.

Every random number is a word of a named stream: word i of the stream with key k is the SplitMix64
finaliser (Steele, Lea and Flood, 2014) of k + i * 0x9E3779B97F4A7C15 in wrapping 64-bit
arithmetic. A counter has no state: any word can be had without the ones before it, anywhere.
"""

import hashlib
import math
from collections.abc import Callable

import numpy as np


def stream_key(seed: int, name: str) -> int:
    """The 64-bit key of a named random stream: the first 8 bytes of BLAKE2b of "seed/name"."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def random_words(key: int, count: int, start: int = 0) -> np.ndarray:
    """Words start, ..., start + count - 1 of a stream: the SplitMix64 finaliser over a counter."""
    z: np.ndarray = np.arange(start, start + count, dtype=np.uint64) * 0x9E3779B97F4A7C15 + key
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB
    z ^= z >> 31
    return z


def scramble(z: np.ndarray) -> np.ndarray:
    """The SplitMix64 finaliser of each 64-bit word, in place."""
    shifted = z >> 30
    z ^= shifted
    z *= 0xBF58476D1CE4E5B9
    z ^= np.right_shift(z, 27, out=shifted)
    z *= 0x94D049BB133111EB
    z ^= np.right_shift(z, 31, out=shifted)
    return z


def random_uniform(key: int, count: int, start: int = 0) -> np.ndarray:
    """Uniform values in [0, 1) from the upper 53 bits of each word: exact on every machine."""
    return (random_words(key, count, start) >> 11) * 2.0**-53


def random_normal(
    key: int, count: int, low: float = -math.inf, high: float = math.inf
) -> np.ndarray:
    """Standard normal values in [low, high], by the ratio of uniforms.

    Kinderman and Monahan (1977): of each pair (u, v) keep x = sqrt(8/e) (v - 1/2) / u where
    x^2 <= -4 log(u). The logarithm only decides, so that its rounding never reaches a value.
    """
    values = np.empty(count)
    filled = start = 0
    while filled < count:
        pairs = min(2 * (count - filled) + 16, 16384)  # a block that stays in the cache
        u, v = random_uniform(key, 2 * pairs, start).reshape(pairs, 2).T
        u = 1 - u  # in (0, 1]
        x = math.sqrt(8 / math.e) * (v - 0.5) / u
        x = x[(x * x <= -4 * np.log(u)) & (x >= low) & (x <= high)][: count - filled]
        values[filled : filled + x.size] = x
        filled += x.size
        start += 2 * pairs
    return values


def batch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order in which an epoch, counted from 0, visits the examples: that of random words."""
    return np.argsort(random_words(stream_key(seed, f"order/{epoch}"), count), kind="stable")


def layer_key(seed: int, path: str, call: int = 0) -> int:
    """The key of a layer's dropout masks; each call of a shared layer has its own."""
    return stream_key(seed, f"mask/{path}@{call}" if call else f"mask/{path}")


def step_key(key: int, step: int) -> int:
    """The key of a layer's mask at a step: word number step of the layer's stream."""
    z = (key + step * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def nadam_momentum(t: int, beta_1: float, decay: float) -> float:
    """Nadam's momentum at step t (from 1), which grows from beta_1 / 2 to beta_1."""
    return beta_1 * (1 - 0.5 * math.pow(0.96, t * decay))


def nadam_product(t: int, beta_1: float, decay: float) -> float:
    """The product of nadam_momentum over steps 1 to t, taken as 0 once 1 - product is 1."""
    product = 1.0
    for step in range(1, t + 1):
        product *= nadam_momentum(step, beta_1, decay)
        if product < 2.0**-60:
            return 0.0
    return product


# Initial values: each function below returns what draws one float64 tensor from its key and shape.
Draw = Callable[[int, tuple[int, ...]], np.ndarray]


def zeros() -> Draw:
    """All 0."""
    return lambda key, shape: np.zeros(shape)


def ones() -> Draw:
    """All 1."""
    return lambda key, shape: np.ones(shape)


def constant(value: float = 0.0) -> Draw:
    """One value everywhere."""
    return lambda key, shape: np.full(shape, float(value))


def identity(gain: float = 1.0) -> Draw:
    """The identity matrix times gain."""
    return lambda key, shape: gain * np.eye(shape[0], shape[1])


def uniform(low: float, high: float) -> Draw:
    """U(low, high)."""
    return lambda key, shape: (
        low + (high - low) * random_uniform(key, math.prod(shape)).reshape(shape)
    )


def normal(stddev: float, mean: float = 0.0) -> Draw:
    """N(mean, stddev^2)."""
    return lambda key, shape: mean + stddev * random_normal(key, math.prod(shape)).reshape(shape)


def truncated_normal(
    stddev: float, mean: float = 0.0, low: float = -2.0, high: float = 2.0
) -> Draw:
    """N(mean, stddev^2) cut at low and high, which count from the mean in units of stddev."""
    return lambda key, shape: (
        mean + stddev * random_normal(key, math.prod(shape), low, high).reshape(shape)
    )


def orthogonal(gain: float = 1.0) -> Draw:
    """Orthonormal columns (or rows, the fewer) of the matrix that joins all axes but the last.

    QR of a normal matrix, with the signs that make the factor unique (Saxe et al., 2014).
    """

    def values(key: int, shape: tuple[int, ...]) -> np.ndarray:
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = random_normal(key, rows * columns).reshape(max(rows, columns), min(rows, columns))
        q, r = np.linalg.qr(tall)
        q *= np.where(np.diag(r) < 0, -1.0, 1.0)
        return gain * (q if rows >= columns else q.T).reshape(shape)

    return values


def glorot_uniform(fan_in: float, fan_out: float, gain: float = 1.0) -> Draw:
    """U(-a, a), a = gain sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    limit = gain * math.sqrt(6 / (fan_in + fan_out))
    return uniform(-limit, limit)


def glorot_normal(fan_in: float, fan_out: float) -> Draw:
    """Variance 2 / (fan_in + fan_out), from a normal cut at 2 sigma (Glorot and Bengio, 2010)."""
    return scaled_truncated_normal(math.sqrt(2 / (fan_in + fan_out)))


def xavier_normal(fan_in: float, fan_out: float, gain: float = 1.0) -> Draw:
    """N(0, gain^2 2 / (fan_in + fan_out)), not cut (Glorot and Bengio, 2010)."""
    return normal(gain * math.sqrt(2 / (fan_in + fan_out)))


def he_uniform(fan_in: float) -> Draw:
    """U(-a, a), a = sqrt(6 / fan_in) (He et al., 2015)."""
    return kaiming_uniform(fan_in, math.sqrt(2))


def he_normal(fan_in: float) -> Draw:
    """Variance 2 / fan_in, from a normal cut at 2 sigma (He et al., 2015)."""
    return scaled_truncated_normal(math.sqrt(2 / fan_in))


def lecun_uniform(fan_in: float) -> Draw:
    """U(-a, a), a = sqrt(3 / fan_in) (LeCun et al., 1998)."""
    return kaiming_uniform(fan_in, 1.0)


def lecun_normal(fan_in: float) -> Draw:
    """Variance 1 / fan_in, from a normal cut at 2 sigma (LeCun et al., 1998)."""
    return scaled_truncated_normal(math.sqrt(1 / fan_in))


def kaiming_uniform(fan: float, gain: float) -> Draw:
    """U(-a, a), a = gain sqrt(3 / fan) (He et al., 2015)."""
    limit = gain * math.sqrt(3 / fan)
    return uniform(-limit, limit)


def kaiming_normal(fan: float, gain: float) -> Draw:
    """N(0, gain^2 / fan), not cut (He et al., 2015)."""
    return normal(gain / math.sqrt(fan))


def fan_in_uniform(fan_in: float) -> Draw:
    """U(-a, a), a = 1 / sqrt(fan_in): what torch's Linear and convolutions start from."""
    limit = 1 / math.sqrt(fan_in)
    return uniform(-limit, limit)


def unit_forget_bias() -> Draw:
    """An LSTM's bias with 1 in the slice of the forget gate (gates i, f, c, o), 0 elsewhere."""

    def values(key: int, shape: tuple[int, ...]) -> np.ndarray:
        bias = np.zeros(shape)
        bias[shape[0] // 4 : shape[0] // 2] = 1.0
        return bias

    return values


def scaled_truncated_normal(stddev: float) -> Draw:
    """A normal cut at 2 sigma, widened so that stddev is its deviation after the cut."""
    return truncated_normal(stddev / 0.87962566103423978)


def with_zero_row(draw: Draw, row: int) -> Draw:
    """The same values, except that one row is 0."""

    def values(key: int, shape: tuple[int, ...]) -> np.ndarray:
        table = draw(key, shape)
        table[row] = 0.0
        return table

    return values

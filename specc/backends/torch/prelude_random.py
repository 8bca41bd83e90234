"""Dropout of generated PyTorch files."""

import math

import torch

from specc.backends.prelude_shared import step_key


def dropout_mask(
    shape: tuple[int, ...],
    rate: float,
    key: int,
    step: int,
    dtype: torch.dtype,
    first_row: int = 0,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """A mask of 0 and 1 / (1 - rate), the same on every backend and device; 0 <= rate < 1.

    Element e of the global batch, counted over the spec's layout, is kept where 16-bit lane e % 4
    of word e // 4 of the step's stream is below round((1 - rate) * 65536). This part of the batch
    starts at row first_row. Words are int64: shifts are masked, and with their sign bits flipped
    the lanes compare as int16.
    """
    size = math.prod(shape)
    word, skip = divmod(first_row * math.prod(shape[1:]), 4)
    key = step_key(key, step)
    z = torch.arange(word, word + -(-(skip + size) // 4), device=device)
    z.mul_(0x9E3779B97F4A7C15 - 2**64).add_(key - 2**64 if key >= 2**63 else key)
    shifted = z >> 30
    z.bitwise_xor_(shifted.bitwise_and_(2**34 - 1)).mul_(0xBF58476D1CE4E5B9 - 2**64)
    torch.bitwise_right_shift(z, 27, out=shifted)
    z.bitwise_xor_(shifted.bitwise_and_(2**37 - 1)).mul_(0x94D049BB133111EB - 2**64)
    torch.bitwise_right_shift(z, 31, out=shifted)
    z.bitwise_xor_(shifted.bitwise_and_(2**33 - 1)).bitwise_xor_(0x8000800080008000 - 2**64)
    kept = z.view(torch.int16) <= round((1 - rate) * 65536) - 32769
    return kept[skip : skip + size].to(dtype).mul_(1 / (1 - rate)).view(shape)


def dropout(x: torch.Tensor, rate: float, key: int, step: int, first_row: int = 0) -> torch.Tensor:
    """Inverted dropout of x, in the spec's layout; (key, step) alone decide the mask."""
    return x * dropout_mask(tuple(x.shape), rate, key, step, x.dtype, first_row, x.device)

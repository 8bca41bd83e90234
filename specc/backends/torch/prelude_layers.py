"""Layers of generated PyTorch files whose meaning torch's own do not have."""

import torch
from torch import Tensor, nn

from specc.backends.prelude_shared import layer_key
from specc.backends.torch.prelude_random import dropout


class Dropout(nn.Module):
    """Dropout whose masks derive from (seed, path, step): the same on every backend."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def seed(self, seed: int, path: str) -> None:
        """Fixes the stream of this layer's masks."""
        self.where = seed, path

    def forward(self, x: Tensor, step: int, call: int = 0) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        return dropout(x, self.rate, layer_key(*self.where, call), step)

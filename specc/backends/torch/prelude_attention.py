"""Attention of generated PyTorch files."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MultiHeadAttention(nn.Module):
    """Multi-head attention with kernels by head, as Keras keeps them.

    nn.MultiheadAttention packs the kernels of query, key and value into one, and its masks say
    where not to attend. A query that may attend to nothing gets 0 from every head.
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
        self.causal = causal
        value_dim = value_dim or key_dim
        for name, size, head in (
            ("query", features, key_dim),
            ("key", key_features or features, key_dim),
            ("value", value_features or features, value_dim),
        ):
            kernel = nn.Parameter(torch.empty(size, heads, head))
            self.register_parameter(f"{name}_kernel", kernel)
            made = nn.Parameter(torch.empty(heads, head)) if bias else None
            self.register_parameter(f"{name}_bias", made)
        self.output_kernel = nn.Parameter(torch.empty(heads, value_dim, features))
        self.output_bias = nn.Parameter(torch.empty(features)) if bias else None

    def heads_of(self, name: str, x: Tensor) -> Tensor:
        """x (N, T, D) projected into heads: (N, heads, T, size)."""
        kernel, bias = getattr(self, f"{name}_kernel"), getattr(self, f"{name}_bias")
        y = F.linear(x, kernel.flatten(1).T, None if bias is None else bias.flatten())
        return y.view(*x.shape[:2], *kernel.shape[1:]).transpose(1, 2)

    def forward(
        self,
        query: Tensor,
        value: Tensor | None = None,
        key: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Attention of query (N, T, D) to value and key (N, S, ...), where the mask is True."""
        value = query if value is None else value
        key = value if key is None else key
        if mask is not None:
            mask = mask[:, None, None] if mask.ndim == 2 else mask[:, None]
            if self.causal:
                mask = mask & torch.ones_like(mask[0, 0]).expand(query.shape[1], -1).tril()
        means = F.scaled_dot_product_attention(
            self.heads_of("query", query),
            self.heads_of("key", key),
            self.heads_of("value", value),
            attn_mask=mask,
            is_causal=self.causal and mask is None,
        )
        joined = means.transpose(1, 2).flatten(2)
        return F.linear(joined, self.output_kernel.flatten(0, 1).T, self.output_bias)

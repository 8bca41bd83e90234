"""Layers of generated PyTorch files whose meaning torch's own do not have."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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

    @torch.compiler.disable  # its 64-bit integers are beyond it  #: compiled
    def forward(self, x: Tensor, step: int, call: int = 0) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        return dropout(x, self.rate, layer_key(*self.where, call), step)


def average_pool(
    x: Tensor, pool: Callable[..., Tensor], size: object, stride: object, pads: tuple[int, ...]
) -> Tensor:
    """The mean of each window of x (N, C, *) over what lies in x: uneven padding does not count."""
    inside = pool(F.pad(torch.ones_like(x[:1, :1]), pads), size, stride)
    return pool(F.pad(x, pads), size, stride) / inside


def masked_mean(x: Tensor, mask: Tensor, steps: int, channels: int, keepdims: bool) -> Tensor:
    """Mean of x (N, T, C) or (N, C, T) over the steps where the mask (N, T) is True."""
    valid = mask.unsqueeze(channels)
    total = torch.where(valid, x, 0).sum(steps, keepdim=keepdims)
    return total / valid.sum(steps, keepdim=keepdims)


def narrow(x: Tensor) -> Tensor:
    """An image (N, C, *) as it is, whose gradient gets the strides of its shape.

    An axis of size 1 may have any stride, and with an odd one torch's batch normalization takes a
    gradient whose channels lie last for one whose channels lie first.
    """
    return x.flatten(2).unflatten(2, x.shape[2:])


@torch.no_grad()
def image_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel of x (N, C, H, W), stored with the channels last.

    torch's kernel adds the values of a channel one by one, and float32 loses two digits. So it
    gets the columns of the images as channels of their own, whose moments are joined here.
    """
    channels, width = x.shape[1], x.shape[3]
    columns = x.permute(0, 2, 3, 1).reshape(-1, width * channels)
    _, mean, inverse_deviation = torch.native_batch_norm(
        columns, None, None, None, None, True, 0.0, 1e-12
    )
    means = mean.view(width, channels)
    variances = inverse_deviation.view(width, channels) ** -2 - 1e-12
    mean = means.mean(0)
    return mean, variances.mean(0) + (means - mean).square().mean(0)


class ImageBatchNorm(torch.autograd.Function):
    """Batch normalization of images by their moments, with torch's kernels."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt())
        return torch.native_batch_norm(x, weight, bias, mean, variance, False, 0.0, eps)[0]

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, *moments = ctx.saved_tensors
        gradients = torch.ops.aten.native_batch_norm_backward(
            dy, x, weight, None, None, *moments, True, 0.0, [True, True, True]
        )
        return *gradients, None, None, None


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalization whose running variance is the batch's own unless ``unbiased``.

    Positions that a mask (N, *) leaves out of x (N, C, *) do not count in the statistics. A frozen
    layer normalizes by its running statistics in training too.
    """

    def __init__(
        self,
        features: int,
        eps: float = 1e-3,
        momentum: float = 0.01,
        scale: bool = True,
        center: bool = True,
        unbiased: bool = False,
        frozen: bool = False,
    ) -> None:
        super().__init__(features, eps, momentum)
        self.share, self.unbiased, self.frozen = momentum, unbiased, frozen
        if not scale:
            self.register_parameter("weight", None)
        if not center:
            self.register_parameter("bias", None)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        statistics = self.running_mean, self.running_var
        if self.frozen or not self.training:
            return F.batch_norm(x, *statistics, self.weight, self.bias, eps=self.eps)
        if mask is not None:
            return self.masked(x, mask)
        images = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
        if (
            images
            and x.dtype == torch.float32
            and self.weight is not None
            and self.bias is not None
        ):
            mean, variance = image_moments(x)
            y = ImageBatchNorm.apply(x, self.weight, self.bias, mean, variance, self.eps)
        else:
            y, mean, inverse_deviation = torch.native_batch_norm(
                x.contiguous(), self.weight, self.bias, None, None, True, 0.0, self.eps
            )
            variance = inverse_deviation**-2 - self.eps
        self.update(mean, variance, x.numel() // self.num_features)
        return y

    def masked(self, x: Tensor, mask: Tensor) -> Tensor:
        """As Keras: sums are divided by the count + 1e-7, and every position is normalized."""
        valid, axes = mask.unsqueeze(1), (0, *range(2, x.ndim))
        count = valid.sum().to(x.dtype) + 1e-7
        mean = torch.where(valid, x, 0).sum(axes, keepdim=True) / count
        centred = x - mean
        variance = torch.where(valid, centred, 0).square().sum(axes, keepdim=True) / count
        self.update(mean.flatten(), variance.flatten())
        y = centred * torch.rsqrt(variance + self.eps)
        if self.weight is not None:
            y = y * self.weight.view(mean.shape)
        return y if self.bias is None else y + self.bias.view(mean.shape)

    @torch.no_grad()
    def update(self, mean: Tensor, variance: Tensor, count: int = 0) -> None:
        """Moves the running statistics towards those of a batch of ``count`` values per feature."""
        if self.unbiased:
            if count == 1:
                raise ValueError("batch normalization needs more than 1 value per feature to train")
            variance = variance * (count / (count - 1))
        self.get_buffer("running_mean").lerp_(mean, self.share)
        self.get_buffer("running_var").lerp_(variance, self.share)


class CentredLayerNorm(nn.LayerNorm):
    """Layer normalization with a bias and without a weight."""

    def __init__(self, shape: tuple[int, ...], eps: float = 1e-5) -> None:
        super().__init__(shape, eps)
        self.register_parameter("weight", None)


class GroupNorm(nn.GroupNorm):
    """Group normalization, perhaps with a weight or a bias only."""

    def __init__(
        self, groups: int, features: int, eps: float = 1e-5, scale: bool = True, center: bool = True
    ) -> None:
        super().__init__(groups, features, eps)
        if not scale:
            self.register_parameter("weight", None)
        if not center:
            self.register_parameter("bias", None)

    def forward(self, x: Tensor) -> Tensor:
        if not x.requires_grad:  # torch writes its gradient nonetheless where channels lie last
            x = x.clone(memory_format=torch.contiguous_format)
        # It takes no bias without a weight; F.group_norm refuses groups of one number.
        y = torch.group_norm(x, self.num_groups, self.weight, None, self.eps)
        return y if self.bias is None else y + self.bias.view(-1, *[1] * (x.ndim - 2))


class DepthwiseConv2d(nn.Module):
    """A convolution of each channel with filters of its own, in the channels' order."""

    def __init__(
        self,
        channels: int,
        multiplier: int,
        kernel_size: tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.options = {"stride": stride, "padding": padding, "dilation": dilation}
        self.weight = nn.Parameter(torch.empty(channels, multiplier, *kernel_size))
        self.bias = nn.Parameter(torch.empty(channels * multiplier)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        filters = self.weight.flatten(0, 1).unsqueeze(1)
        return F.conv2d(x, filters, self.bias, groups=len(self.weight), **self.options)

"""image_classification for PyTorch, written by specc 0.1.0
from image_classification.yaml (22024b7ca6e7).

python image_classification_torch.py train data.npz --epochs 3 --out w.safetensors
`specc data image_classification.yaml -o data.npz` writes the arrays; --help shows more.
"""

import argparse
import hashlib
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

NAME = "image_classification"
BACKEND = "torch"
SEED = 7
DTYPE = "float32"
INPUTS = {"image": (None, 28, 28, 1)}
TARGETS = {"label": (None,)}
OUTPUTS = {"probabilities": (None, 10)}
INTEGERS = {"label"}
EPOCHS = 6
BATCH_SIZE = 64


# Layers -----------------------------------------------------------------------------------------
class Dropout(nn.Module):
    """Dropout whose masks derive from (seed, path, step): the same on every backend."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def seed(self, seed, path):
        """Fixes the stream of this layer's masks."""
        self.where = seed, path

    def forward(self, x, step, call=0):
        if not self.training or self.rate == 0:
            return x
        return dropout(x, self.rate, layer_key(*self.where, call), step)


@torch.no_grad()
def image_moments(x):
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
    def forward(ctx, x, weight, bias, mean, variance, eps):
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt())
        return torch.native_batch_norm(x, weight, bias, mean, variance, False, 0.0, eps)[0]

    @staticmethod
    def backward(ctx, dy):
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
        features,
        eps=1e-3,
        momentum=0.01,
        scale=True,
        center=True,
        unbiased=False,
        frozen=False,
    ):
        super().__init__(features, eps, momentum)
        self.share, self.unbiased, self.frozen = momentum, unbiased, frozen
        if not scale:
            self.register_parameter("weight", None)
        if not center:
            self.register_parameter("bias", None)

    def forward(self, x, mask=None):
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

    def masked(self, x, mask):
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
    def update(self, mean, variance, count=0):
        """Moves the running statistics towards those of a batch of ``count`` values per feature."""
        if self.unbiased:
            if count == 1:
                raise ValueError("batch normalization needs more than 1 value per feature to train")
            variance = variance * (count / (count - 1))
        self.get_buffer("running_mean").lerp_(mean, self.share)
        self.get_buffer("running_var").lerp_(variance, self.share)


# Model ------------------------------------------------------------------------------------------
class Residual(nn.Module):
    """The block residual."""

    def __init__(self, in_channels, filters, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, filters, 3, stride=stride, padding=1, bias=False)
        self.batch_norm = BatchNorm(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.y = BatchNorm(filters)
        self.shortcut = nn.Conv2d(in_channels, filters, 1, stride=stride, bias=False)
        self.s = BatchNorm(filters)

    def forward(self, x):
        # x: (batch, ..., ..., in_channels)
        channels_first = x.permute(0, 3, 1, 2)  # (batch, in_channels, ..., ...)
        conv1 = self.conv1(channels_first)  # (batch, filters, ..., ...)
        batch_norm = self.batch_norm(conv1)  # (batch, filters, ..., ...)
        relu = F.relu(batch_norm)  # (batch, filters, ..., ...)
        conv2 = self.conv2(relu)  # (batch, filters, ..., ...)
        y = self.y(conv2)  # (batch, filters, ..., ...)
        shortcut = self.shortcut(channels_first)  # (batch, filters, ..., ...)
        s = self.s(shortcut)  # (batch, filters, ..., ...)
        add = y + s  # (batch, filters, ..., ...)
        z = F.relu(add)  # (batch, filters, ..., ...)
        record(self, locals(), images="conv1 batch_norm relu conv2 y shortcut s add z")
        return z.permute(0, 2, 3, 1)


class Residual2(nn.Module):
    """The block residual."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(16, 32, 3, stride=2, bias=False)
        self.batch_norm = BatchNorm(32)
        self.conv2 = nn.Conv2d(32, 32, 3, padding=1, bias=False)
        self.y = BatchNorm(32)
        self.shortcut = nn.Conv2d(16, 32, 1, stride=2, bias=False)
        self.s = BatchNorm(32)

    def forward(self, x):
        # x: (batch, 14, 14, 16)
        channels_first = x.permute(0, 3, 1, 2)  # (batch, 16, 14, 14)
        conv1 = self.conv1(F.pad(channels_first, (0, 1, 0, 1)))  # (batch, 32, 7, 7)
        batch_norm = self.batch_norm(conv1)  # (batch, 32, 7, 7)
        relu = F.relu(batch_norm)  # (batch, 32, 7, 7)
        conv2 = self.conv2(relu)  # (batch, 32, 7, 7)
        y = self.y(conv2)  # (batch, 32, 7, 7)
        shortcut = self.shortcut(channels_first)  # (batch, 32, 7, 7)
        s = self.s(shortcut)  # (batch, 32, 7, 7)
        add = y + s  # (batch, 32, 7, 7)
        z = F.relu(add)  # (batch, 32, 7, 7)
        record(self, locals(), images="conv1 batch_norm relu conv2 y shortcut s add z")
        return z.permute(0, 2, 3, 1)


class ImageClassification(nn.Module):
    """The network image_classification."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, stride=2, bias=False)
        self.batch_norm = BatchNorm(16)
        self.residual = Residual(in_channels=16, filters=16, stride=1)
        self.stage = nn.ModuleList([Residual2(), Residual(in_channels=32, filters=64, stride=2)])
        self.dropout = Dropout(0.2)
        self.probabilities = nn.Linear(64, 10)

    def forward(self, image, step=0):
        # image: (batch, 28, 28, 1)
        stem = self.stem(F.pad(image.permute(0, 3, 1, 2), (0, 1, 0, 1)))  # (batch, 16, 14, 14)
        batch_norm = self.batch_norm(stem)  # (batch, 16, 14, 14)
        relu = F.relu(batch_norm)  # (batch, 16, 14, 14)
        residual = self.residual(relu.permute(0, 2, 3, 1))  # (batch, 14, 14, 16)
        stage = residual
        for block in self.stage:
            stage = block(stage)  # (batch, 4, 4, 64)
        global_average_pool2d = stage.permute(0, 3, 1, 2).mean((2, 3))  # (batch, 64)
        dropout_1 = self.dropout(global_average_pool2d, step)  # (batch, 64)
        record(
            self,
            {**locals(), "dropout": dropout_1},
            "global_average_pool2d dropout",
            images="stem batch_norm relu",
        )
        return self.probabilities(dropout_1)


def to_outputs(logits):
    """The spec's outputs, from what the model returns."""
    return {"probabilities": torch.softmax(logits, dim=-1)}


# Losses and metrics -----------------------------------------------------------------------------
def weighted_mean(values, weights=None):
    """The mean of a loss's values; a weight counts for all values of its sample."""
    weights = weights.reshape(-1, *[1] * (values.ndim - 1)).expand_as(values)
    return (weights * values).mean()


def sparse_categorical_accuracy(prediction, target):
    """1 where the largest prediction (the first among equals) is the target's class."""
    return (prediction.argmax(-1) == target).to(prediction.dtype)


def total_loss(model, logits, targets, weights=None):
    """The weighted sum of all losses and penalties: a scalar."""
    if weights is None:
        return F.cross_entropy(logits, targets["label"])
    return weighted_mean(F.cross_entropy(logits, targets["label"], reduction="none"), weights)


def metric_values(raw, targets):
    """{metric: one value per sample}."""
    outputs = to_outputs(raw)
    return {"accuracy": sparse_categorical_accuracy(outputs["probabilities"], targets["label"])}


# Optimizer and schedule -------------------------------------------------------------------------
def learning_rate(step):
    """The cosine schedule; steps count from 0."""
    if step < 50:
        return 0.05 * step / 50
    return 0.025 * (1 + math.cos(math.pi * min((step - 50) / 628, 1.0)))


class Optimizer:
    """Gradient descent with Nesterov's momentum (1983).

    Nesterov's momentum; the velocity contains the rate.
    """

    kind = "nesterov"
    momentum = 0.9

    def __init__(self, parameters):
        self.parameters = parameters
        self.slots = {"velocity": [torch.zeros_like(p) for p in parameters]}

    def scalars(self, step, rate=None):
        """What changes with the step, computed in double precision."""
        rate = learning_rate(step) if rate is None else rate
        return (rate,)

    @torch.no_grad()
    def update(self, gradients, scalars):
        """One step, in place."""
        (rate,) = scalars
        for parameter, gradient, velocity in zip(
            self.parameters, gradients, *self.slots.values(), strict=True
        ):
            velocity.mul_(self.momentum).sub_(gradient, alpha=rate)
            parameter.add_(velocity, alpha=self.momentum).sub_(gradient, alpha=rate)


# Reproducibility --------------------------------------------------------------------------------
def stream_key(seed, name):
    """The 64-bit key of a named random stream: the first 8 bytes of BLAKE2b of "seed/name"."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def random_words(key, count, start=0):
    """Words start, ..., start + count - 1 of a stream: the SplitMix64 finaliser over a counter."""
    z = np.arange(start, start + count, dtype=np.uint64) * 0x9E3779B97F4A7C15 + key
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB
    z ^= z >> 31
    return z


def random_uniform(key, count, start=0):
    """Uniform values in [0, 1) from the upper 53 bits of each word: exact on every machine."""
    return (random_words(key, count, start) >> 11) * 2.0**-53


def batch_order(seed, epoch, count):
    """The order in which an epoch, counted from 0, visits the examples: that of random words."""
    return np.argsort(random_words(stream_key(seed, f"order/{epoch}"), count), kind="stable")


def layer_key(seed, path, call=0):
    """The key of a layer's dropout masks; each call of a shared layer has its own."""
    return stream_key(seed, f"mask/{path}@{call}" if call else f"mask/{path}")


def step_key(key, step):
    """The key of a layer's mask at a step: word number step of the layer's stream."""
    z = (key + step * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def zeros():
    """All 0."""
    return lambda key, shape: np.zeros(shape)


def ones():
    """All 1."""
    return lambda key, shape: np.ones(shape)


def uniform(low, high):
    """U(low, high)."""
    return lambda key, shape: (
        low + (high - low) * random_uniform(key, math.prod(shape)).reshape(shape)
    )


def glorot_uniform(fan_in, fan_out, gain=1.0):
    """U(-a, a), a = gain sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    limit = gain * math.sqrt(6 / (fan_in + fan_out))
    return uniform(-limit, limit)


def dropout_mask(shape, rate, key, step, dtype, first_row=0, device=None):
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


def dropout(x, rate, key, step, first_row=0):
    """Inverted dropout of x, in the spec's layout; (key, step) alone decide the mask."""
    return x * dropout_mask(tuple(x.shape), rate, key, step, x.dtype, first_row, x.device)


def initial_parameters(seed=SEED):
    """Float64 values at the start: each tensor derives from (seed, path, shape) alone."""
    table = [
        ("stem.kernel", (3, 3, 1, 16), glorot_uniform(fan_in=9, fan_out=144)),
        ("batch_norm.gamma", (16,), ones()),
        ("batch_norm.beta", (16,), zeros()),
        ("batch_norm.moving_mean", (16,), zeros()),
        ("batch_norm.moving_variance", (16,), ones()),
        ("residual.conv1.kernel", (3, 3, 16, 16), glorot_uniform(fan_in=144, fan_out=144)),
        ("residual.batch_norm.gamma", (16,), ones()),
        ("residual.batch_norm.beta", (16,), zeros()),
        ("residual.batch_norm.moving_mean", (16,), zeros()),
        ("residual.batch_norm.moving_variance", (16,), ones()),
        ("residual.conv2.kernel", (3, 3, 16, 16), glorot_uniform(fan_in=144, fan_out=144)),
        ("residual.y.gamma", (16,), ones()),
        ("residual.y.beta", (16,), zeros()),
        ("residual.y.moving_mean", (16,), zeros()),
        ("residual.y.moving_variance", (16,), ones()),
        ("residual.shortcut.kernel", (1, 1, 16, 16), glorot_uniform(fan_in=16, fan_out=16)),
        ("residual.s.gamma", (16,), ones()),
        ("residual.s.beta", (16,), zeros()),
        ("residual.s.moving_mean", (16,), zeros()),
        ("residual.s.moving_variance", (16,), ones()),
        ("stage.0.conv1.kernel", (3, 3, 16, 32), glorot_uniform(fan_in=144, fan_out=288)),
        ("stage.0.batch_norm.gamma", (32,), ones()),
        ("stage.0.batch_norm.beta", (32,), zeros()),
        ("stage.0.batch_norm.moving_mean", (32,), zeros()),
        ("stage.0.batch_norm.moving_variance", (32,), ones()),
        ("stage.0.conv2.kernel", (3, 3, 32, 32), glorot_uniform(fan_in=288, fan_out=288)),
        ("stage.0.y.gamma", (32,), ones()),
        ("stage.0.y.beta", (32,), zeros()),
        ("stage.0.y.moving_mean", (32,), zeros()),
        ("stage.0.y.moving_variance", (32,), ones()),
        ("stage.0.shortcut.kernel", (1, 1, 16, 32), glorot_uniform(fan_in=16, fan_out=32)),
        ("stage.0.s.gamma", (32,), ones()),
        ("stage.0.s.beta", (32,), zeros()),
        ("stage.0.s.moving_mean", (32,), zeros()),
        ("stage.0.s.moving_variance", (32,), ones()),
        ("stage.1.conv1.kernel", (3, 3, 32, 64), glorot_uniform(fan_in=288, fan_out=576)),
        ("stage.1.batch_norm.gamma", (64,), ones()),
        ("stage.1.batch_norm.beta", (64,), zeros()),
        ("stage.1.batch_norm.moving_mean", (64,), zeros()),
        ("stage.1.batch_norm.moving_variance", (64,), ones()),
        ("stage.1.conv2.kernel", (3, 3, 64, 64), glorot_uniform(fan_in=576, fan_out=576)),
        ("stage.1.y.gamma", (64,), ones()),
        ("stage.1.y.beta", (64,), zeros()),
        ("stage.1.y.moving_mean", (64,), zeros()),
        ("stage.1.y.moving_variance", (64,), ones()),
        ("stage.1.shortcut.kernel", (1, 1, 32, 64), glorot_uniform(fan_in=32, fan_out=64)),
        ("stage.1.s.gamma", (64,), ones()),
        ("stage.1.s.beta", (64,), zeros()),
        ("stage.1.s.moving_mean", (64,), zeros()),
        ("stage.1.s.moving_variance", (64,), ones()),
        ("probabilities.kernel", (64, 10), glorot_uniform(fan_in=64, fan_out=10)),
        ("probabilities.bias", (10,), zeros()),
    ]
    return {path: draw(stream_key(seed, f"initial/{path}"), shape) for path, shape, draw in table}


# Training ---------------------------------------------------------------------------------------
# Where each kind of layer keeps the spec's parameters: name -> (attributes, axes).
LAYOUTS = {
    nn.Conv2d: {"kernel": ("weight", (2, 3, 1, 0))},
    BatchNorm: {
        "gamma": ("weight", ()),
        "beta": ("bias", ()),
        "moving_mean": ("running_mean", ()),
        "moving_variance": ("running_var", ()),
    },
    nn.Linear: {"kernel": ("weight", (1, 0)), "bias": ("bias", ())},
}


def tensors_of(model):
    """(path, tensors, layout) of every parameter and running statistic of the spec."""
    for path, module in model.named_modules():
        for name, (attributes, layout) in LAYOUTS.get(type(module), {}).items():
            tensors = [getattr(module, attribute, None) for attribute in attributes.split()]
            if tensors[0] is not None:
                yield f"{path}.{name}", tensors, layout


def read(places):
    """{name: a copy in the spec's layout} of (name, tensors, layout)."""
    found = {}
    for name, tensors, axes in places:
        array = torch.stack(tensors).squeeze(0).detach().cpu().numpy()
        array = array.transpose(axes) if axes else array
        found[name] = np.asarray(array, order="C")
    return found


@torch.no_grad()
def write(places, arrays):
    """The inverse of read(). Raises ValueError that lists what is missing, unknown or misshapen."""
    places = list(places)
    want = {name: array.shape for name, array in read(places).items()}
    have = {name: np.shape(array) for name, array in arrays.items()}
    if wrong := [name for name in want | have if want.get(name) != have.get(name)]:
        listed = "; ".join(f"{n}: wanted {want.get(n)}, given {have.get(n)}" for n in wrong)
        raise ValueError(f"arrays and their shapes do not match: {listed}")
    for name, tensors, axes in places:
        array = np.asarray(arrays[name])
        array = array.transpose(np.argsort(axes)) if axes else array
        for tensor, part in zip(tensors, array if len(tensors) > 1 else [array], strict=True):
            tensor.copy_(torch.tensor(part))


def build(seed=SEED, dtype=DTYPE, device=None):
    """The network with the spec's initial parameters."""
    model = ImageClassification().to(device=device, dtype=getattr(torch, dtype))
    model = model.to(memory_format=torch.channels_last)
    model.seed = seed
    set_parameters(model, initial_parameters(seed))
    for path, module in model.named_modules():
        if isinstance(module, Dropout):
            module.seed(seed, path)
    return model


def get_parameters(model):
    """{path: array} of parameters and running statistics, in the spec's layout."""
    return read(tensors_of(model))


def set_parameters(model, parameters):
    """The inverse of get_parameters. Raises ValueError when names or shapes do not match."""
    write(tensors_of(model), parameters)


def to_tensors(model, arrays, names):
    """The named arrays as tensors of the model's precision, on its device."""
    like = next(model.parameters())
    types = dict.fromkeys(INTEGERS, torch.int64)
    tensors = {n: torch.as_tensor(arrays[n]) for n in names}
    return {n: t.to(like.device, types.get(n, like.dtype)) for n, t in tensors.items()}


@torch.inference_mode()
def predict(model, inputs, batch_size=None):
    """{output: array} in inference mode."""
    model.eval()
    x = to_tensors(model, inputs, INPUTS).values()
    batches = zip(*(torch.split(each, batch_size or 2**62) for each in x), strict=True)
    found = [to_outputs(model(*batch)) for batch in batches]
    return {name: torch.cat([each[name] for each in found]).cpu().numpy() for name in OUTPUTS}


RECORD = None


def record(module, values, names="", images=""):
    """Keeps named values of a forward pass while trace() runs; of images the channels go last."""
    for name, value in () if RECORD is None else values.items():
        if name in names.split():
            RECORD.append((module, name, value))
        elif name in images.split():
            RECORD.append((module, name, value.movedim(1, -1)))


def trace(model, inputs, targets=None, training=False, step=0):
    """{path: array} of every named value, in the spec's layout."""
    global RECORD
    x = to_tensors(model, inputs, INPUTS).values()
    statistics = [buffer.clone() for buffer in model.buffers()]
    calls = []
    RECORD = calls
    try:
        with torch.no_grad():
            outputs = to_outputs(model.train(training)(*x, step))
    finally:
        RECORD = None
        for buffer, value in zip(model.buffers(), statistics, strict=True):
            buffer.copy_(value)
    paths = {module: f"{path}." if path else "" for path, module in model.named_modules()}
    found = {paths[module] + name: value for module, name, value in calls}
    return {path: value.cpu().numpy().copy() for path, value in (found | outputs).items()}


def loss_and_gradients(model, inputs, targets, sample_weights=None, step=0):
    """The total loss in training mode, and {path: gradient} before clipping."""
    trainer = Trainer(model)
    statistics = [buffer.clone() for buffer in model.buffers()]
    batch = trainer.batch(inputs, targets, sample_weights)
    loss, _, gradients = trainer.differentiate(step, *batch)
    for buffer, value in zip(model.buffers(), statistics, strict=True):
        buffer.copy_(value)
    return float(loss), read(trainer.named(gradients))


class Trainer:
    """Trains a model. Epoch, order, masks and rate are functions of the number of steps done."""

    def __init__(self, model, learning_rate=None):
        self.model, self.rate, self.steps = model, learning_rate, 0
        self.totals = {}
        self.trained = [each for each in tensors_of(model) if each[1][0].requires_grad]
        self.parameters = [tensor for _, tensors, _ in self.trained for tensor in tensors]
        self.optimizer = Optimizer(self.parameters)

    def named(self, values, prefix=""):
        """(name, tensors, layout) from a tensor for each of the parameters."""
        each = iter(values)
        for path, tensors, layout in self.trained:
            yield prefix + path, [next(each) for _ in tensors], layout

    def batch(self, inputs, targets, weights=None):
        """A batch of arrays as tensors on the model's device."""
        x, y = to_tensors(self.model, inputs, INPUTS), to_tensors(self.model, targets, TARGETS)
        return x, y, None if weights is None else torch.as_tensor(weights).to(self.parameters[0])

    def differentiate(self, step, x, y, weights=None):
        """(loss, what the model returned, gradients) of a batch in training mode."""
        for parameter in self.parameters:
            parameter.grad = None
        if not self.model.training:
            self.model.train()
        raw = self.model(*x.values(), step)
        loss = total_loss(self.model, raw, y, weights)
        loss.backward()
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        return loss.detach(), raw, gradients

    def advance(self, x, y, weights=None):
        """One step on a batch of tensors: (loss, what the model returned before it)."""
        loss, raw, gradients = self.differentiate(self.steps, x, y, weights)
        self.optimizer.update(gradients, self.optimizer.scalars(self.steps, self.rate))
        self.steps += 1
        return loss, raw

    def step(self, inputs, targets, sample_weights=None):
        """One optimizer step on a batch; its loss, still on the device."""
        return self.advance(*self.batch(inputs, targets, sample_weights))[0]

    def fit(
        self,
        inputs,
        targets,
        validation=None,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        on_step=None,
        on_epoch=None,
    ):
        """Trains until ``epochs`` epochs are done since step 0; the history by metric."""
        x, y, _ = self.batch(inputs, targets)
        count = len(next(iter(x.values())))
        per_epoch = -(-count // batch_size)
        history = {}
        for epoch in range(self.steps // per_epoch, epochs):
            order = torch.from_numpy(batch_order(self.model.seed, epoch, count))
            rows = torch.split(order[self.steps % per_epoch * batch_size :], batch_size)
            logs = self.run(self.totals, self.advance, x, y, rows, on_step, epoch)
            self.totals = {}
            if validation is not None:
                scores = self.evaluate(*validation, batch_size)
                logs |= {f"val_{name}": value for name, value in scores.items()}
            for name, value in logs.items():
                history.setdefault(name, []).append(value)
            if on_epoch is not None:
                on_epoch(epoch=epoch, logs=logs)
        return history

    def run(self, totals, act, x, y, batches, on_step=None, epoch=0):
        """The means of loss and metrics: of what totals hold and of batches of rows."""
        for rows in batches:
            inputs, targets = ({n: array[rows] for n, array in each.items()} for each in (x, y))
            loss, raw = act(inputs, targets)
            for name, value in {"loss": loss, **metric_values(raw, targets)}.items():
                totals[name] = totals.get(name, 0.0) + value.detach().mean() * len(rows)
            totals["samples"] = totals.get("samples", 0) + len(rows)
            if on_step is not None:
                on_step(step=self.steps - 1, epoch=epoch, loss=loss)
        count = totals.pop("samples")
        return {name: float(total / count) for name, total in totals.items()}

    @torch.inference_mode()
    def evaluate(self, inputs, targets, batch_size=BATCH_SIZE):
        """{metric: value} in inference mode; the loss includes penalties."""
        self.model.eval()
        x, y, _ = self.batch(inputs, targets)
        rows = torch.split(torch.arange(len(next(iter(x.values())))), batch_size)
        return self.run({}, self.score, x, y, rows)

    def score(self, x, y):
        """(loss, what the model returned) of a batch."""
        raw = self.model(*x.values())
        return total_loss(self.model, raw, y), raw

    def slots(self):
        """(name, tensors, layout) of the step and what the optimizer keeps for each parameter."""
        yield "step", [torch.tensor(self.steps)], ()
        for slot, values in self.optimizer.slots.items():
            yield from self.named(values, f"{Optimizer.kind}.{slot}/")

    def state(self):
        """The optimizer's slots in the spec's layout, and the step: flat and neutral."""
        return read(self.slots())

    def load_state(self, state):
        """Continues from a state(), whichever backend wrote it."""
        slots = list(self.slots())
        write(slots, state)
        self.steps, self.totals = int(slots[0][1][0]), {}


# Command line -----------------------------------------------------------------------------------
def save(model, path):
    """Writes parameters and statistics as safetensors, which every backend's load() reads."""
    from safetensors.numpy import save_file

    save_file(get_parameters(model), path, {"spec": NAME})


def load(path, device=None):
    """The model whose parameters were saved at ``path``, in their precision."""
    from safetensors.numpy import load_file

    parameters = load_file(path)
    model = build(dtype=next(iter(parameters.values())).dtype.name, device=device)
    set_parameters(model, parameters)
    return model


def read_part(arrays, part, *groups):
    """A part's arrays by group. Raises an error that names one that is missing or does not fit."""
    rows = None
    for name, shape in (pair for group in groups for pair in group.items()):
        array, wanted = arrays[f"{part}/{name}"], (rows, *shape[1:])
        fits = all(w in (None, size) for w, size in zip(wanted, array.shape, strict=False))
        if not (fits and array.ndim == len(wanted) and array.size and array.dtype.kind in "biuf"):
            raise ValueError(f"{part}/{name} is {array.dtype} {array.shape}, not numbers {wanted}")
        rows = len(array)
    return [{name: arrays[f"{part}/{name}"] for name in group} for group in groups]


def main():
    """Trains, evaluates or predicts with prepared arrays named part/name."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("action", choices=("train", "evaluate", "predict"))
    parser.add_argument("data", help="npz with train/..., validation/..., test/...")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--weights", help="safetensors to start from")
    parser.add_argument("--out", help="where to write the weights or predictions")
    options = parser.parse_args()
    train, predicting = options.action == "train", options.action == "predict"
    parts = ("train", "validation", "test") if train else ("test",)
    groups = [INPUTS] if predicting else [INPUTS, TARGETS]
    out = options.out or ("predictions.npz" if predicting else f"{NAME}.safetensors")
    try:
        arrays = np.load(options.data)
        there = [p for p in parts if p == parts[0] or any(f"{p}/{n}" in arrays for n in TARGETS)]
        data = {part: read_part(arrays, part, *groups) for part in there}
        model = load(options.weights) if options.weights else build()
        if train or predicting:
            open(out, "ab").close()  # it fails now and not after the training
    except Exception as error:
        parser.error(str(error))
    if predicting:
        with open(out, "wb") as file:
            np.savez(file, **predict(model, *data["test"], BATCH_SIZE))
        return
    trainer = Trainer(model)
    if train:
        more = {"validation": data.get("validation"), "epochs": options.epochs}
        trainer.fit(*data["train"], **more, on_epoch=lambda **epoch: print(epoch))
        save(model, out)
    if "test" in data:
        print("test:", trainer.evaluate(*data["test"]))


if __name__ == "__main__":
    main()

"""Values and gradients of PyTorch's own layers and losses in float64: python torch_layers.py ROOT

Every folder of ROOT is a case. Parameters are leaves in the spec's layout, so that autograd gives
their gradients there; functional_call puts them into PyTorch's modules.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import layer_files
import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

Tensors = dict[str, Tensor]


def apply(module: nn.Module, tensors: Tensors, *inputs: Any) -> Any:
    return functional_call(module.double(), tensors, inputs)


def dense(x: Tensor, p: Tensors, units: int) -> Tensor:
    module = nn.Linear(x.shape[-1], units)
    return apply(module, {"weight": p["kernel"].T, "bias": p["bias"]}, x)


def convolution(kind: type[nn.Module]) -> Callable[..., Tensor]:
    def layer(x: Tensor, p: Tensors, filters: int, kernel_size: Any, **options: Any) -> Tensor:
        names = {"strides": "stride", "use_bias": "bias"}
        keywords = {names.get(name, name): value for name, value in options.items()}
        module = kind(x.shape[1], filters, kernel_size, **keywords)
        last = p["kernel"].ndim - 1
        tensors = {"weight": p["kernel"].permute(last, last - 1, *range(last - 1))}
        return apply(module, tensors | ({"bias": p["bias"]} if "bias" in p else {}), x)

    return layer


def depthwise(x: Tensor, p: Tensors, kernel_size: Any, **options: Any) -> Tensor:
    height, width, channels, multiplier = p["kernel"].shape
    bias = options.pop("use_bias", True)
    padding = options.pop("padding", 0)
    assert not options
    outputs = channels * multiplier
    module = nn.Conv2d(channels, outputs, kernel_size, 1, padding, groups=channels, bias=bias)
    kernel = p["kernel"].permute(2, 3, 0, 1).reshape(outputs, 1, height, width)
    return apply(module, {"weight": kernel} | ({"bias": p["bias"]} if bias else {}), x)


def pool(kind: type[nn.Module]) -> Callable[..., Tensor]:
    def layer(
        x: Tensor, p: Tensors, pool_size: Any = 2, strides: Any = None, padding: int = 0
    ) -> Tensor:
        return kind(pool_size, strides, padding)(x)

    return layer


def over_space(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def layer(x: Tensor, p: Tensors, keepdims: bool = False) -> Tensor:
        return function(x, dim=tuple(range(2, x.ndim)), keepdim=keepdims)

    return layer


def batch_norm(x: Tensor, p: Tensors, training: bool, **options: Any) -> Tensor:
    kind = nn.BatchNorm2d if x.ndim == 4 else nn.BatchNorm1d
    module = kind(x.shape[1], affine=bool({"gamma", "beta"} & p.keys())).train(training)
    tensors = {"running_mean": p["moving_mean"], "running_var": p["moving_variance"]}
    if module.affine:
        zeros = torch.zeros(x.shape[1], dtype=x.dtype)
        tensors |= {"weight": p.get("gamma", zeros + 1), "bias": p.get("beta", zeros)}
    return apply(module, tensors, x)


def layer_norm(x: Tensor, p: Tensors, axis: Any = -1, **options: Any) -> Tensor:
    shape = [x.shape[each] for each in ([axis] if isinstance(axis, int) else axis)]
    module = nn.LayerNorm(shape, elementwise_affine=bool(p))
    return apply(module, {"weight": p["gamma"], "bias": p["beta"]} if p else {}, x)


def group_norm(x: Tensor, p: Tensors, groups: int, **options: Any) -> Tensor:
    module = nn.GroupNorm(groups, x.shape[1], affine=bool(p))
    return apply(module, {"weight": p["gamma"], "bias": p["beta"]} if p else {}, x)


def embedding(x: Tensor, p: Tensors, input_dim: int, output_dim: int, **options: Any) -> Tensor:
    module = nn.Embedding(input_dim, output_dim, **options)
    return apply(module, {"weight": p["embeddings"]}, x)


def recurrent(kind: type[nn.RNNBase]) -> Callable[..., Any]:
    def layer(
        x: Tensor,
        p: Tensors,
        *state: Tensor,
        units: int,
        bidirectional: bool = False,
        return_state: bool = False,
        **options: Any,
    ) -> Any:
        if "activation" in options:
            options["nonlinearity"] = options.pop("activation")
        module = kind(x.shape[-1], units, batch_first=True, bidirectional=bidirectional, **options)
        tensors = recurrent_tensors(p, "", "_l0", kind)
        if bidirectional:
            tensors |= recurrent_tensors(p, "backward.", "_l0_reverse", kind)
        initial = tuple(each[None] for each in state)
        first = (initial if len(initial) > 1 else initial[0],) if initial else ()
        y, last = apply(module, tensors, x, *first)
        states = last if isinstance(last, tuple) else (last,)
        ways = range(2 if bidirectional else 1)
        return (y, *(each[way] for way in ways for each in states)) if return_state else y

    return layer


def recurrent_tensors(p: Tensors, prefix: str, suffix: str, kind: type[nn.RNNBase]) -> Tensors:
    """PyTorch's names and layouts; its GRU has the gates reset, update, new."""

    def gates(array: Tensor) -> Tensor:
        if kind is not nn.GRU:
            return array
        update, reset, new = array.chunk(3, -1)
        return torch.cat([reset, update, new], -1)

    bias = p[f"{prefix}bias"]
    both = bias if kind is nn.GRU else (bias, p[f"{prefix}recurrent_bias"])
    return {
        f"weight_ih{suffix}": gates(p[f"{prefix}kernel"]).T,
        f"weight_hh{suffix}": gates(p[f"{prefix}recurrent_kernel"]).T,
        f"bias_ih{suffix}": gates(both[0]),
        f"bias_hh{suffix}": gates(both[1]),
    }


def attention(x: Tensor, p: Tensors, num_heads: int, causal: bool = False) -> Tensor:
    features, steps = x.shape[-1], x.shape[1]
    module = nn.MultiheadAttention(features, num_heads, batch_first=True)
    packed = ("query", "key", "value")
    tensors = {
        "in_proj_weight": torch.cat([p[f"{n}.kernel"].reshape(features, -1) for n in packed], 1).T,
        "in_proj_bias": torch.cat([p[f"{n}.bias"].flatten() for n in packed]),
        "out_proj.weight": p["output.kernel"].reshape(-1, features).T,
        "out_proj.bias": p["output.bias"],
    }
    blocked = torch.ones(steps, steps, dtype=bool).triu(1) if causal else None
    options = {"need_weights": False, "attn_mask": blocked}
    return functional_call(module.double(), tensors, (x, x, x), options)[0]


LAYERS: dict[str, Callable[..., Any]] = {
    "add": lambda x, p, *others: sum(others, x),
    "average": lambda x, p, *others: torch.stack([x, *others]).mean(0),
    "average_pool1d": pool(nn.AvgPool1d),
    "average_pool2d": pool(nn.AvgPool2d),
    "batch_norm": batch_norm,
    "concatenate": lambda x, p, *others, axis=1: torch.cat([x, *others], axis),
    "conv1d": convolution(nn.Conv1d),
    "conv2d": convolution(nn.Conv2d),
    "dense": dense,
    "depthwise_conv2d": depthwise,
    "elu": lambda x, p: nn.ELU()(x),
    "embedding": embedding,
    "flatten": lambda x, p: nn.Flatten()(x),
    "gelu": lambda x, p, approximate=False: nn.GELU("tanh" if approximate else "none")(x),
    "global_average_pool1d": over_space(torch.mean),
    "global_average_pool2d": over_space(torch.mean),
    "global_max_pool1d": over_space(torch.amax),
    "global_max_pool2d": over_space(torch.amax),
    "group_norm": group_norm,
    "gru": recurrent(nn.GRU),
    "layer_norm": layer_norm,
    "leaky_relu": lambda x, p: nn.LeakyReLU()(x),
    "lstm": recurrent(nn.LSTM),
    "max_pool1d": pool(nn.MaxPool1d),
    "max_pool2d": pool(nn.MaxPool2d),
    "multi_head_attention": attention,
    "multiply": lambda x, p, other: x * other,
    "permute": lambda x, p, dims: x.permute(0, *dims),
    "relu": lambda x, p: nn.ReLU()(x),
    "reshape": lambda x, p, target_shape: x.reshape(-1, *target_shape),
    "sigmoid": lambda x, p: nn.Sigmoid()(x),
    "simple_rnn": recurrent(nn.RNN),
    "softmax": lambda x, p, axis: nn.Softmax(axis)(x),
    "softplus": lambda x, p: nn.Softplus()(x),
    "subtract": lambda x, p, other: x - other,
    "tanh": lambda x, p: nn.Tanh()(x),
}


def cross_entropy(
    y: Tensor, target: Tensor, from_logits: bool, label_smoothing: float = 0.0
) -> Tensor:
    assert from_logits
    target = target.long() if target.ndim < y.ndim else target.double()
    return F.cross_entropy(y, target, label_smoothing=label_smoothing)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "binary_crossentropy": lambda y, t, from_logits: F.binary_cross_entropy_with_logits(
        y, t.double()
    ),
    "categorical_crossentropy": cross_entropy,
    "huber": F.huber_loss,
    "mean_absolute_error": F.l1_loss,
    "mean_squared_error": F.mse_loss,
    "sparse_categorical_crossentropy": cross_entropy,
}


def forward(use: layer_files.Use, p: Tensors, training: bool) -> list[Tensor]:
    wires = []
    for index, kind in enumerate(use.types[:1] if use.loss else use.types):
        if kind is None:
            continue
        x = torch.from_numpy(use.inputs[f"x{index}"])
        if f"probe{index}.kernel" in p:
            x = x @ p[f"probe{index}.kernel"] + p[f"probe{index}.bias"]
        wires.append(x)
    if use.loss:
        return [torch.sigmoid(wires[0]).reshape(-1, *use.types[0][1:])]
    own = {name.removeprefix("y."): tensor for name, tensor in p.items() if name.startswith("y.")}
    extra = {"training": training} if use.kind == "batch_norm" else {}
    first, *others = wires
    y = LAYERS[use.kind](first, own, *others, **use.attributes, **extra)
    return list(y) if isinstance(y, tuple) else [y]


def compute(use: layer_files.Use) -> dict[str, dict[str, Any]]:
    p = {name: torch.from_numpy(array.copy()) for name, array in use.parameters.items()}
    inference = forward(use, p, training=False)
    frozen = "y." if use.attributes.get("trainable") is False else "moving"
    trained = {n: t.requires_grad_() for n, t in p.items() if "moving" not in n and frozen not in n}
    outputs = forward(use, p, training=True)
    total = torch.zeros((), dtype=torch.float64)
    for name, output in zip(use.outputs, outputs, strict=True):
        target = torch.from_numpy(use.targets[f"t_{name}"])
        if use.loss:
            total = total + LOSSES[use.kind](output, target, **use.attributes)
        else:
            total = total + F.mse_loss(output, target)
    total.backward()
    return {
        "loss": {"total": total.detach().numpy()},
        "gradient": {name: numpy(tensor.grad) for name, tensor in trained.items()},
        "inference": dict(zip(use.outputs, map(numpy, inference), strict=True)),
        "training": dict(zip(use.outputs, map(numpy, outputs), strict=True)),
        "statistics": {name: numpy(tensor) for name, tensor in p.items() if "moving" in name},
    }


def numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()


if __name__ == "__main__":
    for path in sorted(Path(sys.argv[1]).iterdir()):
        layer_files.run(path, compute)

"""The networks as a PyTorch user writes them: nn.Module, cross-entropy, torch.optim."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.problem import Arrays, Problem

ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


def mlp(problem: Problem) -> nn.Module:
    layers: list[nn.Module] = []
    for path, activation in zip(problem.layers("kernel"), (*problem.activations, ""), strict=True):
        layers.append(nn.Linear(*problem.parameters[f"{path}.kernel"].shape))
        layers += [ACTIVATIONS[activation]()] if activation else []
    return nn.Sequential(*layers)


class Cnn(nn.Module):
    def __init__(self, problem: Problem) -> None:
        super().__init__()
        shapes = {path: each.shape for path, each in problem.parameters.items()}
        self.conv1, self.conv2, self.conv3 = (
            nn.Conv2d(*shapes[f"conv{i}.kernel"][2:], kernel_size=3) for i in (1, 2, 3)
        )
        self.hidden = nn.Linear(*shapes["hidden.kernel"])
        self.probabilities = nn.Linear(*shapes["probabilities.kernel"])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.conv1(image)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.conv3(x))
        return self.probabilities(F.relu(self.hidden(x.flatten(1))))


class Lstm(nn.Module):
    def __init__(self, problem: Problem) -> None:
        super().__init__()
        p = problem.parameters
        tables = [p[f"{path}.embeddings"].shape for path in problem.layers("embeddings")]
        self.embedding = nn.Embedding(*tables[0]) if tables else nn.Identity()
        self.lstms = nn.ModuleList()
        for path in problem.layers("recurrent_kernel"):
            sizes = len(p[f"{path}.kernel"]), len(p[f"{path}.recurrent_kernel"])
            layer = nn.LSTM(*sizes, batch_first=True)
            nn.init.zeros_(layer.bias_hh_l0).requires_grad_(False)  # Keras has one bias
            self.lstms.append(layer)
        self.probabilities = nn.Linear(*p["probabilities.kernel"].shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embedding(x)
        for layer in self.lstms:
            x, _ = layer(x)
        return self.probabilities(x[:, -1])


def norm(features: int) -> nn.BatchNorm2d:
    """Batch normalization with Keras' constants."""
    return nn.BatchNorm2d(features, eps=1e-3, momentum=0.01)


class Residual(nn.Module):
    def __init__(self, features: int, filters: int, halves: bool) -> None:
        super().__init__()
        stride = 2 if halves else 1
        self.halves = halves
        padding = 0 if halves else 1
        self.conv1 = nn.Conv2d(features, filters, 3, stride, padding, bias=False)
        self.norm1 = norm(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.norm2 = norm(filters)
        if halves:
            self.shortcut = nn.Conv2d(features, filters, 1, stride, bias=False)
            self.norm = norm(filters)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Keras pads an even image at its end only, when it halves it.
        y = self.conv1(F.pad(x, (0, 1, 0, 1)) if self.halves else x)
        y = self.norm2(self.conv2(F.relu(self.norm1(y))))
        return F.relu(y + (self.norm(self.shortcut(x)) if self.halves else x))


class Resnet(nn.Module):
    def __init__(self, problem: Problem) -> None:
        super().__init__()
        p = problem.parameters
        self.stem = nn.Conv2d(*p["stem.kernel"].shape[2:], kernel_size=3, padding=1, bias=False)
        self.norm = norm(self.stem.out_channels)
        convolutions = [path for path in problem.layers("kernel") if path.endswith("body.conv1")]
        self.blocks = nn.ModuleList(
            Residual(*p[f"{path}.kernel"].shape[2:], halves=path.startswith("down"))
            for path in convolutions
        )
        self.probabilities = nn.Linear(*p["probabilities.kernel"].shape)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.stem(image)))
        for block in self.blocks:
            x = block(x)
        return self.probabilities(x.mean((2, 3)))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, steps, width = x.shape
        parts = self.qkv(x).split(width, dim=2)
        q, k, v = (part.view(n, steps, self.heads, -1).transpose(1, 2) for part in parts)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.output(y.transpose(1, 2).reshape(n, steps, width))


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-3)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-3)
        self.expand = nn.Linear(width, 4 * width)
        self.contract = nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.contract(F.gelu(self.expand(self.norm2(x)), approximate="tanh"))


class Transformer(nn.Module):
    def __init__(self, problem: Problem) -> None:
        super().__init__()
        p = problem.parameters
        self.token_embedding, self.position_embedding = (
            nn.Embedding(*p[f"{path}.embeddings"].shape) for path in problem.layers("embeddings")
        )
        blocks = [path for path in problem.layers("kernel") if path.endswith("attention.query")]
        self.layers = nn.ModuleList(Block(*p[f"{path}.kernel"].shape[:2]) for path in blocks)
        self.norm = nn.LayerNorm(p["norm.gamma"].size, eps=1e-3)
        self.probabilities = nn.Linear(*p["probabilities.kernel"].shape)

    def forward(self, token: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        x = self.token_embedding(token) + self.position_embedding(position)
        for layer in self.layers:
            x = layer(x)
        return self.probabilities(self.norm(x))


NETWORKS = {"mlp": mlp, "cnn": Cnn, "lstm": Lstm, "resnet": Resnet, "transformer": Transformer}


def arranged(problem: Problem) -> Iterator[np.ndarray]:
    """The spec's trained parameters in the order and layout of nn.Module.parameters()."""
    p = problem.parameters
    convolution = (1, 1, p["conv3.kernel"].shape[3]) if "conv3.kernel" in p else ()
    for path, array in p.items():
        if ".moving_" in path:
            continue
        if ".attention.query." in path:  # the three projections are one layer
            parts = (p[path.replace("query", part)] for part in ("query", "key", "value"))
            if path.endswith("kernel"):
                yield np.concatenate([part.reshape(len(part), -1).T for part in parts])
            else:
                yield np.concatenate([part.ravel() for part in parts])
        elif ".attention.output.kernel" in path:
            yield array.reshape(-1, array.shape[-1]).T
        elif ".attention.key." in path or ".attention.value." in path:
            continue
        elif path == "hidden.kernel" and convolution:  # flattened by channel first
            size = round((len(array) / convolution[2]) ** 0.5)
            image = array.reshape(size, size, convolution[2], -1)
            yield image.transpose(3, 2, 0, 1).reshape(array.shape[1], -1)
        elif array.ndim == 4:
            yield array.transpose(3, 2, 0, 1)
        else:
            yield array.T if path.endswith("kernel") else array


def tensors(arrays: Arrays, images: bool, channels_last: bool) -> list[torch.Tensor]:
    """A problem's arrays as a PyTorch user keeps them: images channels first, ids int64."""
    found = []
    for array in arrays.values():
        tensor = torch.from_numpy(array)
        if images and array.ndim == 4:
            tensor = tensor.permute(0, 3, 1, 2).contiguous()
            if channels_last:
                tensor = tensor.to(memory_format=torch.channels_last)
        found.append(tensor)
    return found


class Peer:
    """A module, trained eagerly or compiled, with plain or fused Adam."""

    def __init__(
        self,
        problem: Problem,
        fused: bool = False,
        channels_last: bool = False,
        compiled: bool = False,
    ) -> None:
        model: Any = NETWORKS[problem.network](problem)
        trained = [each for each in model.parameters() if each.requires_grad]
        for tensor, array in zip(trained, arranged(problem), strict=True):
            tensor.data.copy_(torch.tensor(np.ascontiguousarray(array)))
        if channels_last:
            model = model.to(memory_format=torch.channels_last)
        images = problem.network in ("cnn", "resnet")
        self.inputs = tensors(problem.inputs, images, channels_last)
        (self.targets,) = tensors(problem.targets, images, channels_last)
        if problem.optimizer == "sgd":
            self.optimizer: Any = torch.optim.SGD(trained, lr=problem.rate)
        else:
            rate, epsilon = problem.rate, 1e-7
            self.optimizer = torch.optim.Adam(trained, lr=rate, eps=epsilon, fused=fused)
        self.model = torch.compile(model) if compiled else model
        self.criterion = nn.CrossEntropyLoss()

    def logits(self, rows: np.ndarray) -> torch.Tensor:
        index = torch.from_numpy(rows)
        output: torch.Tensor = self.model(*(each[index] for each in self.inputs))
        return output

    def step(self, rows: np.ndarray) -> torch.Tensor:
        self.optimizer.zero_grad()
        logits = self.logits(rows).flatten(0, -2)
        loss: torch.Tensor = self.criterion(logits, self.targets[torch.from_numpy(rows)].flatten())
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def infer(self, rows: np.ndarray) -> np.ndarray:
        self.model.eval()
        with torch.inference_mode():
            found = torch.softmax(self.logits(rows), -1).numpy()
        self.model.train()
        return found

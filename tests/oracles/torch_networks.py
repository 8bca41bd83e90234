"""The networks of specs/ as an expert of PyTorch writes them: modules, torch.optim, a plain loop.

python torch_networks.py FOLDER...
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from oracle_files import Arrays, Run
from torch import nn
from torch.nn import functional as F
from torch.optim import lr_scheduler


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(64, 64)
        self.dense_2 = nn.Linear(64, 32)
        self.scores = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scores(torch.tanh(self.dense_2(torch.sigmoid(self.dense(x)))))


class MnistCnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, bias=False)
        self.norm1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1, stride=2, bias=False)
        self.norm2 = nn.BatchNorm2d(32)
        self.conv3 = nn.Conv2d(32, 32, 3)
        self.hidden = nn.Linear(32 * 2 * 2, 64)
        self.scores = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.norm1(self.conv1(x))), 2)
        x = F.leaky_relu(self.norm2(self.conv2(x)))
        x = F.avg_pool2d(F.gelu(self.conv3(x)), 2, padding=1, stride=3)
        return self.scores(F.relu(self.hidden(x.flatten(1))))


class SpeechLstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm1 = nn.LSTM(12, 64, batch_first=True)
        self.lstm2 = nn.LSTM(64, 64, batch_first=True)
        self.scores = nn.Linear(64, 9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, _ = self.lstm1(x)
        x, _ = self.lstm2(x)
        return self.scores(x[:, -1])


class TextLstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(4000, 64, padding_idx=0)
        self.norm = nn.LayerNorm(64)
        self.lstm = nn.LSTM(64, 32, batch_first=True, bidirectional=True)
        self.scores = nn.Linear(64, 4)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        x, _ = self.lstm(self.norm(self.embedding(words)))
        return self.scores(x.amax(1))


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained: the scheduler goes by steps, clipping by global norm."""

    module: type[nn.Module]
    optimizer: Callable[..., torch.optim.Optimizer]
    scheduler: Callable[..., lr_scheduler.LRScheduler] | None = None
    max_norm: float | None = None


RECIPES = {
    "mlp": Recipe(
        Mlp,
        lambda p: torch.optim.SGD(p, lr=0.2, momentum=0.9, weight_decay=1e-3),
        lambda o: lr_scheduler.StepLR(o, step_size=12, gamma=0.5),
    ),
    "mnist_cnn": Recipe(
        MnistCnn, lambda p: torch.optim.Adam(p, lr=1e-3, weight_decay=1e-2), max_norm=1.0
    ),
    "speech_lstm": Recipe(
        SpeechLstm,
        lambda p: torch.optim.AdamW(p, lr=3e-3),
        lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=25, eta_min=1e-4),
    ),
    "text_lstm": Recipe(
        TextLstm,
        lambda p: torch.optim.RMSprop(p, lr=1e-3, momentum=0.9),
        lambda o: lr_scheduler.MultiStepLR(o, milestones=[15, 30], gamma=0.5),
        max_norm=0.5,
    ),
}
# The name that a spec gives a weight, from the ending of PyTorch's.
NAMES = {
    "weight_ih_l0": "kernel",
    "weight_hh_l0": "recurrent_kernel",
    "bias_ih_l0": "bias",
    "bias_hh_l0": "recurrent_bias",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
    "bias": "bias",
}


def neutral(module: nn.Module, path: str) -> tuple[str, tuple[int, ...]]:
    """The spec's path of a tensor of the state, and the axes that bring it to the spec's layout."""
    layer, _, name = path.rpartition(".")
    owner = module.get_submodule(layer)
    backward = name.endswith("_reverse")
    if isinstance(owner, nn.LSTM):
        inner = NAMES[name.removesuffix("_reverse")]
        inner = f"backward.{inner}" if backward else inner
    elif isinstance(owner, nn.BatchNorm2d | nn.LayerNorm):
        inner = {"weight": "gamma", "bias": "beta"}.get(name) or NAMES[name]
    elif isinstance(owner, nn.Embedding):
        return f"{layer}.embeddings", (0, 1)
    else:
        inner = {"weight": "kernel"}.get(name) or NAMES[name]
    rank = owner.state_dict()[name].ndim
    return f"{layer}.{inner}", {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}[rank]


def train(run: Run) -> tuple[Arrays, list[float]]:
    recipe = RECIPES[run.name]
    module = recipe.module().double()
    state = {k: v for k, v in module.state_dict().items() if not k.endswith("batches_tracked")}
    places = {path: neutral(module, path) for path in state}
    assert {name for name, _ in places.values()} == run.start.keys(), sorted(run.start)
    for path, (name, axes) in places.items():
        array = run.start[name].transpose(np.argsort(axes))
        state[path].copy_(torch.from_numpy(np.ascontiguousarray(array)))
    optimizer = recipe.optimizer(module.parameters())
    scheduler = recipe.scheduler(optimizer) if recipe.scheduler else None
    losses = []
    for inputs, targets in run.epochs():
        total = 0.0
        for first in range(0, len(inputs), run.batch_size):
            x, y = (torch.from_numpy(a[first : first + run.batch_size]) for a in (inputs, targets))
            loss = F.cross_entropy(module(x), y.long())
            optimizer.zero_grad()
            loss.backward()
            if recipe.max_norm:
                nn.utils.clip_grad_norm_(module.parameters(), recipe.max_norm)
            optimizer.step()
            if scheduler:
                scheduler.step()
            total += loss.item() * len(x)
        losses.append(total / len(inputs))
    end = {name: state[path].numpy().transpose(axes) for path, (name, axes) in places.items()}
    return end, losses


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        own = Run(Path(folder))
        own.write(*train(own))

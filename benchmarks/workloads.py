"""What is measured: the networks, their sizes and how many multiply-adds they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SPECS = Path(__file__).parent / "specs"
EXAMPLES = Path(__file__).parents[1] / "examples"


@dataclass(frozen=True)
class Workload:
    """A network to train: which peer it is, its spec, and what a step of it costs.

    multiply_adds are those of the products and convolutions of one sample's forward pass. A step
    counts as three forward passes of two operations each, as usual, although the gradient of the
    first layer's input is never computed.
    """

    title: str
    network: str
    spec: Path
    multiply_adds: int
    activations: tuple[str, ...] = ()
    optimizer: str = "adam"
    rate: float = 1e-3
    tiny: Mapping[str, str] = field(default_factory=dict)  # sizes for tests, by parameter
    images: bool = False  # channels_last is worth a contender of its own
    dropout: bool = False  # masks are compared with the framework's own; peers have none


def dense(*sizes: int) -> int:
    """Multiply-adds of fully connected layers of these sizes."""
    return sum(a * b for a, b in zip(sizes, sizes[1:], strict=False))


def lstm(steps: int, features: int, units: int) -> int:
    """Multiply-adds of an LSTM over a sequence."""
    return steps * 4 * units * (features + units)


def resnet20() -> int:
    """Multiply-adds of ResNet-20: a stem, six convolutions at each of three sizes, shortcuts."""
    stage = 9 * 16 * 16 * 32 * 32  # each halving of the size doubles the filters: the same product
    first = stage // 2  # the convolution that halves reads half as many channels
    shortcuts = 16 * 32 * 16 * 16 + 32 * 64 * 8 * 8
    return 9 * 3 * 16 * 32 * 32 + 6 * stage + 2 * (5 * stage + first) + shortcuts + 640


def transformer(steps: int, width: int, depth: int, vocabulary: int) -> int:
    """Multiply-adds of a transformer; its attention looks at half of the products it computes."""
    return steps * (depth * (12 * width * width + 2 * steps * width) + width * vocabulary)


WORKLOADS = {
    "w1": Workload(
        "MLP 784-512-256-10, batch 128",
        "mlp",
        SPECS / "w1.yaml",
        dense(784, 512, 256, 10),
        activations=("relu", "relu"),
        tiny={"features": "6", "first": "5", "second": "4"},
    ),
    "w2": Workload(
        "mnist_cnn, batch 64",
        "cnn",
        SPECS / "w2.yaml",
        26 * 26 * 9 * 32 + 11 * 11 * 288 * 64 + 9 * 576 * 64 + dense(576, 64, 10),
        tiny={"size": "18", "filters": "2", "units": "3"},
        images=True,
    ),
    "w3": Workload(
        "two LSTM-64 over 28 x 28, batch 64",
        "lstm",
        SPECS / "w3.yaml",
        lstm(28, 28, 64) + lstm(28, 64, 64) + dense(64, 10),
        tiny={"steps": "3", "features": "2", "units": "4"},
    ),
    "w4": Workload(
        "embedding 20000 x 64, LSTM-64 over 100 tokens, batch 32",
        "lstm",
        SPECS / "w4.yaml",
        lstm(100, 64, 64) + dense(64, 2),
        tiny={"vocabulary": "7", "steps": "4", "units": "3"},
    ),
    "w5": Workload(
        "ResNet-20 on 32 x 32 x 3, batch 64",
        "resnet",
        SPECS / "w5.yaml",
        resnet20(),
        tiny={"size": "8", "width": "2", "depth": "2"},
        images=True,
    ),
    "w6": Workload(
        "transformer d = 128, 4 heads, 2 layers, 128 tokens, causal, batch 16",
        "transformer",
        SPECS / "w6.yaml",
        transformer(128, 128, 2, 256),
        tiny={"vocabulary": "11", "steps": "5", "width": "8", "heads": "2"},
    ),
    "w2-dropout": Workload(
        "mnist_cnn with dropout 0.5, batch 64",
        "cnn",
        SPECS / "w2_dropout.yaml",
        26 * 26 * 9 * 32 + 11 * 11 * 288 * 64 + 9 * 576 * 64 + dense(576, 64, 10),
        tiny={"size": "18", "filters": "2", "units": "3"},
        dropout=True,
    ),
    "mlp": Workload(
        "examples/mlp.yaml, batch 32",
        "mlp",
        EXAMPLES / "mlp.yaml",
        dense(64, 64, 32, 10),
        activations=("sigmoid", "tanh"),
        optimizer="sgd",
        rate=0.5,
    ),
    "mnist_cnn": Workload(
        "examples/mnist_cnn.yaml, batch 64",
        "cnn",
        EXAMPLES / "mnist_cnn.yaml",
        26 * 26 * 9 * 32 + 11 * 11 * 288 * 64 + 9 * 576 * 64 + dense(576, 64, 10),
        images=True,
    ),
    "speech_lstm": Workload(
        "examples/speech_lstm.yaml, batch 32",
        "lstm",
        EXAMPLES / "speech_lstm.yaml",
        lstm(25, 12, 64) + lstm(25, 64, 64) + dense(64, 9),
        rate=3e-3,
    ),
}

STANDARD = ("w1", "w2", "w3", "w4", "w5", "w6", "w2-dropout")
"""The workloads of the published table; the examples are measured by name only."""

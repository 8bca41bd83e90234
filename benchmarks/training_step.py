"""Time of a training step: generated files against hand-written, idiomatic code of the same
framework.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python benchmarks/training_step.py [--rounds 30]
    [EXAMPLE ...]

Both run in one process, on the same batches, from the same parameters, in turn: a round of steps
of one, then of the
other. Their first losses must agree to 1e-5. Printed are the medians, the ratio hand-written /
generated (above 1:
the generated file is faster) with its 95 % interval from a bootstrap over rounds.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
STEPS = 10


def generated(example: str, backend: str, folder: Path):
    """The generated module of an example."""
    from specc.compiler import compile_spec

    path = folder / f"{example}_{backend}.py"
    path.write_text(compile_spec(ROOT / "examples" / f"{example}.yaml", backend=backend))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def batches(module, rng):
    """Random batches that fit the module's inputs and targets."""
    found = []
    for _ in range(STEPS):
        batch = []
        for shapes in (module.INPUTS, module.TARGETS):
            part = {}
            for name, shape in shapes.items():
                full = (module.BATCH_SIZE, *(size or 1 for size in shape[1:]))
                if name in module.INTEGERS:
                    part[name] = rng.integers(1, 4, full)
                else:
                    part[name] = rng.normal(size=full).astype(np.float32)
            batch.append(part)
        found.append(tuple(batch))
    return found


def torch_peer(example: str, module):
    """The network as a PyTorch user writes it: nn.Module, cross-entropy, Adam."""
    import torch
    from torch import nn

    class Last(nn.Module):
        def __init__(self, *sizes):
            super().__init__()
            pairs = zip(sizes, sizes[1:], strict=False)
            self.layers = nn.ModuleList([nn.LSTM(a, b, batch_first=True) for a, b in pairs])
            for layer in self.layers:
                nn.init.zeros_(layer.bias_hh_l0).requires_grad_(False)

        def forward(self, x):
            for layer in self.layers:
                x, _ = layer(x)
            return x[:, -1]

    networks = {
        "mlp": lambda: nn.Sequential(
            nn.Linear(64, 64), nn.Sigmoid(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10)
        ),
        "mnist_cnn": lambda: nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(),
            nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 10),
        ),
        "speech_lstm": lambda: nn.Sequential(Last(12, 64, 64), nn.Linear(64, 9)),
    }  # fmt: skip
    model = networks[example]()
    images = example == "mnist_cnn"
    copy_parameters(example, module, model)
    trained = [p for p in model.parameters() if p.requires_grad]
    if example == "mlp":
        optimizer = torch.optim.SGD(trained, lr=module.learning_rate(0))
    else:
        optimizer = torch.optim.Adam(trained, lr=1e-3, fused=True)
    criterion = nn.CrossEntropyLoss()

    def step(inputs, targets):
        x = torch.from_numpy(next(iter(inputs.values())))
        x = x.permute(0, 3, 1, 2) if images else x
        y = torch.from_numpy(next(iter(targets.values())))
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def copy_parameters(example: str, module, model) -> None:
    """Puts the spec's initial parameters into a hand-written PyTorch model with its layers in the
    same order.
    """
    import torch

    tensors = [p for p in model.parameters() if p.requires_grad]
    arrays = list(module.initial_parameters(module.SEED).items())
    for tensor, (path, array) in zip(tensors, arrays, strict=True):
        if array.ndim == 4:
            array = array.transpose(3, 2, 0, 1)
        elif array.ndim == 2:
            array = array.T
            if path.startswith("hidden") and example == "mnist_cnn":
                array = array.reshape(-1, 3, 3, 64).transpose(0, 3, 1, 2).reshape(array.shape)
        tensor.data.copy_(torch.tensor(np.ascontiguousarray(array)))


def tensorflow_peer(example: str, module):
    """The network as a Keras user writes it, in a tf.function with the tape and Keras' Adam."""
    import keras
    import tensorflow as tf

    layers = keras.layers
    networks = {
        "mlp": lambda: [
            layers.Dense(64, activation="sigmoid"),
            layers.Dense(32, activation="tanh"),
            layers.Dense(10),
        ],
        "mnist_cnn": lambda: [
            layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"), layers.Flatten(),
            layers.Dense(64, activation="relu"), layers.Dense(10),
        ],
        "speech_lstm": lambda: [
            layers.LSTM(64, return_sequences=True), layers.LSTM(64), layers.Dense(9)
        ],
    }  # fmt: skip
    shape = next(iter(module.INPUTS.values()))[1:]
    model = keras.Sequential([keras.Input(shape), *networks[example]()])
    model.set_weights(list(module.initial_parameters(module.SEED).values()))
    rate = module.learning_rate(0)
    optimizer = keras.optimizers.SGD(rate) if example == "mlp" else keras.optimizers.Adam(rate)
    optimizer.build(model.trainable_variables)

    @tf.function
    def update(x, y):
        with tf.GradientTape() as tape:
            logits = model(x, training=True)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
            )
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    def step(inputs, targets):
        arrays = (next(iter(part.values())) for part in (inputs, targets))
        return update(*map(tf.convert_to_tensor, arrays))

    return step


PEERS = {"torch": torch_peer, "tensorflow": tensorflow_peer}


def measure(example: str, backend: str, rounds: int, folder: Path) -> dict:
    """Medians and ratio of one example on one backend."""
    module = generated(example, backend, folder)
    work = batches(module, np.random.default_rng(0))
    trainer = module.Trainer(module.build())
    contenders = {"generated": trainer.step}
    if backend in PEERS:
        contenders["hand-written"] = PEERS[backend](example, module)
    first = {name: float(step(*work[0])) for name, step in contenders.items()}
    if max(first.values()) - min(first.values()) > 1e-5 * abs(first["generated"]):
        raise SystemExit(f"{example} on {backend}: the first losses differ: {first}")
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for index in range(rounds + 3):
        names = list(contenders) if index % 2 else list(contenders)[::-1]
        for name in names:
            start = time.perf_counter()
            for batch in work:
                loss = contenders[name](*batch)
            float(loss)
            if index >= 3:  # the first rounds warm up
                times[name].append((time.perf_counter() - start) / len(work))
    result = {"example": example, "backend": backend, "first_loss": first["generated"]}
    result |= {f"{name}_ms": 1e3 * statistics.median(each) for name, each in times.items()}
    if "hand-written" in times:
        ratios = np.array(times["hand-written"]) / np.array(times["generated"])
        draws = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
        low, high = np.percentile(np.median(draws, 1), [2.5, 97.5])
        result |= {"ratio": float(np.median(ratios)), "interval": [float(low), float(high)]}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("examples", nargs="*", default=["mlp", "mnist_cnn", "speech_lstm"])
    parser.add_argument("--backends", nargs="+", default=["torch", "tensorflow", "numpy"])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        with tempfile.TemporaryDirectory() as folder:
            print(
                json.dumps(
                    measure(options.examples[0], options.backends[0], options.rounds, Path(folder))
                )
            )
        return
    print(f"{'example':14} {'backend':11} {'generated':>10} {'by hand':>10}   hand / generated")
    for example in options.examples:
        for backend in options.backends:
            # Each pair has a process of its own: frameworks do not share threads or memory.
            command = [sys.executable, __file__, "--one", example, "--backends", backend]
            command += ["--rounds", str(options.rounds)]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            if run.returncode:
                print(f"{example:14} {backend:11} failed: {run.stderr.strip().splitlines()[-1:]}")
                continue
            row = json.loads(run.stdout.strip().splitlines()[-1])
            line = f"{example:14} {backend:11} {row['generated_ms']:7.2f} ms"
            if "ratio" in row:
                low, high = row["interval"]
                line += f" {row['hand-written_ms']:7.2f} ms   {row['ratio']:.3f}"
                line += f" [{low:.3f}, {high:.3f}]"
            print(line, flush=True)


if __name__ == "__main__":
    main()

"""How long the compiler takes: cold commands, and how the time grows with the number of layers."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.processes import ROOT, environment
from benchmarks.workloads import EXAMPLES, SPECS

NETWORKS = {
    "mnist_cnn": EXAMPLES / "mnist_cnn.yaml",
    "ResNet-50": SPECS / "resnet50.yaml",
    "48-layer GPT": SPECS / "gpt48.yaml",
}
BACKENDS = ("numpy", "torch", "tensorflow")
LAYERS = (10, 100, 1000, 10_000)


def seconds(arguments: list[str], variables: Mapping[str, str]) -> float:
    """Wall time of a `specc` command, from the start of its process to its end."""
    command = [sys.executable, "-m", "specc.cli", *arguments]
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=dict(variables), capture_output=True, check=True)
    return time.perf_counter() - start


def chain(layers: int) -> str:
    """A spec of that many fully connected layers, one after another."""
    lines = ["specc: 1", "name: chain", "inputs: {x: {shape: [8]}}", "layers:"]
    return "\n".join([*lines, *["  - dense: {units: 8, activation: relu}"] * layers, ""])


def measure(rounds: int, layers: tuple[int, ...] = LAYERS) -> dict[str, Any]:
    """Seconds by command and network, and by command and number of layers.

    Every process is a new one with Python's bytecode cache filled, as a user's second command has.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        variables = environment({"SPECC_MAX_LAYERS": str(max(layers))})

        def commands(spec: Path, backends: tuple[str, ...]) -> dict[str, list[str]]:
            found = {"check": ["check", str(spec)]}
            for backend in backends:
                out = str(folder / f"{backend}.py")
                build = ["build", str(spec), "--backend", backend, "-o", out]
                found[f"build, {backend}"] = build
            return found

        asked = {
            (title, label): arguments
            for title, spec in NETWORKS.items()
            for label, arguments in commands(spec, BACKENDS).items()
        }
        cold: dict[str, dict[str, list[float]]] = {title: {} for title in NETWORKS}
        for arguments in asked.values():
            seconds(arguments, variables)  # fills the caches
        for _ in range(rounds):
            for (title, label), arguments in asked.items():
                cold[title].setdefault(label, []).append(seconds(arguments, variables))
        growth: dict[str, dict[str, float]] = {}
        for count in layers:
            spec = folder / f"chain{count}.yaml"
            spec.write_text(chain(count), encoding="utf-8")
            for label, arguments in commands(spec, BACKENDS[:2]).items():
                growth.setdefault(label, {})[str(count)] = seconds(arguments, variables)
    return {"cold": cold, "growth": growth}

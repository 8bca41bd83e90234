"""How long the compiler takes: ``python -m benchmarks.compile_time [--rounds N] [--quick]``.

Each command runs in a process of its own, wall clock from its start to its end: what a user waits.
Bytecode and the compiler's own cache are warm, since they are after the first use. Commands take
turns, so that what else the machine does meets all of them alike. How the time grows is measured
within one process, in processor seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SPECS = {
    "mnist_cnn": ROOT / "examples/mnist_cnn.yaml",
    "resnet50": ROOT / "benchmarks/specs/resnet50.yaml",
    "gpt48": ROOT / "benchmarks/specs/gpt48.yaml",
}
BACKENDS = ("numpy", "torch", "tensorflow")
BARS = {"mnist_cnn": 0.25, "resnet50": 0.5, "gpt48": 1.0}
"""Seconds that ``build`` of one backend may take."""

LAYERS = (10, 100, 1_000, 10_000)
_HEAD = "specc: 1\nname: deep\ninputs: {x: [8]}\ntargets: {t: [8]}\nlayers:\n"
_TAIL = """  - {name: y, dense: 8}
training:
  loss: {mean_squared_error: {prediction: y, target: t}}
"""


def chain(layers: int) -> str:
    """A spec of that many layers, dense and relu in turn."""
    return _HEAD + "  - {dense: 8}\n  - relu\n" * (layers // 2 - 1) + "  - relu\n" + _TAIL


def repeat(layers: int) -> str:
    """A spec with one layer that is repeated."""
    body = "[{dense: {units: 8, activation: relu}}]"
    return f"{_HEAD}  - repeat: {{times: {layers - 1}, layers: {body}}}\n{_TAIL}"


SHAPES: dict[str, Callable[[int], str]] = {"chain": chain, "repeat": repeat}


def commands(folder: Path) -> dict[str, list[str]]:
    """The command lines that are measured, by what they do."""
    found = {"version": ["--version"]}
    for name, spec in SPECS.items():
        found[f"check {name}"] = ["check", str(spec)]
        for backend in BACKENDS:
            found[f"build {name} {backend}"] = [
                "build",
                str(spec),
                "-b",
                backend,
                "-o",
                str(folder),
            ]
        found[f"build {name} all"] = ["build", str(spec), "-o", str(folder)]
    return found


def cold(rounds: int) -> dict[str, list[float]]:
    """Wall seconds of each command, one for each round; a round before them warms the caches."""
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        lines = commands(Path(folder))
        for _ in range(rounds + 1):
            for name, line in lines.items():
                begun = time.perf_counter()
                subprocess.run(
                    [sys.executable, "-m", "specc.cli", *line],
                    cwd=ROOT,
                    stdout=subprocess.DEVNULL,
                    check=True,
                )
                seconds.setdefault(name, []).append(time.perf_counter() - begun)
    return {name: each[1:] for name, each in seconds.items()}


def growth(layers: tuple[int, ...] = LAYERS) -> dict[str, dict[str, list[float]]]:
    """{chain or repeat: {check or a backend: processor seconds for each number of layers}}.

    A backend's seconds are those of its emission alone.
    """
    return {shape: _growth(written, layers) for shape, written in SHAPES.items()}


def _growth(written: Callable[[int], str], layers: tuple[int, ...]) -> dict[str, list[float]]:
    from specc.compiler import compile_program, load_program

    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "deep.yaml"
        for each in (layers[0], *layers):  # the first time is for imports and caches
            path.write_text(written(each), encoding="utf-8")
            begun = time.process_time()
            program, _ = load_program(path)
            found.setdefault("check", []).append(time.process_time() - begun)
            for backend in BACKENDS:
                begun = time.process_time()
                compile_program(program, backend)
                found.setdefault(backend, []).append(time.process_time() - begun)
    return {name: seconds[1:] for name, seconds in found.items()}


def figures(rounds: int = 7, layers: tuple[int, ...] = LAYERS) -> dict[str, Any]:
    """All figures: {"cold": {command: [seconds]}, "bars": {spec: seconds}, "layers": [...],
    "growth": {shape: {check or backend: [seconds]}}}.
    """
    return {"cold": cold(rounds), "bars": BARS, "layers": list(layers), "growth": growth(layers)}


def show(found: dict[str, Any]) -> None:
    """Prints the tables."""
    print(f"{'cold, wall':28} {'median':>8} {'least':>8} {'most':>8} {'bar':>8}")
    for name, seconds in found["cold"].items():
        spec = name.split()[1] if name.startswith("build") else ""
        bar = f"{found['bars'][spec]:6.2f} s" if spec and not name.endswith("all") else ""
        middle, least, most = statistics.median(seconds), min(seconds), max(seconds)
        print(f"{name:28} {middle:6.3f} s {least:6.3f} s {most:6.3f} s {bar:>8}")
    for shape, rows in found["growth"].items():
        print(f"\n{shape + ', layers':28}" + "".join(f"{each:>10,}" for each in found["layers"]))
        for name, seconds in rows.items():
            print(f"{name:28}" + "".join(f"{each:>8.3f} s" for each in seconds))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compile_time", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and 1,000 layers")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    found = figures(3, LAYERS[:-1]) if options.quick else figures(options.rounds)
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

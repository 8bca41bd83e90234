"""Every example on every backend: what it reaches, and how near the backends stay to each other.

    python benchmarks/examples.py [NAME ...] [--json FILE]

Per example: loss and accuracy on the test part after training in float32; the largest relative
parameter difference
after 200 steps in float64; in float32, the median gradient error in lock-step with a float64
reference, and the
free-running difference after 10 and after 200 steps. docs/comparing.md defines the measures.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"
BACKENDS = ["--backend", "numpy", "--backend", "torch", "--backend", "tensorflow"]


def specc(*arguments: str) -> dict:
    """The JSON object that a command prints."""
    command = [sys.executable, "-m", "specc.cli", *arguments, *BACKENDS, "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if not run.stdout.strip():
        raise SystemExit(f"{' '.join(command)}\n{run.stderr}")
    return json.loads(run.stdout)


def figures(name: str) -> dict:
    """All figures of one example."""
    spec = str(EXAMPLES / f"{name}.yaml")
    with tempfile.TemporaryDirectory() as folder:
        trained = specc("train", spec, "--run-dir", f"{folder}/run")
    exact = specc("compare", spec, "--steps", "200", "--dtype", "float64")
    lock = specc("compare", spec, "--steps", "200", "--dtype", "float32", "--lock-step")
    free = {
        steps: specc("compare", spec, "--steps", str(steps), "--dtype", "float32")
        for steps in (10, 200)
    }
    return {
        "example": name,
        "test": {backend: run["test"] for backend, run in trained["backends"].items()},
        "seconds": {backend: run["seconds"] for backend, run in trained["backends"].items()},
        "float64_200": exact["max_relative_difference"],
        "indifferent": exact["indifferent"],
        "float32_lock_step": lock["max_relative_difference"],
        "float32_10": free[10]["max_relative_difference"],
        "float32_200": free[200]["max_relative_difference"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    names = sorted(path.stem for path in EXAMPLES.glob("*.yaml"))
    parser.add_argument("names", nargs="*", default=names)
    parser.add_argument("--json", type=Path, help="where to keep the figures")
    options = parser.parse_args()
    rows = []
    print(
        "| example | test (numpy / torch / tensorflow) | seconds | float64, 200 steps "
        "| float32 lock-step | float32 free, 10 | 200 |\n|---|---|---|---|---|---|---|"
    )
    for name in options.names:
        row = figures(name)
        rows.append(row)
        metrics = "; ".join(
            f"{metric} " + " / ".join(f"{row['test'][b][metric]:.4f}" for b in row["test"])
            for metric in next(iter(row["test"].values()))
        )
        seconds = " / ".join(f"{value:.0f}" for value in row["seconds"].values())
        numbers = ("float64_200", "float32_lock_step", "float32_10", "float32_200")
        listed = " | ".join(f"{row[number]:.1e}" for number in numbers)
        print(f"| {name} | {metrics} | {seconds} | {listed} |", flush=True)
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""The memory of a NumPy step: ``python -m benchmarks.memory``.

For each workload, in megabytes: the arrays that are alive at once at most, which no plan can go
under; the memory that the file holds for them, and what its steps allocate besides; and how many
blocks it takes from the system in steps after the second, which should be none. Writes
benchmarks/results/memory.json, which docs/performance.md shows.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import tracemalloc
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.problem import load, load_module, prepare
from benchmarks.roofline import NETWORKS
from benchmarks.workloads import WORKLOADS

RESULTS = Path(__file__).parent / "results" / "memory.json"
SETTLING, STEADY = 2, 5  # steps


class Meter:
    """Watches the blocks that a generated file's empty() lends."""

    def __init__(self, module: Any) -> None:
        self.module, self.lent = module, dict[int, int]()
        self.pools: dict[int, dict[Any, list[np.ndarray]]] = {}  # by thread
        self.most = 0
        self.lock = threading.Lock()
        self.allocate = module.empty
        module.empty = self.empty

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        with self.lock:
            found: np.ndarray = self.allocate(shape, dtype)
            self.pools[threading.get_ident()] = vars(self.module.MEMORY)
            assert found.base is not None
            self.lent[id(found.base)] = found.nbytes
            self.most = max(self.most, self.alive())
        return found

    def alive(self) -> int:
        """Bytes of all arrays that something refers to."""
        total = 0
        for blocks in self.blocks():
            for block in blocks:
                if sys.getrefcount(block) > self.module.UNUSED:
                    total += self.lent.get(id(block), 0)
        return total

    def blocks(self) -> list[list[np.ndarray]]:
        """The blocks of all threads."""
        return [blocks for pool in self.pools.values() for blocks in list(pool.values())]


def footprint(name: str) -> dict[str, float]:
    """A workload's figures, in bytes and numbers of blocks."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(WORKLOADS[name], Path(folder))
        problem = load(Path(folder))
        module = load_module(Path(folder) / "numpy_file.py")
    trainer = module.Trainer(module.build())
    meter = Meter(module)
    batches = problem.batches()

    def steps(count: int) -> None:
        for rows in islice(batches, count):
            inputs, targets = (
                {key: array[rows] for key, array in each.items()}
                for each in (problem.inputs, problem.targets)
            )
            trainer.step(inputs, targets)

    steps(SETTLING)
    before = sum(map(len, meter.blocks()))
    tracemalloc.start()
    tracemalloc.reset_peak()
    steps(STEADY)
    _, besides = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    held = sum(block.nbytes for blocks in meter.blocks() for block in blocks)
    return {
        "alive": meter.most,
        "held": held,
        "besides": besides,
        "ratio": held / meter.most,
        "new_blocks": sum(map(len, meter.blocks())) - before,
    }


HEAD = ("", "alive at most", "held", "held / alive", "besides", "new blocks in a steady step")


def rows(results: dict[str, dict[str, float]]) -> list[list[str]]:
    """The table: a row for each workload."""
    return [
        [
            name.upper(),
            *(f"{each[key] / 2**20:.1f} MB" for key in ("alive", "held")),
            f"{each['ratio']:.2f}",
            f"{each['besides'] / 2**20:.1f} MB",
            f"{each['new_blocks'] / STEADY:.1f}",
        ]
        for name, each in results.items()
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", default=NETWORKS)
    parser.add_argument("--json", type=Path, default=RESULTS, help="where to keep the figures")
    options = parser.parse_args(arguments)
    results = {name: footprint(name) for name in options.workloads}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for line in (HEAD, *rows(results)):
        print("  ".join(f"{cell:>15}" for cell in line))


if __name__ == "__main__":
    main()

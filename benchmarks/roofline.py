"""Where the time of a NumPy step goes, and how fast it could be: ``python -m benchmarks.roofline``.

For each workload: the products of a step in their exact layouts, with the BLAS that NumPy calls and
with PyTorch's; the element-wise work at the speed that each function has in the cache; the bytes
that it moves, at the bandwidth of a sum in the cache; the optimizer; the calls at the cost of an
empty one. Their sum is the floor: no NumPy program of these operations takes less. The floor of
all cores divides the element-wise work by their number. PyTorch's step over the floor is the limit
of the ratio to PyTorch. Writes benchmarks/results/roofline.json, which docs/performance.md shows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.analysis import median
from benchmarks.driver import QUICK, measure
from benchmarks.problem import load, load_module, prepare
from benchmarks.processes import ROOT, environment
from benchmarks.recording import Layout, Product, Record, record_step
from benchmarks.workloads import WORKLOADS

RESULTS = Path(__file__).parent / "results" / "roofline.json"
NETWORKS = ("w1", "w2", "w3", "w4", "w5", "w6")
BLOCK = 2**14  # numbers that stay in the cache
REPEATS = 9


def seconds(work: Callable[[], Any]) -> float:
    """The time of a call: the fastest of some runs, each long enough to be measured."""
    work()
    start = time.perf_counter()
    work()
    count = max(1, min(1000, int(2e-4 / max(time.perf_counter() - start, 1e-7))))
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(count):
            work()
        times.append((time.perf_counter() - start) / count)
    return min(times)


def laid_out(dtype: str, layout: Layout) -> np.ndarray:
    """An array of that layout."""
    shape, strides = layout
    extent = 1 + sum((size - 1) * abs(stride) for size, stride in zip(*layout, strict=True))
    numbers = np.random.default_rng(0).random(max(extent, 1)).astype(dtype)
    steps = [abs(stride) * numbers.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(numbers, shape, steps)


def numpy_product(product: Product) -> float:
    """Seconds of a product with NumPy."""
    dtype, *layouts = product
    a, b = (laid_out(dtype, layout) for layout in layouts)
    out = np.empty_like(a @ b)
    return seconds(lambda: np.matmul(a, b, out=out))


def torch_product(product: Product) -> float:
    """Seconds of a product with PyTorch."""
    import torch

    dtype, *layouts = product
    a, b = (torch.from_numpy(laid_out(dtype, layout)) for layout in layouts)
    out = torch.matmul(a, b)
    return seconds(lambda: torch.matmul(a, b, out=out))


def walk_speed(name: str, dtype: str) -> float:
    """Seconds for each number that a ufunc walks over in the cache."""
    a, b = (np.random.default_rng(i).random(BLOCK).astype(dtype) for i in range(2))
    if name == "copy":
        return seconds(lambda: np.copyto(a, b)) / BLOCK
    function, _, method = name.partition(".")
    ufunc = getattr(np, function)
    if method == "reduceat":
        return seconds(lambda: ufunc.reduceat(a, np.arange(0, BLOCK, 64))) / BLOCK
    if method:
        rows = a.reshape(-1, 64)
        return seconds(lambda: getattr(ufunc, method)(rows, axis=-1)) / BLOCK
    operands = (a, b)[: ufunc.nin]
    out = np.empty_like(ufunc(*operands))
    return seconds(lambda: ufunc(*operands, out=out)) / BLOCK


def bandwidth() -> float:
    """Bytes a second that a sum of arrays in the cache moves."""
    a, b, c = np.ones((3, BLOCK), np.float32)
    return 3 * a.nbytes / seconds(lambda: np.add(a, b, out=c))


def call_cost() -> float:
    """Seconds of a call of NumPy that computes next to nothing."""
    a, b, c = np.ones((3, 1), np.float32)
    return seconds(lambda: np.add(a, b, out=c))


def element_wise(record: Record) -> float:
    """Seconds of the walks of a record, each at its own speed in the cache."""
    return sum(walk_speed(*walk) * count for walk, count in record.walks.items())


def workload_record(name: str) -> tuple[Record, Record]:
    """What a step of a workload's NumPy file uses: the gradients, the optimizer."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(WORKLOADS[name], Path(folder))
        problem = load(Path(folder))
        rows = next(problem.batches())
        inputs, targets = (
            {key: array[rows] for key, array in each.items()}
            for each in (problem.inputs, problem.targets)
        )
        return record_step(load_module(Path(folder) / "numpy_file.py"), inputs, targets)


def numpy_side(name: str) -> dict[str, float]:
    """What NumPy needs at least for a step, in seconds, and the bytes that it moves."""
    gradients, optimizer = workload_record(name)
    return {
        "products": sum(numpy_product(p) * n for p, n in gradients.products.items()),
        "element_wise": element_wise(gradients),
        "bytes": gradients.bytes,
        "traffic": gradients.bytes / bandwidth(),
        "optimizer": element_wise(optimizer),
        "optimizer_bytes": optimizer.bytes,
        "optimizer_traffic": optimizer.bytes / bandwidth(),
        "calls": gradients.calls + optimizer.calls,
        "overhead": (gradients.calls + optimizer.calls) * call_cost(),
    }


def torch_side(name: str) -> dict[str, float]:
    """The same products in PyTorch."""
    gradients, _ = workload_record(name)
    return {"torch_products": sum(torch_product(p) * n for p, n in gradients.products.items())}


SIDES = {"numpy": numpy_side, "torch": torch_side}


def in_process(side: str, name: str) -> dict[str, float]:
    """A side's figures from a process of its own: two BLAS in one share no threads."""
    command = [sys.executable, "-m", "benchmarks.roofline", "--side", side, name]
    run = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return found


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def roofline(name: str, steps: dict[str, float] | None = None) -> dict[str, float]:
    """A workload's figures; ``steps`` are the seconds of a step by contender, measured if None."""
    if steps is None:
        result = measure(name, ["specc-numpy", "numpy", "torch"], QUICK)
        steps = {each: median(result, each) for each in result["contenders"]}
    found = in_process("numpy", name) | in_process("torch", name)
    walks = found["element_wise"] + found["optimizer"]
    found["floor"] = found["products"] + walks + found["overhead"]
    found["floor_all_cores"] = found["products"] + walks / cores() + found["overhead"]
    found |= {"step": steps["specc-numpy"], "torch_step": steps["torch"]}
    found["limit"] = steps["torch"] / found["floor_all_cores"]
    found["ratio"] = steps["torch"] / steps["specc-numpy"]
    return found


COLUMNS = (
    ("products", "products"),
    ("torch_products", "products in PyTorch"),
    ("element_wise", "element-wise"),
    ("traffic", "its traffic"),
    ("optimizer", "optimizer"),
    ("optimizer_traffic", "its traffic"),
    ("overhead", "calls"),
    ("floor", "floor, one core"),
    ("floor_all_cores", "floor, all cores"),
    ("step", "step"),
    ("torch_step", "PyTorch's step"),
)


def rows(results: dict[str, dict[str, float]]) -> list[list[str]]:
    """The table: a row for each part, in milliseconds, and the ratios to PyTorch."""
    found = [
        [title, *(f"{1e3 * result[key]:.2f}" for result in results.values())]
        for key, title in COLUMNS
    ]
    for key, title in (("ratio", "ratio to PyTorch"), ("limit", "its limit")):
        found.append([title, *(f"{result[key]:.2f}" for result in results.values())])
    shares = (result["floor_all_cores"] / result["step"] for result in results.values())
    return [*found, ["floor / step", *(f"{share:.2f}" for share in shares)]]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.roofline", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", default=NETWORKS)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, default=RESULTS, help="where to keep the figures")
    options = parser.parse_args(arguments)
    if options.side:
        print(json.dumps(SIDES[options.side](*options.workloads)))
        return
    results = {name: roofline(name) for name in options.workloads}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"{'milliseconds':24}" + "".join(f"{name.upper():>9}" for name in results))
    for title, *cells in rows(results):
        print(f"{title:24}" + "".join(f"{cell:>9}" for cell in cells))


if __name__ == "__main__":
    main()

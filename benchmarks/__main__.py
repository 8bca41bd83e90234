"""``python -m benchmarks [WORKLOAD ...]``: generated files against hand-written peers.

A run of all workloads with all contenders writes benchmarks/results/performance.json and
docs/performance.md; any other prints its tables, and keeps its figures where --json says.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from benchmarks import compile_time, report
from benchmarks.analysis import median, speedup
from benchmarks.contender import CONTENDERS
from benchmarks.driver import FULL, QUICK, measure
from benchmarks.processes import product_peak
from benchmarks.products import PRODUCTS
from benchmarks.workloads import STANDARD, WORKLOADS

RESULTS = Path(__file__).parent / "results" / "performance.json"
PACKAGES = {
    "numpy": "NumPy",
    "torch": "PyTorch",
    "tensorflow": "TensorFlow",
    "keras": "Keras",
    "jax": "JAX",
}


def machine() -> str:
    """What the figures depend on, in general terms."""
    found = {each.metadata["Name"].lower(): each.version for each in distributions()}
    # The small build of TensorFlow has another name.
    found.setdefault("tensorflow", found.get("tensorflow-cpu", found.get("tensorflow_cpu", "")))
    versions = ", ".join(f"{title} {found[name]}" for name, title in PACKAGES.items())
    cores = os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()
    python = platform.python_version()
    return f"{cores} cores, {platform.machine()}, {platform.system()}, Python {python}, {versions}"


def show(name: str, result: dict[str, Any], base: str) -> None:
    """Prints the table of one workload."""
    print(f"\n{name}: {result['title']}")
    print(f"{'':44} {'step':>9} {'x ' + base:>22} {'infer':>9} {'start':>7} {'memory':>7}")
    for each, found in result["contenders"].items():
        ratio = str(speedup(result, each, base) or "")
        print(
            f"{CONTENDERS[each].title:44} {1e3 * median(result, each):6.2f} ms {ratio:>22} "
            f"{1e3 * median(result, each, 'infer'):6.2f} ms "
            f"{median(result, each, 'cold_start'):5.1f} s {found['megabytes']:4.0f} MB",
            flush=True,
        )
    for each, reason in result["refused"].items():
        print(f"{CONTENDERS[each].title:44} refused: {reason}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = ", ".join(WORKLOADS)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"some of {names}")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--base", choices=CONTENDERS, default="torch", help="what ratios are of")
    parser.add_argument("--quick", action="store_true", help="fewer, shorter rounds; no page")
    parser.add_argument("--json", type=Path, help="where to keep the figures")
    parser.add_argument("--page", action="store_true", help="only write the page of the last run")
    options = parser.parse_args()
    if unknown := set(options.workloads) - set(WORKLOADS):
        parser.error(f"unknown workload {', '.join(unknown)}; there are {names}")
    if options.page:
        report.write(json.loads(RESULTS.read_text(encoding="utf-8")))
        return
    effort = QUICK if options.quick else FULL
    whole = not options.workloads and options.contenders == list(CONTENDERS)
    results: dict[str, Any] = {"machine": machine(), "workloads": {}}
    results["product_peak"] = {name: product_peak(name) for name in PRODUCTS}
    for name in options.workloads or STANDARD:
        results["workloads"][name] = measure(name, options.contenders, effort)
        show(name, results["workloads"][name], options.base)
    if whole:
        layers = compile_time.LAYERS[: 3 if options.quick else 4]
        results["compile"] = compile_time.measure(2 if options.quick else 5, layers)
        print("\n" + report.compile_times(results["compile"]))
    page = whole and not options.quick
    if target := options.json or (RESULTS if page else None):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if page:
        report.write(results)


if __name__ == "__main__":
    main()

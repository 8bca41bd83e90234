"""``python -m benchmarks [WORKLOAD ...]``: generated files against hand-written peers."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.analysis import median, speedup
from benchmarks.contender import CONTENDERS
from benchmarks.driver import FULL, QUICK, measure
from benchmarks.workloads import STANDARD, WORKLOADS

RESULTS = Path(__file__).parent / "results"


def show(name: str, result: dict[str, Any], base: str) -> None:
    """Prints the table of one workload."""
    print(f"\n{name}: {result['title']}")
    print(f"{'':44} {'step':>9} {'x ' + base:>22} {'infer':>9} {'start':>7} {'memory':>7}")
    for each, found in result["contenders"].items():
        ratio = str(speedup(result, each, base) or "")
        print(
            f"{CONTENDERS[each].title:44} {1e3 * median(result, each):6.2f} ms {ratio:>22} "
            f"{1e3 * median(result, each, 'infer'):6.2f} ms "
            f"{median(result, each, 'cold_start'):5.1f} s {found['megabytes']:4.0f} MB"
        )
    for each, reason in result["refused"].items():
        print(f"{CONTENDERS[each].title:44} refused: {reason}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("workloads", nargs="*", choices=[*WORKLOADS, []], default=list(STANDARD))
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--base", choices=CONTENDERS, default="torch", help="what ratios are of")
    parser.add_argument("--quick", action="store_true", help="fewer, shorter rounds")
    options = parser.parse_args()
    effort = QUICK if options.quick else FULL
    results: dict[str, Any] = {}
    for name in options.workloads:
        results[name] = measure(name, options.contenders, effort)
        show(name, results[name], options.base)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "latest.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""docs/performance.md and its chart, from the figures of a run."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import memory, roofline
from benchmarks.analysis import best, median, speedup
from benchmarks.contender import CONTENDERS

DOCS = Path(__file__).parents[1] / "docs"
ALL = ("w1", "w2", "w3", "w4", "w5", "w6")
EVEN = 0.97  # as fast as: the median is at least this, and the interval reaches 1
BARS = (  # generated file, the best of these, bars by workload
    ("specc-numpy", ("torch",), {**dict.fromkeys(ALL, 1.0), "w1": 2.0, "w5": 0.7}),
    ("specc-numpy", ("numpy",), dict.fromkeys(ALL, 1.2)),
    ("specc-torch", ("torch",), {"w1": 1.25, "w4": 1.25}),
    ("specc-torch", ("torch", "torch-fused", "torch-channels-last"), dict.fromkeys(ALL, EVEN)),
    ("specc-tensorflow", ("tensorflow", "tensorflow-xla"), dict.fromkeys(ALL, EVEN)),
    ("specc-tensorflow", ("keras-tensorflow",), {"w1": 1.3, "w2": 1.3, "w3": 1.1, "w4": 1.3}),
)
COLD_START = 0.2  # seconds to the end of the first step of the NumPy program
BUILD = {"mnist_cnn": 0.25, "ResNet-50": 0.5, "48-layer GPT": 1.0}  # seconds of a whole command
COLORS = {"specc": "#2458a6", "other": "#b8b8b8"}

HEAD = """\
# Performance

`make bench` measures this page and writes it; `benchmarks/results/performance.json` holds every
figure. Generated files run against hand-written peers of the same network (`benchmarks/peers/`),
which start from the same parameters, take the same batches and are refused unless their first loss
agrees to 1e-5. A training step is forward, loss, backward and Adam on a batch gathered from
shuffled arrays; "fit" is the file's own loop with its metrics. Every contender lives in a process
of its own and works in turns, one at a time, in rounds whose order alternates. Ratios are medians
over ratios within rounds, with the 95 % interval of a bootstrap. OPENBLAS_CORETYPE and
OPENBLAS_L2_SIZE are unset in the measured processes, so that OpenBLAS chooses its own kernels.
"""

DROPOUT = """\
W2 with a dropout of 0.5: the generated file with the masks of the spec, the same on every backend,
and the same file with the framework's own dropout in their place (NumPy: its own generator).
"""


ROOFLINE = """\
`python -m benchmarks.roofline` measures it. Products are those of a step in their exact layouts,
with NumPy's BLAS and with PyTorch's; element-wise work is taken at the speed that each function has
in the cache, its traffic at the bandwidth of a sum there; calls at the cost of an empty one. Their
sum is the floor of a program of these operations; that of all cores divides the element-wise work
by their number. PyTorch's step over that floor is the limit of the ratio to PyTorch.
"""
MEMORY = """\
`python -m benchmarks.memory` measures it: the arrays of a step that are alive at once at most, the
memory that the file holds for them, and what its steps allocate besides.
"""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def workloads(results: Mapping[str, Any]) -> dict[str, Any]:
    """The workloads that peers take part in."""
    return {k: v for k, v in results["workloads"].items() if "torch" in v["contenders"]}


def grid(results: Mapping[str, Any], cell: Any) -> str:
    """A table of contenders by workload; cell gives a text from a result and a name."""
    found = workloads(results)
    rows = [
        [entry.title, *(cell(r, name) if name in r["contenders"] else "" for r in found.values())]
        for name, entry in CONTENDERS.items()
        if any(name in r["contenders"] for r in found.values())
    ]
    return table(["", *(name.upper() for name in found)], rows)


def bars(results: Mapping[str, Any]) -> str:
    """What was aimed at and what was reached."""
    rows = []
    for name, peers, limits in BARS:
        for workload, bar in limits.items():
            result = workloads(results).get(workload)
            base = best(result, peers) if result else None
            ratio = speedup(result, name, base) if result and base else None
            if ratio is None or base is None:
                continue
            met = ratio.median >= bar and (bar != EVEN or ratio.high >= 1)
            titles = CONTENDERS[name].title, CONTENDERS[base].title
            verdict = "yes" if met else "no"
            rows.append([workload.upper(), *titles, str(ratio), f"{bar:.2f}", verdict])
    return table(["", "generated", "against", "ratio [95 %]", "aimed at", "reached"], rows)


def limits(results: Mapping[str, Any]) -> str:
    """Times that were to stay under a limit, and whether they did."""
    rows = []
    for workload, result in workloads(results).items():
        if "specc-numpy" in result["contenders"]:
            title = f"{workload.upper()}, cold start of the NumPy program"
            rows.append((title, median(result, "specc-numpy", "cold_start"), COLD_START))
    for network, times in results.get("compile", {}).get("cold", {}).items():
        for label, seconds in times.items():
            if label.startswith("build"):
                title = f"{network}, {label}"
                rows.append((title, statistics.median(seconds), BUILD[network]))
    shown = [
        [title, f"{seconds:.2f} s", f"{most:.2f} s", "yes" if seconds <= most else "no"]
        for title, seconds, most in rows
    ]
    return table(["", "median", "at most", "reached"], shown)


def dropout(result: Mapping[str, Any]) -> str:
    """Step times with specc's masks and with the framework's own dropout."""
    rows = []
    for name, entry in CONTENDERS.items():
        ratio = speedup(result, name, f"{name}-native")
        if ratio is not None:
            times = (f"{1e3 * median(result, each):.2f} ms" for each in (name, f"{name}-native"))
            verdict = "yes" if ratio.median >= 1 else "no"
            rows.append([entry.title, *times, str(ratio), "1.00", verdict])
    head = ["", "specc's masks", "native dropout", "ratio [95 %]", "aimed at", "reached"]
    return table(head, rows)


def compile_times(found: Mapping[str, Any]) -> str:
    """Medians of cold commands, and growth with the number of layers."""
    labels = list(next(iter(found["cold"].values())))
    cold = [
        [title, *(f"{statistics.median(times[label]):.3f} s" for label in labels)]
        for title, times in found["cold"].items()
    ]
    counts = list(next(iter(found["growth"].values())))
    growth = [
        [label, *(f"{by[count]:.2f} s" for count in counts)]
        for label, by in found["growth"].items()
    ]
    return (
        table(["whole command", *labels], cold)
        + "\nA chain of dense layers:\n\n"
        + table(["", *(f"{int(count):,} layers" for count in counts)], growth)
    )


def chart(results: Mapping[str, Any], path: Path) -> None:
    """Training speed by workload as bars, relative to eager PyTorch with Adam: an SVG."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "specc"
    from matplotlib import pyplot as plt

    found = workloads(results)
    figure, axes = plt.subplots(1, len(found), figsize=(4 + 2.2 * len(found), 4.5), sharey=True)
    names = [name for name in CONTENDERS if not name.endswith("-native")][::-1]
    for axis, (workload, result) in zip(
        axes if len(found) > 1 else [axes], found.items(), strict=True
    ):
        ratios = [speedup(result, name, "torch") for name in names]
        values = [ratio.median if ratio else 0 for ratio in ratios]
        colors = [COLORS["specc" if name.startswith("specc") else "other"] for name in names]
        axis.barh([CONTENDERS[name].title for name in names], values, color=colors)
        axis.axvline(1, color="black", linewidth=0.8)
        axis.set_title(workload.upper())
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle("Training steps per second, eager PyTorch with Adam = 1")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def numpy_steps() -> list[str]:
    """What a NumPy step needs at least, in time and memory, from the last runs that measured it."""
    parts = []
    if roofline.RESULTS.exists():
        found = json.loads(roofline.RESULTS.read_text(encoding="utf-8"))
        head = ["milliseconds", *map(str.upper, found)]
        parts += [
            "## Where a NumPy step's time goes\n",
            ROOFLINE,
            table(head, roofline.rows(found)),
        ]
    if memory.RESULTS.exists():
        found = json.loads(memory.RESULTS.read_text(encoding="utf-8"))
        parts += ["## Memory of a NumPy step\n", MEMORY, table(memory.HEAD, memory.rows(found))]
    return parts


def page(results: Mapping[str, Any]) -> str:
    """The text of docs/performance.md."""
    found, peak = workloads(results), max(results["product_peak"].values())

    def share(result: Mapping[str, Any], name: str) -> str:
        flops = result["flops"] / median(result, name)
        return f"{flops / 1e9:.0f} ({100 * flops / peak:.0f} %)"

    def seconds(result: Mapping[str, Any], name: str) -> str:
        return f"{median(result, name, 'cold_start'):.2f}"

    titles = "".join(f"- {name.upper()}: {r['title']}\n" for name, r in found.items())
    peaks = ", ".join(f"{k} {v / 1e9:.0f}" for k, v in results["product_peak"].items())
    refused = [
        f"- {name.upper()}, {CONTENDERS[each].title}: {reason}\n"
        for name, result in results["workloads"].items()
        for each, reason in result["refused"].items()
    ]
    parts = [
        HEAD,
        f"Machine: {results['machine']}.\n\n{titles}",
        "![Training speed](images/performance.svg)\n",
        "## Training steps per second\n",
        grid(results, lambda r, name: f"{1 / median(r, name):.1f}"),
        "## Relative to eager PyTorch with Adam\n",
        grid(results, lambda r, name: str(speedup(r, name, "torch"))),
        "## What was aimed at\n",
        bars(results),
        limits(results),
        "## GFLOP/s, and share of the peak\n",
        "Two operations for each multiply-add of a product or convolution, three forward passes\n"
        "to a step. The peak is the fastest product of 2048 x 2048 float32 matrices in this run,\n"
        f"in GFLOP/s: {peaks}.\n",
        grid(results, share),
        "## Inference, batches per second\n",
        grid(results, lambda r, name: f"{1 / median(r, name, 'infer'):.1f}"),
        "## Cold start, seconds\n",
        "From the start of the process to the end of the first training step, bytecode cached.\n",
        grid(results, seconds),
        "## Peak memory, megabytes\n",
        "Of the process, after all rounds of training.\n",
        grid(results, lambda r, name: f"{r['contenders'][name]['megabytes']:.0f}"),
    ]
    parts += numpy_steps()
    if "w2-dropout" in results["workloads"]:
        parts += ["## Dropout\n", DROPOUT, dropout(results["workloads"]["w2-dropout"])]
    if results.get("compile"):
        parts += ["## Compiling\n", "Process start to end.\n", compile_times(results["compile"])]
    if refused:
        parts += ["## Refused\n", "".join(refused)]
    return "\n".join(parts)


def write(results: Mapping[str, Any]) -> None:
    """Writes the page and its chart."""
    (DOCS / "performance.md").write_text(page(results), encoding="utf-8")
    chart(results, DOCS / "images" / "performance.svg")

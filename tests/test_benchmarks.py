"""Every contender of the benchmarks computes the generated network: in small, and not timed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.contender import CONTENDERS
from benchmarks.driver import contenders_of
from benchmarks.memory import footprint
from benchmarks.problem import load, load_module, prepare
from benchmarks.processes import ROOT, environment
from benchmarks.recording import record_step
from benchmarks.workloads import WORKLOADS

PEERS = {
    "torch": ["specc-numpy", "numpy", "torch", "torch-channels-last"],
    "tensorflow": ["specc-numpy", "tensorflow"],
    "jax": ["specc-numpy", "jax"],
    "keras": ["specc-numpy", "keras-torch"],
}
"""By process. The others are the same networks compiled in other ways."""

PROGRAM = """
import json, sys, tempfile
from itertools import islice
from pathlib import Path

from benchmarks.contender import CONTENDERS
from benchmarks.driver import contenders_of
from benchmarks.problem import load, prepare
from benchmarks.workloads import STANDARD, WORKLOADS

if "tensorflow" in sys.argv:
    import tensorflow as tf
    tf.config.run_functions_eagerly(True)
if "jax" in sys.argv:
    import jax
    jax.config.update("jax_disable_most_optimizations", True)  # compiles faster
found = {}
for name in STANDARD:
    wanted = contenders_of(name, sys.argv[2:])
    if len(wanted) == 1:
        continue
    with tempfile.TemporaryDirectory() as folder:
        prepare(WORKLOADS[name], Path(folder), WORKLOADS[name].tiny)
        problem = load(Path(folder))
        for each in wanted:
            contender = CONTENDERS[each].make(problem)
            rows = list(islice(problem.batches(), 2))
            before = contender.infer(rows[0])
            losses = [float(contender.step(batch)) for batch in rows]
            found[f"{name} {each}"] = losses, before.tolist()
print(json.dumps(found))
"""


@pytest.mark.parametrize("process", PEERS)
def test_peers_compute_the_generated_network(process: str) -> None:
    names = PEERS[process]
    extra = CONTENDERS[names[-1]].environment | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, process, *names],
        cwd=ROOT,
        env=environment(extra),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    compared = 0
    for key, (losses, outputs) in found.items():
        workload, name = key.split()
        wanted, reference = found[f"{workload} specc-numpy"]
        assert losses[0] == pytest.approx(wanted[0], rel=1e-5), key
        assert losses[1] == pytest.approx(wanted[1], rel=1e-4), key  # gradients and Adam too
        difference = max(abs(a - b) for a, b in zip(flat(outputs), flat(reference), strict=True))
        assert difference < 1e-5, key
        compared += name != "specc-numpy"
    assert compared >= 6


def flat(values: object) -> list[float]:
    """The numbers of nested lists."""
    if isinstance(values, list):
        return [number for each in values for number in flat(each)]
    return [values]  # type: ignore[list-item]


def test_dropout_is_only_compared_with_the_framework_s_own() -> None:
    names = contenders_of("w2-dropout", list(CONTENDERS))
    assert len(names) == 6
    assert not set(contenders_of("w1", list(CONTENDERS))) & set(names) - {
        "specc-numpy",
        "specc-torch",
        "specc-tensorflow",
    }


def test_a_recorded_step_tells_products_from_walks(tmp_path: Path) -> None:
    prepare(WORKLOADS["w2"], tmp_path, WORKLOADS["w2"].tiny)
    problem, module = load(tmp_path), load_module(tmp_path / "numpy_file.py")
    gradients, optimizer = record_step(module, problem.inputs, problem.targets)
    factors = {(a[0], b[0]) for _, a, b in gradients.products}
    rows = len(problem.x)
    assert ((rows, 3), (3, 10)) in factors  # the last layer's product
    assert not optimizer.products
    assert optimizer.walks["sqrt", "float32"] == sum(p.size for p in problem.parameters.values())
    assert module.Trainer(module.build()).step(problem.inputs, problem.targets) > 0


def test_the_memory_of_a_step_is_little_more_than_what_is_alive() -> None:
    found = footprint("w1")
    assert 0 < found["alive"] <= found["held"] <= 1.3 * found["alive"]
    assert not found["new_blocks"]

"""Rounds of training and inference: all contenders of a workload live, one at work at a time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contender import CONTENDERS
from benchmarks.problem import load, prepare
from benchmarks.processes import Worker, WorkerError
from benchmarks.workloads import WORKLOADS

REFERENCE = "specc-numpy"  # its first loss is everybody's
FIRST_LOSS = 1e-5  # the largest relative difference of first losses,
LATER_LOSS = 1e-2  # and of the losses after two steps: gradients and optimizer are the same too


@dataclass(frozen=True)
class Effort:
    """How long to measure: rounds of training and of inference, seconds of work in each turn."""

    rounds: int
    inference_rounds: int
    turn: float
    limit: float  # seconds after which a workload begins no further round, after three

    def count(self, seconds: float) -> int:
        """How many steps of that length make a turn."""
        return max(1, min(100, round(self.turn / seconds)))


FULL = Effort(rounds=12, inference_rounds=5, turn=0.15, limit=60)
QUICK = Effort(rounds=5, inference_rounds=3, turn=0.08, limit=15)


def contenders_of(workload: str, wanted: Sequence[str]) -> list[str]:
    """Those contenders that have this network, the reference first."""
    work = WORKLOADS[workload]
    fitting = [name for name in wanted if work.images or not CONTENDERS[name].images]
    if work.dropout:
        fitting = [name for name in fitting if CONTENDERS[name].module == "generated"]
    else:
        fitting = [name for name in fitting if not CONTENDERS[name].dropout]
    if work.optimizer != "adam":  # measured by name only, where these have no peer
        without = ("numpy_peer", "jax_peer")
        fitting = [name for name in fitting if CONTENDERS[name].module not in without]
    return [REFERENCE, *(name for name in fitting if name != REFERENCE)]


def disagreement(losses: Sequence[float], reference: Sequence[float]) -> str:
    """Why a contender does not compute the same; empty if it does."""
    limits = [FIRST_LOSS] + [LATER_LOSS] * (len(losses) - 1)
    for step, (a, b, limit) in enumerate(zip(losses, reference, limits, strict=True)):
        if not abs(a - b) <= limit * abs(b):
            return f"loss {a!r} instead of {b!r} at step {step}: more than {limit} apart"
    return ""


def start(
    folder: Path, names: Sequence[str], stack: ExitStack, result: dict[str, Any]
) -> dict[str, Worker]:
    """The contenders that start and agree; why the others are refused goes into the result."""
    workers: dict[str, Worker] = {}
    reference: list[float] = []
    for name in names:
        try:
            worker = stack.enter_context(Worker(folder, name))
        except WorkerError as error:
            result["refused"][name] = str(error)
            continue
        reference = reference or worker.losses
        own_masks = CONTENDERS[name].dropout
        if not own_masks and (reason := disagreement(worker.losses, reference)):
            result["refused"][name] = reason
            worker.close()
            continue
        workers[name] = worker
        result["contenders"][name] = {
            "first_loss": worker.first_loss,
            "cold_start": [worker.cold_start],
            "train": [],
            "infer": [],
        }
    return workers


def rounds(
    workers: dict[str, Worker], question: str, number: int, effort: Effort, result: dict[str, Any]
) -> None:
    """Turns of all contenders, forwards and backwards in alternation."""
    counts = {
        name: effort.count(worker.ask(question, count=2)["seconds"])
        for name, worker in workers.items()
    }
    began = time.perf_counter()
    for index in range(number):
        if index >= 3 and time.perf_counter() - began > effort.limit:
            break
        for name in list(workers) if index % 2 else reversed(workers):
            seconds = workers[name].ask(question, count=counts[name])["seconds"]
            result["contenders"][name][question].append(seconds)


def measure(workload: str, wanted: Sequence[str], effort: Effort) -> dict[str, Any]:
    """Everything about one workload: seconds by contender and round, memory, cold starts."""
    work = WORKLOADS[workload]
    result: dict[str, Any] = {"title": work.title, "contenders": {}, "refused": {}}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        prepare(work, folder)
        batch_size = load(folder).batch_size
        result["flops"] = 6 * work.multiply_adds * batch_size
        workers = start(folder, contenders_of(workload, wanted), stack, result)
        rounds(workers, "train", effort.rounds, effort, result)
        for each, worker in workers.items():
            result["contenders"][each]["megabytes"] = worker.ask("memory")["megabytes"]
        rounds(workers, "infer", effort.inference_rounds, effort, result)
        for each in workers:
            if each.startswith(REFERENCE) and not each.endswith("-fit"):
                for _ in range(4):  # a fifth of a second each: their spread can be had
                    with Worker(folder, each) as again:
                        result["contenders"][each]["cold_start"].append(again.cold_start)
    return result

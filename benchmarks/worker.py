"""One contender in a process of its own: ``python -m benchmarks.worker FOLDER CONTENDER``.

Reads a JSON object a line and answers each with one. First it makes its first step unasked, so
that the time from the start of the process to that answer is the cold start.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.contender import CONTENDERS, timed_inferences, timed_steps
from benchmarks.problem import load

CHECKED_STEPS = 3
REST, MOST_REST = 0.02, 2.0  # seconds


def peak_memory() -> float:
    """The largest resident memory of this process so far, in megabytes."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    # Elsewhere (macOS, in bytes); on Linux it would count the parent's memory at the fork.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def rest() -> None:
    """Waits until the threads of this process sleep, so that they do not slow down the next turn.

    OpenBLAS's look for work for a while: as long as most turns take.
    """
    idle, until = 0, time.perf_counter() + MOST_REST
    while idle < 2 and time.perf_counter() < until:
        before = time.process_time()
        time.sleep(REST)
        idle = idle + 1 if time.process_time() - before < REST / 20 else 0


def main(folder: str, name: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a framework prints goes elsewhere

    def answer(**found: Any) -> None:
        answers.write(json.dumps(found) + "\n")
        answers.flush()

    problem = load(Path(folder))
    contender = CONTENDERS[name].make(problem)
    batches = problem.batches()
    losses = [float(contender.step(next(batches)))]
    answer(loss=losses[0])
    losses += [float(contender.step(rows)) for rows in islice(batches, CHECKED_STEPS - 1)]
    rest()
    answer(losses=losses)
    for line in sys.stdin:
        asked = json.loads(line)
        match asked["do"]:
            case "train":
                seconds, loss = timed_steps(contender, batches, asked["count"])
                rest()
                answer(seconds=seconds, loss=loss)
            case "infer":
                seconds = timed_inferences(contender, batches, asked["count"])
                rest()
                answer(seconds=seconds)
            case "memory":
                answer(megabytes=peak_memory())


if __name__ == "__main__":
    main(*sys.argv[1:])

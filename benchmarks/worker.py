"""One contender in a process of its own: ``python -m benchmarks.worker FOLDER CONTENDER``.

Reads a JSON object a line and answers each with one. First it makes its first step unasked, so
that the time from the start of the process to that answer is the cold start.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.contender import CONTENDERS, timed_inferences, timed_steps
from benchmarks.problem import load

CHECKED_STEPS = 3


def peak_memory() -> float:
    """The largest resident memory of this process so far, in megabytes."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    # Elsewhere (macOS, in bytes); on Linux it would count the parent's memory at the fork.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


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
    answer(losses=losses)
    for line in sys.stdin:
        asked = json.loads(line)
        match asked["do"]:
            case "train":
                seconds, loss = timed_steps(contender, batches, asked["count"])
                answer(seconds=seconds, loss=loss)
            case "infer":
                answer(seconds=timed_inferences(contender, batches, asked["count"]))
            case "memory":
                answer(megabytes=peak_memory())


if __name__ == "__main__":
    main(*sys.argv[1:])

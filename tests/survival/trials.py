"""Trainings that are killed at random moments, and what must be left of them.

The spec has everything that a training carries from step to step: an optimizer with slots, a rate
that changes, dropout, running statistics, shuffled batches with a partial last one, a penalty and
metrics. A trial kills its training, once or several times, goes on with it each time, and compares
weights and history with those of a training that nobody touched: to the bit.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SPEC = """\
specc: 1
name: net
seed: 5
conventions: {conventions}
inputs: {{image: {{shape: [6, 6, 1]}}}}
targets: {{label: {{shape: [], dtype: int}}}}
layers:
  - {{conv2d: {{filters: 4, kernel_size: 3, padding: same}}}}
  - batch_norm
  - relu
  - flatten
  - {{dropout: {{rate: 0.3}}}}
  - {{dense: {{units: 8, activation: tanh, kernel_regularizer: {{l2: 1.0e-3}}}}}}
  - {{name: logits, dense: {{units: 3}}}}
outputs: [logits]
training:
  loss:
    sparse_categorical_crossentropy: {{prediction: logits, target: label, from_logits: true}}
  optimizer:
    adam: {{learning_rate: {{cosine: {{initial_learning_rate: 0.01, decay_steps: 900}}}}}}
  metrics: [accuracy]
  epochs: {epochs}
  batch_size: 16
data:
  source: npz
  path: net.npz
  split: {{validation: 0.1, test: 0.2}}
"""
EPOCHS = {"numpy": 500, "torch": 250, "tensorflow": 200}
"""About two seconds of training."""
ROWS = 90
EVERY = "23"  # a step number that falls everywhere in the epochs of four steps


def prepare(folder: Path, epochs: int, conventions: str = "keras") -> Path:
    """The spec and its data in a folder."""
    generator = np.random.default_rng(3)
    image = generator.standard_normal((ROWS, 6, 6, 1))
    label = (image.mean((1, 2, 3)) * 12).round().clip(-1, 1).astype(np.int64) + 1
    np.savez(folder / "net.npz", image=image, label=label)
    spec = folder / "net.yaml"
    spec.write_text(SPEC.format(epochs=epochs, conventions=conventions), encoding="utf-8")
    return spec


def start(spec: Path, run: Path, *options: str) -> subprocess.Popen[str]:
    """``specc train`` in a process group of its own."""
    command = [sys.executable, "-m", "specc.cli", "train", str(spec), "--run-dir", str(run)]

    def hear() -> None:
        """A job in the background of a shell ignores Ctrl-C, and so would what it starts."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    return subprocess.Popen(
        [*command, "--checkpoint-every", EVERY, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        start_new_session=True,
        preexec_fn=hear,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code and what it told."""
    _, told = process.communicate(timeout=300)
    return process.returncode, told


def workers(process: subprocess.Popen[str]) -> list[int]:
    """The processes that run the generated files."""
    try:
        text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    except OSError:
        return []
    return [int(each) for each in text.split()]


def _kill_worker(process: subprocess.Popen[str]) -> None:
    for worker in workers(process)[:1]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)


def _twice(process: subprocess.Popen[str]) -> None:
    for _ in range(2):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        time.sleep(random.uniform(0, 0.02))


def _to_group(number: signal.Signals) -> Callable[[subprocess.Popen[str]], None]:
    def send(process: subprocess.Popen[str]) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    return send


def _to_parent(number: signal.Signals) -> Callable[[subprocess.Popen[str]], None]:
    return lambda process: process.send_signal(number)


WAYS: dict[str, tuple[Callable[[subprocess.Popen[str]], None], set[int]]] = {
    "kill -9 of the worker": (_kill_worker, {3}),
    "kill -9 of the parent": (_to_parent(signal.SIGKILL), {-9}),
    "kill -9 of all": (_to_group(signal.SIGKILL), {-9}),
    "SIGTERM to the parent": (_to_parent(signal.SIGTERM), {143, -15}),
    "SIGTERM to all": (_to_group(signal.SIGTERM), {143, -15}),
    "SIGINT to the parent": (_to_parent(signal.SIGINT), {130, -2}),
    "SIGINT to all": (_to_group(signal.SIGINT), {130, -2}),
    "SIGINT twice": (_twice, {130, -2}),
}
"""How a training ends early, and its exit code then: the negative ones while Python itself starts
or ends."""


@dataclass(frozen=True)
class Reference:
    """What a training that nobody touched leaves, and the seconds that it takes."""

    files: dict[str, bytes]
    seconds: float


def compared(run: Path) -> dict[str, bytes]:
    """The files of a finished run whose content is decided, by path; of the others the names."""
    found = {}
    for path in sorted(run.rglob("*")):
        decided = path.suffix != ".json" or path.name in ("history.json", "fitted.json")
        found[str(path.relative_to(run))] = path.read_bytes() if path.is_file() and decided else b""
    return found


def reference(spec: Path, backends: Sequence[str]) -> Reference:
    run = spec.parent / "reference" / "net"
    process = start(spec, run, *_chosen(backends))
    begun = None
    while process.poll() is None:
        if begun is None and any(run.rglob("checkpoint.npz")):
            begun = time.monotonic()
        time.sleep(0.005)
    code, told = finish(process)
    assert code == 0, told
    return Reference(compared(run), time.monotonic() - (begun or time.monotonic()))


@dataclass
class Trial:
    """What was done to one training, and what came of it."""

    deeds: list[str]
    problems: list[str]


def trial(
    spec: Path,
    backends: Sequence[str],
    wanted: Reference,
    random: random.Random,
    ways: Sequence[str] = tuple(WAYS),
) -> Trial:
    """Kills a training up to three times and goes on until it is finished."""
    run = spec.parent / f"trial-{random.getrandbits(40):x}" / "net"
    found = Trial([], [])
    kills = random.choice((1, 1, 2, 3))
    resume = False
    for attempt in range(20):
        options = ["--resume"] if resume else [*_chosen(backends)]
        process = start(spec, run, *options)
        if attempt < kills:
            _strike(process, run, wanted.seconds, random, random.choice(ways), found)
        code, told = finish(process)
        if ("Traceback" in told and code != -2) or "E9999" in told:
            found.problems.append(f"it does not end with a message: {told}")
        if code == 0 or "E1016" in told and "is finished" in told:
            break
        if attempt >= kills:
            found.problems.append(f"exit code {code} without being killed: {told}")
            break
        resume = run.exists()  # killed in its first moments, it has not begun
    if (left := compared(run)) != wanted.files:
        names = [n for n in left.keys() | wanted.files.keys() if left.get(n) != wanted.files.get(n)]
        found.problems.append(f"other than without interruption: {sorted(names)}")
    if litter := [path.name for path in run.parent.iterdir() if path != run]:
        found.problems.append(f"left over: {litter}")
    return found


def _strike(
    process: subprocess.Popen[str],
    run: Path,
    seconds: float,
    random: random.Random,
    way: str,
    found: Trial,
) -> None:
    """Kills at a random moment: mostly while it trains, sometimes anywhere."""
    strike, codes = WAYS[way]
    if random.random() < 0.8:
        until = time.monotonic() + 120
        before = stamps(run)
        while process.poll() is None and stamps(run) == before and time.monotonic() < until:
            time.sleep(0.002)
        delay = random.uniform(0, seconds)
    else:
        delay = random.uniform(0, seconds + 3)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(delay)
    running = process.poll() is None
    strike(process)
    process.wait(timeout=120)
    code = process.returncode
    found.deeds.append(f"{way} after {delay:.2f} s: {code}")
    # What is killed at its very end may be done first, and a worker may not be there yet.
    if running and code not in codes | {0} and "worker" not in way:
        found.problems.append(f"{way}: exit code {code}")


def stamps(run: Path) -> list[int]:
    """When the checkpoints of a run were written."""
    found = []
    for path in sorted(run.rglob("checkpoint.npz")):
        with contextlib.suppress(FileNotFoundError):
            found.append(path.stat().st_mtime_ns)
    return found


def _chosen(backends: Sequence[str]) -> list[str]:
    return ["--backends", ",".join(backends)]

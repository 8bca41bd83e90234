"""The measured processes: their environment, and a live contender behind two pipes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.contender import CONTENDERS

ROOT = Path(__file__).parents[1]

UNSET = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONPROFILEIMPORTTIME",
)
"""The first two change which products OpenBLAS computes with; the third makes every start compile
all of Python's modules again."""


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a measured process."""
    kept = {name: value for name, value in os.environ.items() if name not in UNSET}
    return kept | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONHASHSEED": "0"} | dict(extra or {})


class WorkerError(Exception):
    """A contender's process ended; the last line it wrote to its standard error."""


class Worker:
    """A contender in its own process. It works only while it is asked something."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.errors = folder / f"{name}.errors"
        command = [sys.executable, "-m", "benchmarks.worker", str(folder), name]
        start = time.perf_counter()
        with self.errors.open("w", encoding="utf-8") as errors:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment(CONTENDERS[name].environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.first_loss: float = self.answer()["loss"]
        self.cold_start = time.perf_counter() - start
        self.losses: list[float] = self.answer()["losses"]

    def answer(self) -> dict[str, Any]:
        """The next line that the process writes. Raises WorkerError when there is none."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            said = self.errors.read_text(encoding="utf-8").strip().splitlines()
            raise WorkerError(f"{self.name}: {said[-1] if said else 'it said nothing'}")
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """Sends a question and waits for its answer. Raises WorkerError."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self) -> None:
        """Ends the process."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def product_peak(name: str) -> float:
    """Floating-point operations a second that a framework's largest products reach."""
    command = [sys.executable, "-m", "benchmarks.products", name]
    run = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    return float(run.stdout)

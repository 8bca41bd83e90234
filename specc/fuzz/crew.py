"""One long-lived process per backend, which runs the files of case after case."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from specc.diagnostics import Diagnostic
from specc.runner.process import Worker, WorkerError

TIME_LIMIT = 120.0
"""Seconds after which a file is said to hang; a process that imports its framework needs ten."""
LIFE = 200
"""After so many files a process makes place for a new one: frameworks keep a little of each."""
_NO_FRAMEWORK = "E1001"
_SCRIPT = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class Variant:
    """A generated file of a case: its backend and the optimisation level it was compiled at."""

    backend: str
    level: int
    default: bool = True

    def __str__(self) -> str:
        return self.backend if self.default else f"{self.backend} (level {self.level})"


@dataclass(frozen=True)
class Crash:
    """A file that failed, or that took too long and was ended."""

    diagnostic: Diagnostic
    hung: bool = False


@dataclass
class _Member:
    """The process of one backend, started when it is needed."""

    backend: str
    limit: float
    worker: Worker | None = None
    runs: int = 0
    seconds: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, path: Path, request: Mapping[str, Any]) -> dict[str, Any] | Crash:
        if self.runs >= LIFE:
            self.close()
        if self.worker is None:
            self.worker = Worker(self.backend, path, companions=1, script=_SCRIPT)
        self.runs += 1
        worker, expired = self.worker, threading.Event()
        worker.path = path

        def end() -> None:
            expired.set()
            worker.kill()

        timer = threading.Timer(self.limit, end)
        timer.start()
        try:
            answer: dict[str, Any] = worker.ask("examine", path=str(path), **request)
        except WorkerError as error:
            if expired.is_set() or not worker.alive:
                self.close()
            if error.diagnostics[0].code == _NO_FRAMEWORK:
                raise
            return Crash(error.diagnostics[0], expired.is_set())
        finally:
            timer.cancel()
        return answer

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()
        self.worker, self.runs = None, 0


class Crew:
    """A process per backend. A context manager that ends them all."""

    def __init__(self, backends: Sequence[str], limit: float = TIME_LIMIT) -> None:
        self._members = {name: _Member(name, limit) for name in backends}
        self._threads = ThreadPoolExecutor(len(self._members))

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._threads.shutdown(wait=error is None, cancel_futures=True)
        for member in self._members.values():
            member.close()

    def examine(
        self, files: Mapping[Variant, Path], request: Mapping[str, Any]
    ) -> dict[Variant, dict[str, Any] | Crash]:
        """What each file computes; the backends work side by side.

        A file that fails, or takes longer than the limit, gives a Crash, and its process is started
        anew if it died.
        """

        def one_after_the_other(backend: str) -> dict[Variant, dict[str, Any] | Crash]:
            own = {v: path for v, path in files.items() if v.backend == backend}
            return {v: self._members[backend].ask(path, request) for v, path in own.items()}

        parts = self._threads.map(one_after_the_other, self._members)
        found = {variant: answer for part in parts for variant, answer in part.items()}
        return {variant: found[variant] for variant in files}

"""The parent's side of a worker: start it, ask it, and turn its failures into diagnostics."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

from specc.diagnostics import Diagnostic, Note, SpecError
from specc.runner import wire

# The extra that brings a package; any other is installed under its own name.
EXTRAS = {"torch": "specc[torch]", "tensorflow": "specc[tensorflow]", "keras": "specc[tensorflow]"}
_WORKER = Path(__file__).with_name("worker.py")


class WorkerError(SpecError):
    """A generated file failed, or the framework that it needs is not installed."""


class Worker:
    """One generated file in a process of its own, where specc cannot be imported.

    ``python`` is the interpreter that runs the file: another one may hold a framework that this one
    does not. ``companions`` is the number of workers that run beside it. ``script`` is what the
    process runs; with another one than the usual, ``path`` is opened when a command says so. The
    process keeps the file descriptors of ``inherit`` open while it lives.
    """

    def __init__(
        self,
        backend: str,
        path: Path,
        python: str = sys.executable,
        companions: int = 0,
        script: Path = _WORKER,
        inherit: Sequence[int] = (),
    ) -> None:
        self.backend = backend
        self.path = path
        self._sending = threading.Lock()
        with contextlib.ExitStack() as stack:
            self._errors = stack.enter_context(tempfile.TemporaryFile())
            self._process = stack.enter_context(
                subprocess.Popen(
                    [python, "-P", str(script)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._errors,
                    env=_environment(companions),
                    pass_fds=inherit,
                )
            )
            self._resources = stack.pop_all()
        if script == _WORKER:
            self.post("open", path=str(path.resolve()))

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def post(self, command: str, **fields: Any) -> None:
        """Sends a command without waiting; `wait` takes its answer."""
        try:
            with self._sending:
                wire.send(cast(BinaryIO, self._process.stdin), {"command": command, **fields})
        except BrokenPipeError:
            raise self._died() from None

    def wait(self, on_event: Callable[[dict[str, Any]], None] | None = None) -> Any:
        """The result of the oldest unanswered command; events on the way go to ``on_event``."""
        while True:
            reply = wire.receive(cast(BinaryIO, self._process.stdout))
            if reply is None:
                raise self._died()
            if "error" in reply:
                raise self._failed(reply["error"])
            if "result" in reply:
                return reply["result"]
            if on_event is not None:
                on_event(reply["event"])

    def ask(self, command: str, **fields: Any) -> Any:
        """Sends a command and returns its result."""
        self.post(command, **fields)
        return self.wait()

    def stop(self) -> None:
        """Asks a training to write a checkpoint and end; its answer comes to who waits for it."""
        with contextlib.suppress(WorkerError):  # who waits learns that the process has died
            self.post("stop")

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Ends the process, whatever it is doing: who waits for its answer learns that it died."""
        self._process.kill()

    def close(self) -> None:
        """Ends the process and lets its streams go."""
        self.kill()
        # What is still buffered was for a process that is gone.
        with contextlib.suppress(BrokenPipeError):
            self._resources.close()

    def _died(self) -> WorkerError:
        code = self._process.wait()
        self._errors.seek(0)
        printed = self._errors.read().decode(errors="replace").strip().splitlines()
        notes = tuple(Note(line) for line in printed[-12:])
        if code < 0:
            return WorkerError(self._killed(signal.Signals(-code), notes))
        message = f"the {self.backend} process ended with code {code} while it ran {self.path}"
        return WorkerError(Diagnostic("E1002", message, notes=notes))

    def _killed(self, number: signal.Signals, notes: tuple[Note, ...]) -> Diagnostic:
        message = f"the {self.backend} process was ended by {number.name} while it ran {self.path}"
        help_ = "a crash in the framework or its driver: other versions may not have it"
        if number == signal.SIGKILL:
            message += ": most likely the system ran out of memory"
            help_ = "use a smaller batch_size, fewer backends at a time, or a larger machine"
        return Diagnostic("E1017", message, notes=notes, help=help_)

    def _failed(self, error: Mapping[str, str]) -> WorkerError:
        if error["unwritable"]:
            return WorkerError(Diagnostic("E1006", error["unwritable"], help="make room there"))
        package = error["missing"].partition(".")[0]
        if package and package != "specc":
            return WorkerError(
                Diagnostic(
                    "E1001",
                    f"{package} is not installed, and {self.path.name} needs it",
                    help=f"pip install '{EXTRAS.get(package, package)}', or choose other backends",
                )
            )
        lines = error["traceback"].rstrip().splitlines()
        return WorkerError(
            Diagnostic(
                "E1002",
                f"{self.path} failed on {self.backend}: {error['kind']}: {error['message']}",
                notes=tuple(Note(line) for line in lines[-12:]),
                help="please report it, with the spec if you may, unless it says what to do",
            )
        )


def _environment(companions: int) -> dict[str, str]:
    """Manners for processes that share a machine; what the user has set stays.

    By default the threads of OpenMP and OpenBLAS spin while they wait, and take the processor from
    the process that they wait for: with a busy machine an epoch takes nine times as long.
    """
    manners = {"OMP_WAIT_POLICY": "PASSIVE"}
    if companions:
        # OpenBLAS, NumPy's library, cannot be told to wait quietly.
        manners["OPENBLAS_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // (companions + 1)))
    return manners | os.environ


class Team:
    """Workers that do the same at the same time. A context manager that ends them all."""

    def __init__(
        self, sources: Mapping[str, Path], python: str = sys.executable, inherit: Sequence[int] = ()
    ) -> None:
        self.workers: dict[str, Worker] = {}
        others = len(sources) - 1
        try:
            for backend, path in sources.items():
                self.workers[backend] = Worker(backend, path, python, others, inherit=inherit)
            self.opened: dict[str, dict[str, Any]] = self.wait()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Team:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def names(self) -> Sequence[str]:
        return tuple(self.workers)

    def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        """The result of one command from every worker, computed side by side."""
        for worker in self.workers.values():
            worker.post(command, **fields)
        return self.wait()

    def wait(self) -> dict[str, Any]:
        """The results of the command that was posted to every worker."""
        return {name: worker.wait() for name, worker in self.workers.items()}

    def stop(self) -> None:
        """Asks every training to write a checkpoint and end."""
        for worker in self.workers.values():
            worker.stop()

    def close(self) -> None:
        for worker in self.workers.values():
            worker.close()

"""Generated files in processes of their own, used as if they were here.

    with Worker() as worker:
        file = worker.load(path)
        model = file.build(dtype="float64")
        trainer = file.Trainer(model)

``file`` and what it makes are stand-ins: an attribute is fetched, a call is made over there.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

from generated_worker import OBJECT, RECORDED

__all__ = ["RECORDED", "FileError", "Remote", "Worker"]


class FileError(Exception):
    """A generated file raised; ``kind`` is the exception's name."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind, self.message = kind, message


class Remote:
    """An object of the other process. ``calls`` are those of the callbacks of its last call."""

    def __init__(self, worker: Worker, number: int) -> None:
        self.worker, self.number = worker, number
        self.calls: list[dict[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        if name.isupper():
            return self._ask(name, (), {})
        return lambda *args, **named: self._ask(name, args, named)

    def _ask(self, name: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        args = tuple({OBJECT: a.number} if isinstance(a, Remote) else a for a in args)
        value, self.calls = self.worker.ask("call", self.number, name, args, named)
        made = isinstance(value, dict) and value.keys() == {OBJECT}
        return Remote(self.worker, value[OBJECT]) if made else value


class Worker:
    """A process for the files of one framework."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("generated_worker.py")
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def load(self, path: Path) -> Remote:
        """The module of the generated file at ``path``."""
        return Remote(self, self.ask("load", str(path))[OBJECT])

    def ask(self, command: str, *arguments: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        pickle.dump((command, arguments), self._process.stdin)
        self._process.stdin.flush()
        kind, value = pickle.load(self._process.stdout)
        if kind != "result":
            raise FileError(kind, value)
        return value

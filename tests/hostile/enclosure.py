"""Commands of specc under limits: each in a process of its own, which may take two seconds of
processor time and 500 MB.

Python is started once, as a fresh process that has imported the command line; it forks itself for
every command. So a test costs what the command costs, and what the kernel counts is that command
alone, the formatter that it starts included.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from specc.records import dataclass

SECONDS = 2.0
MEGABYTES = 500
WALL = 20.0
"""Seconds after which a command hangs: it waits for something, since it computes no longer."""


@dataclass(frozen=True)
class Outcome:
    """What a command came to. ``code`` is negative for a signal."""

    code: int
    seconds: float
    megabytes: float
    out: str
    err: str

    def check(self, *codes: int) -> None:
        """It ended as a command may: by itself, in time, without a traceback."""
        assert self.code in (codes or (0, 1)), f"exit code {self.code}\n{self.err[-3000:]}"
        assert "Traceback" not in self.err and "E9999" not in self.err, self.err[-3000:]
        assert self.seconds <= SECONDS, f"{self.seconds:.2f} s of processor time"
        assert self.megabytes <= MEGABYTES, f"{self.megabytes:.0f} MB"


class Enclosure:
    """The process that forks. A context manager."""

    def __enter__(self) -> Enclosure:
        environment = {**os.environ, "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.enclosure"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            env={**environment, "OPENBLAS_NUM_THREADS": "1"},
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def run(self, *arguments: str | Path, cwd: Path | None = None) -> Outcome:
        """``specc ARGUMENTS`` in a folder."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        request = {"arguments": [str(each) for each in arguments], "cwd": str(cwd or Path.cwd())}
        stdin.write(json.dumps(request).encode() + b"\n")
        stdin.flush()
        return Outcome(**json.loads(stdout.readline()))


def main() -> None:
    import specc.cli  # noqa: F401
    import specc.cli.boundary  # noqa: F401

    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        replies.write(json.dumps(_forked(request["arguments"], request["cwd"])).encode() + b"\n")
        replies.flush()


def _forked(arguments: Sequence[str], cwd: str) -> dict[str, Any]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os._exit(_command(arguments, cwd, out, err))
        status, usage = _wait(child)
        code = os.waitstatus_to_exitcode(status)
        return {
            "code": code,
            "seconds": usage.ru_utime + usage.ru_stime,
            "megabytes": usage.ru_maxrss / 1024,
            "out": _end_of(out),
            "err": _end_of(err),
        }


def _end_of(file: IO[bytes], most: int = 200_000) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - most))
    return file.read().decode("utf-8", errors="replace")


def _wait(child: int) -> tuple[int, resource.struct_rusage]:
    """Its status and what it used; one that hangs is killed."""
    deadline = time.monotonic() + WALL * 3
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            return status, usage
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            _, status, usage = os.wait4(child, 0)
            return status, usage
        time.sleep(0.002)


def _command(arguments: Sequence[str], cwd: str, out: IO[bytes], err: IO[bytes]) -> int:
    from specc.cli.boundary import guarded
    from specc.cli.group import cli

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # The limits stop what runs away; whether it was too much is decided by what was used.
    resource.setrlimit(resource.RLIMIT_CPU, (int(SECONDS) * 5, int(SECONDS) * 5 + 1))
    resource.setrlimit(resource.RLIMIT_AS, (4 * MEGABYTES * 2**20, 4 * MEGABYTES * 2**20))
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    os.chdir(cwd)
    try:
        return guarded(cli, arguments)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    main()

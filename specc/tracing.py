"""Where compile time goes: named stretches of time within each other, as ``--profile`` shows them.

The compiler marks its parts with ``phase``; that costs nothing until somebody records them.
"""

from __future__ import annotations

import builtins
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import field
from typing import Any

from specc.records import dataclass


@dataclass(eq=False)
class Phase:
    """A stretch of time, in seconds since the process began, and the phases within it."""

    name: str
    start: float
    end: float = 0.0
    detail: str = ""
    phases: list[Phase] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.end - self.start


class Recorder:
    """Takes down phases as they begin and end. ``root`` holds them all."""

    def __init__(self) -> None:
        # What the process has done before this is Python's own start, and the command line's.
        begun = time.process_time()
        self._offset = begun - time.perf_counter()
        self.root = Phase("total", 0.0, phases=[Phase("start", 0.0, begun)])
        self._open = [self.root]

    def now(self) -> float:
        return time.perf_counter() + self._offset

    @contextmanager
    def phase(self, name: str, detail: str = "") -> Iterator[None]:
        made = Phase(name, self.now(), detail=detail)
        self._open[-1].phases.append(made)
        self._open.append(made)
        try:
            yield
        finally:
            made.end = self.now()
            self._open.pop()

    def importing(self, load: Any) -> Any:
        """``__import__``, timed where it has something to load; imports of imports count as one."""

        def timed(name: str, *rest: Any, **named: Any) -> Any:
            if name in sys.modules or self._open[-1].name == "imports":
                return load(name, *rest, **named)
            with self.phase("imports", name):
                return load(name, *rest, **named)

        return timed


_recorder: Recorder | None = None
_NOTHING: AbstractContextManager[None] = nullcontext()


def phase(name: str) -> AbstractContextManager[None]:
    """Marks what runs inside as a part of the compiler's work."""
    return _NOTHING if _recorder is None else _recorder.phase(name)


@contextmanager
def recording() -> Iterator[Phase]:
    """Records all phases, and what is imported, until its end. Gives the phase that holds them."""
    global _recorder
    recorder = _recorder = Recorder()
    load = builtins.__import__
    builtins.__import__ = recorder.importing(load)
    try:
        yield recorder.root
    finally:
        builtins.__import__ = load
        recorder.root.end = recorder.now()
        _recorder = None


def chrome_trace(root: Phase) -> dict[str, Any]:
    """The phases as chrome://tracing and https://ui.perfetto.dev read them, in microseconds."""

    def events(phase: Phase) -> Iterator[dict[str, Any]]:
        event = {"name": phase.name, "ph": "X", "pid": 1, "tid": 1}
        times = {"ts": round(phase.start * 1e6, 1), "dur": round(phase.seconds * 1e6, 1)}
        yield {**event, **times, **({"args": {"module": phase.detail}} if phase.detail else {})}
        for each in phase.phases:
            yield from events(each)

    return {"traceEvents": list(events(root)), "displayTimeUnit": "ms"}

"""Ctrl-C and SIGTERM as an exception, wherever a command is."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to end.

    ``reached`` is how far the training of each backend is, and ``resumable`` says whether there is
    anything to go on from.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.reached: Mapping[str, int] = {}
        self.resumable = False

    @property
    def exit_code(self) -> int:
        """128 and the number of the signal, as shells have it."""
        return 128 + self.number


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> Iterator[None]:
    """SIGINT and SIGTERM go to ``handler`` in the body, if that is in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are not ours to handle
        return
    # What the caller has chosen to ignore (a shell does so for jobs in the background) stays so.
    heard = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) != signal.SIG_IGN]
    before = {each: signal.signal(each, handler) for each in heard}
    try:
        yield
    finally:
        for each, earlier in before.items():
            signal.signal(each, earlier)


def interruptible() -> contextlib.AbstractContextManager[None]:
    """SIGINT and SIGTERM raise Interrupted in the body."""
    return _handled(_interrupt)


def uninterrupted() -> contextlib.AbstractContextManager[None]:
    """SIGINT and SIGTERM come too late for the body, which is short."""
    return _handled(signal.SIG_IGN)

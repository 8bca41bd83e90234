"""The process in which generated files run for a test: python generated_worker.py.

It answers requests, pickled one after the other, that arrive on standard input (see
generated_files.py). specc cannot be imported here. What a call returns goes back when it is plain
data; a model or a trainer stays here, and a number that stands for it goes back.
"""

import importlib.util
import os
import pickle
import sys
from typing import Any

import numpy as np

PLAIN = (type(None), bool, int, float, str, np.ndarray, np.generic)
OBJECT = "$object"  # {OBJECT: number} stands for an object of this process
RECORDED = "$record"  # as an argument: a callback that keeps what it is called with


class Session:
    """The objects that the other side knows."""

    def __init__(self) -> None:
        self.objects: list[Any] = []

    def load(self, path: str) -> dict[str, int]:
        """The module of a generated file."""
        spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return self.keep(module)

    def call(self, target: int, name: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """An attribute of an object, called if it can be; with the calls of recorded callbacks."""
        calls: list[dict[str, Any]] = []

        def record(**arguments: Any) -> None:
            calls.append({key: self.sent(value) for key, value in arguments.items()})

        found = getattr(self.objects[target], name)
        if not callable(found):
            return self.sent(found), calls
        args = tuple(self.received(each) for each in args)
        named = {
            k: record if isinstance(v, str) and v == RECORDED else self.received(v)
            for k, v in named.items()
        }
        return self.sent(found(*args, **named)), calls

    def keep(self, value: Any) -> dict[str, int]:
        self.objects.append(value)
        return {OBJECT: len(self.objects) - 1}

    def received(self, value: Any) -> Any:
        held = isinstance(value, dict) and value.keys() == {OBJECT}
        return self.objects[value[OBJECT]] if held else value

    def sent(self, value: Any) -> Any:
        if isinstance(value, PLAIN):
            return value
        if isinstance(value, dict):
            return {key: self.sent(each) for key, each in value.items()}
        if isinstance(value, list | tuple | set):
            return type(value)(map(self.sent, value))
        if getattr(value, "shape", None) == ():
            return float(value)
        return self.keep(value)


def main() -> None:
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a framework prints is no reply
    sys.modules["specc"] = None  # type: ignore[assignment]
    session = Session()
    while True:
        try:
            command, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            reply = "result", getattr(session, command)(*arguments)
        except Exception as error:
            reply = type(error).__name__, str(error)
        pickle.dump(reply, replies)
        replies.flush()


if __name__ == "__main__":
    main()

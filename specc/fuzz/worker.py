"""The process of one backend in a campaign. Started by path: ``python -P worker.py``.

It is the process of `specc.runner.worker` with one command more, which runs a whole case. The
framework is imported once, and file after file is loaded beside it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np


def _runner() -> ModuleType:
    """The module of the ordinary worker, by its path: specc cannot be imported here."""
    path = Path(__file__).parents[1] / "runner" / "worker.py"
    spec = importlib.util.spec_from_file_location("specc_worker", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["specc_worker"] = module
    spec.loader.exec_module(module)
    return module


RUNNER = _runner()


class Untraced:
    """Stands for ``tf.function``: the same Python, run as it is, without the second that building a
    graph of it takes."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._function(*arguments, **keywords)

    def get_concrete_function(self, *signature: Any) -> Callable[..., Any]:
        return self._function


def shaken(arrays: dict[str, Any], shake: int) -> dict[str, Any]:
    """The arrays with a unit in the last place more or less here and there; as they are for 0."""
    if not shake:
        return arrays
    random = np.random.default_rng(shake)
    unit = np.finfo(np.float64).eps
    return {
        name: array * (1 + unit * random.integers(-1, 2, array.shape))
        if array.dtype.kind == "f"
        else array
        for name, array in arrays.items()
    }


class Session(RUNNER.Session):  # type: ignore[misc,name-defined]
    """The ordinary commands, and ``examine``."""

    _warm = False
    _tf_function: Any = None

    def examine(
        self, path: str, traced: bool, data: dict[str, Any], steps: list[Any], shake: int = 0
    ) -> dict[str, Any]:
        """All that is compared of the file at ``path``.

        ``steps`` are the rows of each optimizer step; the first of them are also those of
        everything else. ``traced`` says whether TensorFlow builds graphs. With ``shake``, inputs,
        parameters and the weights of samples are changed in their last bit first, in the way of
        that number: weights too, as where all parameters are 0 nothing else would change.
        """
        if not self._warm:
            self.open(path)  # which imports the framework
            self._warm = True
        self._trace_functions(traced)
        self.open(path)
        rows = steps[0]
        if shake:
            data = {**data, "inputs": shaken(data["inputs"], shake)}
            weights = data.get("sample_weights", np.ones(1 + max(map(max, steps))))
            data["sample_weights"] = shaken({"": weights}, shake)[""]
        first = {
            kind: {name: array[rows] for name, array in data[kind].items()}
            for kind in ("inputs", "targets")
        }
        self.data({"train": data, "first": first})
        found: dict[str, Any] = {"initial": shaken(self.build("float64"), shake)}
        if shake:
            self.module.set_parameters(self.model, found["initial"])
        found["inference"] = self.trace(rows, False, 1)
        found["prediction"] = self.predict(first["inputs"])
        found["parts"] = self.predict(first["inputs"], 2)
        found["training"] = self.trace(rows, True, 1)
        found |= self.gradients(rows, 1)
        found["scores"] = self.evaluate("first")
        found["untouched"] = self.parameters()
        return found | self._train(steps)

    def _train(self, steps: list[Any]) -> dict[str, Any]:
        """Loss and parameters after each step, and where the second half leads when it is begun
        again from the state that the first half left."""
        middle = len(steps) // 2
        taken = [self.step(rows, state=index == middle - 1) for index, rows in enumerate(steps)]
        left = taken[middle - 1]
        state = {name: np.array(value) for name, value in left.pop("state").items()}
        self.place(left["parameters"], state)
        again = [self.step(rows)["parameters"] for rows in steps[middle:]]
        losses = [step["loss"] for step in taken]
        parameters = [step["parameters"] for step in taken]
        return {"losses": losses, "steps": parameters, "state": state, "resumed": again[-1]}

    def _trace_functions(self, traced: bool) -> None:
        """Lets ``tf.function`` build graphs in the files that are opened from now on, or not."""
        if (tf := sys.modules.get("tensorflow")) is not None:
            self._tf_function = self._tf_function or tf.function
            vars(tf)["function"] = self._tf_function if traced else self._untraced

    def _untraced(self, function: Callable[..., Any] | None = None, **options: Any) -> Any:
        """``tf.function``, as a decorator or as a call; what XLA has to compile is compiled."""
        if options.get("jit_compile"):
            return self._tf_function(function, **options)
        return Untraced if function is None else Untraced(function)


if __name__ == "__main__":
    RUNNER.main(Session)

"""What a step of a generated NumPy file asks of the machine: its products, its walks through
memory, its calls.

Arrays of the step are of a class whose every use NumPy reports. The numbers computed are the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Layout = tuple[tuple[int, ...], tuple[int, ...]]
"""The shape of an array and its strides, in numbers."""
Product = tuple[str, Layout, Layout]
"""The type of the numbers and the two factors of a product."""
Walk = tuple[str, str]
"""A ufunc, with its method where it is not called, and the type of its numbers."""


@dataclass
class Record:
    """What was used: products by layout, numbers that each ufunc walked over, bytes, calls."""

    products: Counter[Product] = field(default_factory=Counter)
    walks: Counter[Walk] = field(default_factory=Counter)
    bytes: int = 0  # that element-wise work reads and writes
    calls: int = 0

    def product(self, arrays: list[np.ndarray]) -> None:
        a, b = (self._layout(array) for array in arrays[:2])
        self.products[arrays[0].dtype.name, a, b] += 1

    def walk(self, name: str, arrays: list[np.ndarray]) -> None:
        self.walks[name, arrays[0].dtype.name] += max(array.size for array in arrays)
        self.bytes += sum(array.nbytes for array in arrays)

    @staticmethod
    def _layout(array: np.ndarray) -> Layout:
        return array.shape, tuple(stride // array.itemsize for stride in array.strides)


_RECORD: Record | None = None  # of the phase that runs


class Recorded(np.ndarray):
    """An array that writes its uses to the record of the phase that runs."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        given = options.pop("out", ())
        if given:
            options["out"] = tuple(plain(each) for each in given)
        result = getattr(ufunc, method)(*map(plain, inputs), **options)
        if _RECORD is not None:
            _RECORD.calls += 1
            arrays = [
                each for each in map(plain, (*inputs, result)) if isinstance(each, np.ndarray)
            ]
            if ufunc is np.matmul:
                _RECORD.product(arrays)
            elif arrays:
                name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
                _RECORD.walk(name, arrays)
        if given and len(given) == 1:
            return given[0]
        return result.view(Recorded) if isinstance(result, np.ndarray) else result

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if _RECORD is not None:
            _RECORD.calls += 1
        return super().__array_function__(function, types, args, kwargs)

    def __setitem__(self, key: Any, value: Any) -> None:
        target = plain(self)[key]
        if _RECORD is not None and isinstance(target, np.ndarray):
            _RECORD.calls += 1
            source = [plain(value)] if isinstance(value, np.ndarray) else []
            _RECORD.walk("copy", [target, *source])
        plain(self)[key] = plain(value)


def plain(value: Any) -> Any:
    """The same memory as an ordinary array; what is no array as it is."""
    return value.view(np.ndarray) if isinstance(value, Recorded) else value


@contextmanager
def recorded(record: Record) -> Iterator[None]:
    """Everything inside is written to that record, and to no other."""
    global _RECORD
    outer, _RECORD = _RECORD, record
    try:
        yield
    finally:
        _RECORD = outer


def record_step(module: Any, inputs: Any, targets: Any) -> tuple[Record, Record]:
    """One training step of a generated NumPy file: the gradients' record, the optimizer's."""
    gradients, optimizer = Record(), Record()
    model = module.build()
    model.parameters = {p: a.view(Recorded) for p, a in model.parameters.items()}
    allocate: Callable[..., np.ndarray] = module.empty
    module.empty = lambda *about: allocate(*about).view(Recorded)
    trainer = module.Trainer(model)
    update = trainer.optimizer.update

    def recorded_update(*arguments: Any) -> None:
        with recorded(optimizer):
            update(*arguments)

    trainer.optimizer.update = recorded_update
    x, y = ({k: a.view(Recorded) for k, a in each.items()} for each in (inputs, targets))
    with recorded(gradients):
        trainer.step(x, y)
    module.empty = allocate
    return gradients, optimizer

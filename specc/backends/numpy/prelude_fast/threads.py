"""Work that is shared out to all processors."""

import ctypes
import functools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np


def openblas(name: str) -> Any:
    """A function of the OpenBLAS in NumPy's wheels; None where NumPy has other products."""
    linked = getattr(np.linalg, "_umath_linalg", None)  # the part of NumPy that is linked with it
    library = ctypes.CDLL(linked.__file__) if linked else None
    return getattr(library, f"scipy_openblas_{name}64_", None)


SET_PRODUCT_THREADS = openblas("set_num_threads")
PRODUCT_THREADS = openblas("get_num_threads")() if SET_PRODUCT_THREADS else 1
THREADS = min(PRODUCT_THREADS, 8)  # more of them would wait for the interpreter


def on_own_threads(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator: while the function runs, a product is computed by the thread that calls it.

    map_parts gives every processor its part. The threads of OpenBLAS would come on top of that:
    between their products they wait in a loop, in the place of other work.
    """

    @functools.wraps(function)
    def limited(*arguments: Any, **options: Any) -> Any:
        SET_PRODUCT_THREADS(1)
        try:
            return function(*arguments, **options)
        finally:
            SET_PRODUCT_THREADS(PRODUCT_THREADS)

    return limited if PRODUCT_THREADS > 1 else function


@functools.cache
def helpers(process: int) -> ThreadPoolExecutor:
    """The threads beside the main one. A process that was forked has none of its parent's."""
    return ThreadPoolExecutor(THREADS - 1)


def map_parts(work: Callable[[Any], Any], parts: Iterable[Any]) -> list[Any]:
    """[work(part) for part in parts], in parts that stay in the cache."""
    return map_on_threads(work, list(parts))  #: shared
    return [work(part) for part in parts]  #: alone


def map_on_threads(work: Callable[[Any], Any], parts: list[Any]) -> list[Any]:
    """[work(part) for part in parts], on all processors: NumPy's loops run side by side.

    The parts do not depend on the number of processors, so that the results do not either. Each
    should take a tenth of a millisecond or more: to wake a thread takes that long.
    """
    results: list[Any] = [None] * len(parts)
    shared = [work, iter(enumerate(parts)), results]
    count = min(THREADS, len(parts)) - 1
    jobs = [helpers(os.getpid()).submit(take_parts, shared) for _ in range(count)]
    try:
        take_parts(shared)
    finally:
        begun = [job for job in jobs if not job.cancel()]
        wait(begun)  # nobody works on after an error
        shared.clear()  # a job that was cancelled stays in its queue, but keeps no array
    for job in begun:
        job.result()
    return results


def take_parts(shared: list[Any]) -> None:
    """Computes one part after the other, as long as there are any that nobody has taken."""
    work, waiting, results = shared
    for index, part in waiting:
        results[index] = work(part)


def quarters(count: int) -> list[slice]:
    """Four slices of that many rows, or fewer."""
    size = max(1, -(-count // 4))
    return [slice(start, start + size) for start in range(0, max(count, 1), size)]


def sample_parts(x: np.ndarray) -> Iterator[slice]:
    """Slices of the batch x, each of as many samples as hold 2**17 numbers.

    What a part computes stays in the cache. A call of NumPy on fewer numbers is over before another
    thread has woken up.
    """
    samples = max(1, 2**17 * len(x) // max(x.size, 1))
    for start in range(0, len(x), samples):
        yield slice(start, start + samples)

"""The memory that NumPy files use again: never in use twice, and not without end."""

import threading

import numpy as np

from specc.backends.numpy.prelude_fast.memory import MEMORY, empty


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_memory_is_used_again_once_nothing_refers_to_it() -> None:
    first = empty((3, 101), np.float32)
    view, place = first[1:, ::2], address(first)
    del first
    assert address(empty((3, 101), np.float32)) != place  # the view is still there
    del view
    assert address(empty((303,), np.float32)) == place


def test_arrays_in_use_have_memory_of_their_own() -> None:
    arrays = [empty((7, 13), np.float64) for _ in range(20)]
    for index, array in enumerate(arrays):
        array[...] = index
    assert [int(array.max()) for array in arrays] == list(range(20))


def test_each_thread_has_its_own_memory() -> None:
    place = address(empty((5, 77), np.float64))  # given back at once
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(address(empty((5, 77), np.float64))))
    thread.start()
    thread.join()
    assert found[0] != place


def test_memory_of_many_sizes_is_given_up() -> None:
    for size in range(1, 2000):
        empty((size,), np.uint8)
    assert len(vars(MEMORY)) <= 512

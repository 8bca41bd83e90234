"""What the tests of the NumPy kernels share: how closeness and numerical gradients are measured."""

from collections.abc import Callable

import numpy as np


def assert_close(actual: np.ndarray, expected: np.ndarray, tolerance: float = 1e-12) -> None:
    """The largest difference is at most `tolerance` times the largest expected value."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    scale = np.abs(expected).max(initial=0.0)
    assert np.abs(actual - expected).max(initial=0.0) <= tolerance * max(scale, 1e-300)


def assert_float32(result: np.ndarray | tuple[np.ndarray, ...]) -> None:
    """Every array of the result has stayed in float32."""
    for array in result if isinstance(result, tuple) else (result,):
        assert array.dtype == np.float32


def numerical_gradient(function: Callable[[], float], array: np.ndarray) -> np.ndarray:
    """Central differences of `function()` by each element of `array`, which it reads."""
    gradient = np.empty_like(array)
    for index in np.ndindex(*array.shape):
        kept, step = array[index], 1e-6
        array[index] = kept + step
        above = function()
        array[index] = kept - step
        below = function()
        array[index] = kept
        gradient[index] = (above - below) / (2 * step)
    return gradient

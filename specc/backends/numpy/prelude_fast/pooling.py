"""Maximum pooling in reused memory."""

import numpy as np

from specc.backends.numpy.prelude.pooling import pooled_size
from specc.backends.numpy.prelude_fast.memory import empty
from specc.backends.numpy.prelude_fast.threads import map_parts, sample_parts


def max_pool2d(
    x: np.ndarray,
    pool_size: tuple[int, int],
    strides: tuple[int, int] | None = None,
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
) -> np.ndarray:
    """Largest value of each window of x (N, H, W, C), as (N, OH, OW, C).

    strides is the step of the window, its own size when not given. padding is
    ((top, bottom), (left, right)) and counts as minus infinity.
    """
    step = pool_size if strides is None else strides
    height, width = pooled_size((x.shape[1], x.shape[2]), pool_size, step, padding)
    if np.any(padding):
        x = np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=-np.inf)
    y = empty((x.shape[0], height, width, x.shape[3]), x.dtype)

    def pool(part: slice) -> None:
        images, largest = x[part], y[part]
        largest[...] = images[:, :: step[0], :: step[1]][:, :height, :width]
        for i in range(pool_size[0]):
            for j in range(pool_size[1]):
                if i or j:
                    seen = images[:, i :: step[0], j :: step[1]][:, :height, :width]
                    np.maximum(largest, seen, out=largest)

    map_parts(pool, sample_parts(x))
    return y


def max_pool2d_gradient(
    x: np.ndarray,
    y: np.ndarray,
    dy: np.ndarray,
    pool_size: tuple[int, int],
    strides: tuple[int, int] | None = None,
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
) -> np.ndarray:
    """Gradient of max_pool2d with respect to x, where y is its result and dy is like y.

    Where several elements of a window are the largest, the first in row-major order gets it all.
    """
    step = pool_size if strides is None else strides
    _, height, width, _ = x.shape
    _, out_height, out_width, _ = y.shape
    if np.any(padding):
        x = np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=-np.inf)
    dx = empty(x.shape, x.dtype)
    apart = step == pool_size  # windows do not overlap: each pixel is written once
    whole = apart and (out_height * step[0], out_width * step[1]) == x.shape[1:3]

    def gradient(part: slice) -> None:
        if not whole:
            dx[part] = 0
        unclaimed, largest = empty(y[part].shape, np.bool_), empty(y[part].shape, np.bool_)
        unclaimed[...] = True
        for i in range(pool_size[0]):
            for j in range(pool_size[1]):
                seen, target = (
                    each[part, i :: step[0], j :: step[1]][:, :out_height, :out_width]
                    for each in (x, dx)
                )
                np.equal(seen, y[part], out=largest)
                largest &= unclaimed
                unclaimed ^= largest
                if apart:
                    np.multiply(dy[part], largest, out=target)
                else:
                    target += largest * dy[part]

    map_parts(gradient, sample_parts(x))
    if np.any(padding):
        (top, _), (left, _) = padding
        dx = dx[:, top : top + height, left : left + width]
    return dx

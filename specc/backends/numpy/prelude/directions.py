"""What recurrent layers of a spec make of the results of their kernels: outputs, states, saved."""

from typing import Any

import numpy as np


def last_step(results: tuple[Any, ...]) -> tuple[Any, ...]:
    """A kernel's results with the output of the last step, (N, H), in place of all."""
    outputs, *rest = results
    return outputs[:, -1], *rest


def merge_directions(
    forward: tuple[Any, ...],
    backward: tuple[Any, ...],
    merge: str,
    sequences: bool,
    states: bool,
    mask: np.ndarray | None = None,
) -> tuple[Any, ...]:
    """Output, the states of both directions if asked for, and what each direction saved.

    The results of two kernels meet: outputs (N, T, H), which are 0 where the mask (N, T) is False,
    or the last states. merge is "concat", "sum" or "ave".
    """
    place = 0 if sequences else 1
    sides = forward[place], backward[place]
    if merge == "concat":
        output = np.concatenate(sides, axis=-1)
    else:
        output = sides[0] + sides[1] if merge == "sum" else (sides[0] + sides[1]) / 2
    if sequences and mask is not None:
        output *= mask[..., None]
    kept = (*forward[1:-1], *backward[1:-1]) if states else ()
    return output, *kept, forward[-1], backward[-1]


def split_directions(
    dy: np.ndarray, merge: str, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of what merge_directions merges, from that of its output."""
    if mask is not None:
        dy = dy * mask[..., None]
    if merge == "concat":
        first, second = np.split(dy, 2, axis=-1)
        return first, second
    share = dy if merge == "sum" else dy / 2
    return share, share

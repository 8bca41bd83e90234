"""What could be written instead, for messages: numbers that divide, shapes that fit."""

from __future__ import annotations

import math

from specc.ir.dims import product
from specc.ir.types import TensorType


def count(number: object, noun: str) -> str:
    """A number of things: ``1 group``, ``3 or 6 groups``."""
    return f"{number} {noun}{'' if str(number) == '1' else 's'}"


def divisors_near(number: int, wrong: int) -> str:
    """The divisors of a number right below and above one that is none: ``8 or 16``."""
    small = [each for each in range(1, math.isqrt(number) + 1) if number % each == 0]
    divisors = {*small, *(number // each for each in small)}
    below = max((each for each in divisors if each < wrong), default=None)
    above = min((each for each in divisors if each > wrong), default=None)
    return " or ".join(str(each) for each in (below, above) if each is not None)


def multiples_near(divisor: int, wrong: int) -> str:
    """The multiples of a number right below and above one that is none: ``72 or 74``."""
    below = wrong // divisor * divisor
    return f"{below} or {below + divisor}" if below else str(divisor)


def sequence_advice(found: TensorType) -> str:
    """How a value that is no sequence becomes one."""
    sizes = found.shape[1:]
    if len(sizes) == 1:
        return f"add the missing axis by a reshape, e.g. to [{sizes[0]}, 1]: one feature per step"
    if len(sizes) > 2:
        features = product(sizes[1:])
        return f"join the axes after the first by a reshape to [{sizes[0]}, {features}]"
    return "a sequence has an axis of time: float[time, features]"


def state_advice(name: str, found: TensorType, units: int) -> str:
    """How an initial state gets the size that a layer of so many units needs."""
    if found.rank != 2:
        return "wire the last state: the layer before gives it with return_state"
    return f"make {name} as wide as the layer: {units}, or set units to {found.shape[1]}"

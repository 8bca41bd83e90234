"""Optimisation levels: how far a backend goes from the textbook form of a program."""

from __future__ import annotations

from collections.abc import Mapping

LEVELS: Mapping[int, str] = {
    0: "the plainest form, for reading",
    1: "the same computation, as fast as it gets",
}
DEFAULT_LEVEL = 1

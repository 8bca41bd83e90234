"""Optimisation levels: how far a backend goes from the textbook form of a program."""

from __future__ import annotations

from collections.abc import Mapping

# What specc itself writes.
LEVELS: Mapping[int, str] = {
    0: "the plainest form, for reading",
    1: "the same computation, as fast as it gets",
}
DEFAULT_LEVEL = 1
# It costs seconds at the start, and a minute for a large network: worth it for long trainings.
COMPILED_LEVEL = 2
CHOICES: Mapping[int, str] = {
    **LEVELS,
    COMPILED_LEVEL: "as 1, and through the framework's own compiler, where it has one "
    "(torch.compile, XLA)",
}

"""Transformations of a program, one function per file. ``PASSES`` is what every backend starts
from.
"""

from __future__ import annotations

from collections.abc import Callable

from specc.ir.graph import Program
from specc.ir.verify import verify_program
from specc.passes.fuse_losses import fuse_losses
from specc.passes.prune import prune
from specc.passes.split_head import split_head
from specc.tracing import phase

PASSES: tuple[Callable[[Program], Program], ...] = (fuse_losses, split_head, prune)


def run_passes(program: Program, until: str = "") -> Program:
    """The program after every pass, or after the one named ``until``."""
    for each in PASSES:
        with phase(each.__name__):
            program = each(program)
        with phase("verify"):
            verify_program(program)
        if each.__name__ == until:
            break
    return program

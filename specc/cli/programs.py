"""Loading a spec for a command: its warnings go to standard error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from specc.cli.terminal import print_diagnostics

if TYPE_CHECKING:
    from specc.frontend.tree import Mapping as Tree
    from specc.ir.graph import Program


def load(spec: Path, sets: Mapping[str, str]) -> Program:
    """The checked program of a spec; raises SpecError with all that is wrong with it."""
    from specc.compiler import load_program

    program, warnings = load_program(spec, sets)
    print_diagnostics(warnings)
    return program


def load_located(spec: Path, sets: Mapping[str, str]) -> tuple[Tree, Program]:
    """The located tree of a spec with its checked program, for what shows the spec's own lines."""
    from specc import compiler

    tree, program, warnings = compiler.load_located(spec, sets)
    print_diagnostics(warnings)
    return tree, program

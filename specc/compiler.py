"""The whole compiler: text, located tree, program, passes, source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from specc.diagnostics import Diagnostic
from specc.frontend.tree import Mapping as Tree
from specc.ir.graph import Program
from specc.ir.levels import DEFAULT_LEVEL
from specc.tracing import phase


def load_tree(path: str | Path, sets: Mapping[str, str] | None = None) -> Tree:
    """The located tree of a spec file, YAML or the language, includes and ``--set`` values in
    place.

    Raises SpecError.
    """
    from specc.frontend.reader import read_spec
    from specc.plugins import load_operations

    load_operations()
    with phase("read"):
        return read_spec(Path(path), dict(sets or {}))


def load_program(
    path: str | Path, sets: Mapping[str, str] | None = None
) -> tuple[Program, tuple[Diagnostic, ...]]:
    """The checked program of a spec file, before any pass, and its warnings. Raises SpecError."""
    _, program, warnings = load_located(path, sets)
    return program, warnings


def load_located(
    path: str | Path, sets: Mapping[str, str] | None = None
) -> tuple[Tree, Program, tuple[Diagnostic, ...]]:
    """As `load_program`, and first the located tree that the program was built from."""
    from specc.frontend.build import build_program

    tree = load_tree(path, sets)
    with phase("build the program"):
        return tree, *build_program(tree, str(path))


def compile_program(
    program: Program, backend: str, only: str = "all", optimize: int = DEFAULT_LEVEL
) -> str:
    """The source text of a program for a backend. Raises SpecError."""
    from dataclasses import replace

    from specc.passes import run_passes
    from specc.plugins import find_backend

    with phase("passes"):
        program = run_passes(replace(program, optimize=optimize))
    if only == "model":  # the passes have seen the losses: logits stay logits
        program = replace(program, training=None)
    with phase(f"emit {backend}"):
        return find_backend(backend).emit(program, only)


def compile_spec(
    path: str | Path,
    *,
    backend: str,
    sets: Mapping[str, str] | None = None,
    only: str = "all",
    optimize: int = DEFAULT_LEVEL,
) -> str:
    """The source text of a spec file for a backend; ``only="model"`` leaves the training out.

    ``optimize`` is one of ``specc.ir.levels.CHOICES``. Raises SpecError.
    """
    program, _ = load_program(path, sets)
    return compile_program(program, backend, only, optimize)


def resolve_spec(
    path: str | Path, sets: Mapping[str, str] | None = None, form: str = "yaml"
) -> str:
    """The spec with every default written out, as YAML or ("specc") in the language.

    Raises SpecError.
    """
    from specc.frontend.build import build_program
    from specc.frontend.formatter import to_dsl, to_yaml
    from specc.frontend.resolve import resolve

    tree = load_tree(path, sets)
    program, _ = build_program(tree, str(path))
    return (to_yaml if form == "yaml" else to_dsl)(resolve(tree, program))

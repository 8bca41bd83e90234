"""What holds for the source as a whole: who imports whom, and that every table is complete."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from specc.diagnostics.catalogue import codes
from specc.ops.losses import LOSSES
from specc.ops.registry import OPS, visible

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "specc").rglob("*.py"))
TESTS = sorted(path for path in (ROOT / "tests").rglob("*") if path.suffix in (".py", ".txt"))
BACKENDS = ("numpy", "torch", "tensorflow")

ORDER = (
    "records",
    "diagnostics",
    "entry_points",
    "atomic",
    "resources",
    "tracing",
    "ir",
    "ops",
    "training",
    "passes",
    "frontend",
    "data",
    "backends",
    "plugins",
    "compiler",
    "page",
    "runner",
    "testing",
    "fuzz",
    "lsp",
    "cli",
    "documentation",
)
"""The packages; each imports only from those before it."""

LATE = {
    ("ops", "training"): "an attribute chooses from the registry of initializers or regularizers",
    ("training", "backends"): "initial values are drawn by the very functions of the files",
    ("frontend", "data"): "the data section is checked with the rest of the spec",
}
"""Imports against the order, inside functions, and why."""


def package(module: str) -> str:
    """The part of specc that a module belongs to: ``specc.ir.graph`` -> ``ir``."""
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every module of specc that a file imports, and whether it does so when it is loaded."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from ((name, id(node) not in late) for name in names if name.startswith("specc."))


def is_prelude(module: str) -> bool:
    """Preludes are the text of generated files: they lie below everything.

    ``emitted`` stands for what a file defines besides.
    """
    return bool(re.match(r"specc\.backends\.(prelude_|\w+\.prelude|emitted)", module))


def test_imports_go_one_way() -> None:
    wrong, late = [], set()
    for path in SOURCES:
        here = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if package(here) in ("", "__init__"):
            continue
        for module, at_once in imports(path):
            source, target = package(here), package(module)
            if target not in ORDER or source == target or is_prelude(module):
                continue
            if ORDER.index(target) > ORDER.index(source):
                if at_once:
                    wrong.append(f"{here} imports {module}")
                else:
                    late.add((source, target))
    assert not wrong
    assert late <= LATE.keys()


def test_preludes_import_no_compiler() -> None:
    for path in SOURCES:
        here = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if is_prelude(here):
            assert not {module for module, _ in imports(path) if not is_prelude(module)}, here


FRAMEWORKS = {"torch", "tensorflow", "keras", "jax"}
IMPORTED = f"""
import sys
from specc.cli import main
sys.argv = ["specc", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
found = {sorted(FRAMEWORKS)} and sorted(set({sorted(FRAMEWORKS)}) & set(sys.modules))
assert not found, found
"""


@pytest.mark.parametrize("command", ["check", "build", "resolve", "summary"])
def test_the_compiler_imports_no_framework(command: str, tmp_path: Path) -> None:
    arguments = [command, str(ROOT / "examples/image_classification.yaml")]
    arguments += ["-o", f"{tmp_path}/"] if command == "build" else []
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    if command == "build":
        assert len(list(tmp_path.glob("*.py"))) == len(BACKENDS)


def test_nothing_is_left_undone() -> None:
    words = re.compile(r"\bTODO\b|\bFIXME\b|\bXXX\b|NotImplementedError|pytest\.(skip|xfail)")
    for path in (*SOURCES, *(each for each in TESTS if each.suffix == ".py")):
        text = path.read_text(encoding="utf-8")
        if path != Path(__file__):
            assert not words.search(text), path


def test_names_say_what_files_hold() -> None:
    vague = {"utils", "util", "common", "helpers", "core", "misc"}
    assert not {
        path for path in SOURCES if vague & {*path.with_suffix("").parts[len(ROOT.parts) :]}
    }


# Ops


@pytest.mark.parametrize("kind", visible())
def test_ops_are_complete(kind: str) -> None:
    op = OPS[kind]
    assert op.doc and op.family and op.samples
    assert all(attribute.doc for attribute in op.attributes)
    assert all(op.lowering(backend) for backend in BACKENDS)
    assert op.bad or op.family == "activations"


@pytest.mark.parametrize("kind", LOSSES)
def test_losses_are_complete(kind: str) -> None:
    op = LOSSES[kind]
    assert op.doc and op.samples and op.bad


# Diagnostics

CODE = re.compile(r"[\"']([EW]\d{4})[\"']")


def test_every_code_has_a_page_and_is_used() -> None:
    used = {
        code
        for path in SOURCES
        if path.parent.name != "diagnostics"
        for code in CODE.findall(path.read_text(encoding="utf-8"))
    }
    assert used == set(codes())

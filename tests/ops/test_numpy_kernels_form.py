"""The NumPy kernels can be copied by name: unique names, and nothing but NumPy and one another."""

import ast
import builtins
from collections import Counter
from pathlib import Path

import pytest

from specc.backends.numpy import prelude

FAMILIES = [
    "activations",
    "attention",
    "convolution",
    "embedding",
    "losses",
    "normalization",
    "pooling",
    "recurrent",
]
FOLDER = Path(prelude.__file__).parent
TREES = {name: ast.parse((FOLDER / f"{name}.py").read_text("utf-8")) for name in FAMILIES}


def defined(tree: ast.Module) -> list[str]:
    """Names of the functions and constants at the top level of a prelude file."""
    names = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return names


def test_names_are_unique():
    counts = Counter(name for tree in TREES.values() for name in defined(tree))
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("family", TREES)
def test_only_numpy_is_imported(family):
    imports = [ast.unparse(n) for n in TREES[family].body if isinstance(n, ast.Import)]
    assert imports == ["import numpy as np"]
    # Annotations are not copied into generated files; their words may come from typing.
    others = [n.module for n in TREES[family].body if isinstance(n, ast.ImportFrom)]
    assert set(others) <= {"typing"}


@pytest.mark.parametrize("family", TREES)
def test_no_local_name_is_that_of_another_kernel(family):
    """Such a name would pull that kernel into the generated file, and confuse its reader."""
    everywhere = {name for tree in TREES.values() for name in defined(tree)}
    for function in TREES[family].body:
        if isinstance(function, ast.FunctionDef):
            names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
            local = {node.id for node in names if isinstance(node.ctx, ast.Store)}
            local |= {argument.arg for argument in function.args.args}
            assert not local & (everywhere | set(dir(builtins)))


@pytest.mark.parametrize("family", TREES)
def test_every_function_says_what_it_does(family):
    for function in TREES[family].body:
        if isinstance(function, ast.FunctionDef):
            assert ast.get_docstring(function)
            assert function.end_lineno - function.lineno < 60

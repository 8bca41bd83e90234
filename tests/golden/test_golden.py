"""The generated files of all examples, as users get them.

A refactor leaves them unchanged. Where a change is meant, ``python -m tests.golden.update`` writes
them anew.
"""

from __future__ import annotations

import ast
import difflib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.golden.update import BACKENDS, EXAMPLES, FOLDER, built

FILES = [FOLDER / f"{example.stem}_{backend}.py" for example in EXAMPLES for backend in BACKENDS]
FRAMEWORKS = {"numpy": set(), "torch": {"torch"}, "tensorflow": {"tensorflow", "keras"}}

DENSE = {"torch": "nn.Linear", "tensorflow": "keras.layers.Dense"}
CONV1D = {"torch": "nn.Conv1d", "tensorflow": "keras.layers.Conv1D"}
CONV2D = {"torch": "nn.Conv2d", "tensorflow": "keras.layers.Conv2D", "numpy": "conv2d"}
MAX_POOL = {"torch": "F.max_pool2d", "tensorflow": "tf.nn.max_pool2d", "numpy": "max_pool2d"}
BATCH_NORM = {"torch": "BatchNorm", "tensorflow": "BatchNormalization", "numpy": "channel_norm"}
EMBEDDING = {"torch": "nn.Embedding", "tensorflow": "keras.layers.Embedding"}
LSTM = {"torch": "nn.LSTM", "tensorflow": "keras.layers.LSTM", "numpy": "lstm"}
GRU = {"torch": "nn.GRU", "tensorflow": "keras.layers.GRU", "numpy": "gru"}
REPEAT = {"torch": "nn.ModuleList"}
SGD = {"torch": "parameter.sub_"}
ADAM = {"torch": "torch.optim.Adam", "tensorflow": "tf.raw_ops.ResourceApplyAdam"}
ADAMW = {"torch": "torch.optim.AdamW", "tensorflow": "tf.raw_ops.ResourceApplyAdam"}
CLASSES = {
    "torch": "F.cross_entropy",
    "tensorflow": "tf.nn.sparse_softmax_cross_entropy_with_logits",
    "numpy": "sparse_categorical_crossentropy_from_logits",
}
BINARY = {
    "torch": "F.binary_cross_entropy_with_logits",
    "tensorflow": "tf.nn.sigmoid_cross_entropy_with_logits",
    "numpy": "binary_crossentropy_from_logits",
}

USED = {
    "breast_cancer": (DENSE, BINARY),
    "image_classification": (CONV2D, BATCH_NORM, DENSE, REPEAT, CLASSES),
    "market_volatility": (GRU, DENSE, ADAM),
    "mlp": (DENSE, SGD, CLASSES),
    "mnist_cnn": (CONV2D, MAX_POOL, DENSE, ADAM, CLASSES),
    "motion": (CONV1D, LSTM, DENSE, ADAMW, CLASSES),
    "speech_lstm": (LSTM, DENSE, ADAM, CLASSES),
    "text_lstm": (EMBEDDING, LSTM, DENSE, ADAM, CLASSES),
    "two_inputs": (CONV2D, DENSE, ADAM, BINARY, CLASSES),
}
"""What the files of an example must call: a framework's own layer, loss or optimizer."""


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_files_are_as_built_now(example: Path) -> None:
    for path, text in built(example).items():
        kept = path.read_text(encoding="utf-8") if path.exists() else ""
        changed = list(
            difflib.unified_diff(kept.splitlines(), text.splitlines(), "kept", "built", lineterm="")
        )
        if changed:
            shown = "\n".join(changed[:60])
            pytest.fail(
                f"{path.name} is not what specc builds now; if that is meant, run "
                f"`python -m tests.golden.update`\n{shown}",
                pytrace=False,
            )


def test_no_other_files_are_kept() -> None:
    kept = {path for backend in BACKENDS for path in FOLDER.glob(f"*_{backend}.py")}
    assert kept == set(FILES)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_frameworks_own_parts_are_used(example: Path) -> None:
    for backend in BACKENDS:
        tree = parsed(FOLDER / f"{example.stem}_{backend}.py")
        called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        wanted = {part[backend] for part in USED[example.stem] if backend in part}
        assert wanted <= called, backend


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_stand_alone(path: Path) -> None:
    """They import the standard library, NumPy and their framework; safetensors where it is used."""
    tree = parsed(path)
    backend = path.stem.rpartition("_")[2]
    allowed = set(sys.stdlib_module_names) | {"numpy"} | FRAMEWORKS[backend]
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level and node.module
            names = [node.module]
        packages = {name.partition(".")[0] for name in names}
        if id(node) in inside:
            assert packages <= {"safetensors"}
        else:
            assert packages <= allowed


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_compute_by_themselves(path: Path) -> None:
    """No text that becomes code, and no Python function called from within a graph."""
    tree = parsed(path)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not names & {"eval", "exec", "compile", "__import__"}
    assert not (names | attributes) & {"numpy_function", "py_function", "py_func", "pickle"}


def test_files_pass_the_projects_own_checks() -> None:
    assert not [path.name for path in FILES if "noqa" in path.read_text(encoding="utf-8")]
    config = ["--config", str(FOLDER.parents[1] / "pyproject.toml")]
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *config, *map(str, FILES)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_offer_the_whole_contract(path: Path) -> None:
    """Constants and functions of the contract, each with a sentence of documentation."""
    tree = parsed(path)
    functions = {
        node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    contract = "build get_parameters set_parameters predict trace loss_and_gradients Trainer save"
    for name in (*contract.split(), "load", "main", "learning_rate", "initial_parameters"):
        assert ast.get_docstring(functions[name]), name
    constants = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert {"NAME", "BACKEND", "SEED", "DTYPE", "INPUTS", "TARGETS", "OUTPUTS"} <= constants
    methods = {node.name for node in functions["Trainer"].body if isinstance(node, ast.FunctionDef)}
    assert {"step", "fit", "evaluate", "state", "load_state"} <= methods

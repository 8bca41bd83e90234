"""Names and strings of a spec never become code: whatever they are, the generated file is the same
program under other names, or the spec is refused by a diagnostic.

``python -m tests.hostile.test_payloads`` tries every name in every slot, and counts them.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from specc.backends.writer import _ruff
from specc.compiler import compile_program, load_program
from specc.diagnostics import SpecError
from tests.hostile.names import SLOTS, UNUSUAL, filled, identifiers, plain, rotated
from tests.hostile.syntax import DifferenceError, check_same

BACKENDS = ("numpy", "torch", "tensorflow")
REFUSALS = {
    "E0403",
    "E0404",
    "E0405",
    "E0428",
    "E0406",
    "E0103",
    "E0104",
    "E0107",
    "E0301",
    "E0302",
}
TURNS = range(0, 10_000, 29)
"""The turns that CI tries; a prime step, so that slots and names meet in other ways each time."""


def compiled(names: dict[str, str], folder: Path) -> dict[str, str]:
    """The generated file of each backend. Raises SpecError."""
    path = folder / "net.yaml"
    path.write_text(filled(names), encoding="utf-8")
    program, _ = load_program(path)
    return {backend: compile_program(program, backend) for backend in BACKENDS}


def accepted(names: dict[str, str], folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The names with the plain ones in the place of those that are refused, and the files."""
    names = dict(names)
    while True:
        try:
            return names, compiled(names, folder)
        except SpecError as error:
            wrong = [
                slot
                for slot, name in names.items()
                if name != f"zq_{slot}" and any(f"'{name}'" in d.message for d in error.diagnostics)
            ]
            assert wrong, str(error)
            assert {d.code for d in error.diagnostics} & REFUSALS, str(error)
            for slot in wrong:
                names[slot] = f"zq_{slot}"


class References:
    """The files of the plain spec: as they are, and with names that have to be changed, which
    brings along the functions that change them back."""

    def __init__(self, folder: Path) -> None:
        ordinary = plain()
        mangled = {slot: f"{name}_" for slot, name in ordinary.items()}
        self.files = [compiled(names, folder) for names in (ordinary, mangled)]

    def check(self, backend: str, text: str) -> None:
        """Whether the file is the same program as one of them."""
        problems = []
        for files in self.files:
            try:
                check_same(files[backend], text)
            except DifferenceError as problem:
                problems.append(str(problem))
            else:
                return
        raise AssertionError(f"{backend}: {problems}\n{text[:6000]}")


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> References:
    return References(tmp_path_factory.mktemp("references"))


def run_step(text: str) -> None:
    """Builds the model of a generated NumPy file, trains one step and looks at every value."""
    module: dict[str, Any] = {"__name__": "generated"}
    exec(compile(text, "generated.py", "exec"), module)
    draw = np.random.default_rng(0)
    shapes = {**module["INPUTS"], **module["TARGETS"]}
    arrays = {
        name: draw.normal(size=(3, *(5 if size is None else size for size in shape[1:])))
        for name, shape in shapes.items()
    }
    inputs = {name: arrays[name] for name in module["INPUTS"]}
    targets = {name: arrays[name] for name in module["TARGETS"]}
    model = module["build"]()
    before = module["get_parameters"](model)
    assert np.isfinite(float(module["Trainer"](model).step(inputs, targets)))
    after = module["get_parameters"](model)
    assert before.keys() == after.keys() and any((before[p] != after[p]).any() for p in before)
    traced = module["trace"](model, inputs)
    assert all(np.isfinite(value).all() for value in traced.values())
    module["set_parameters"](model, before)


@pytest.mark.parametrize("part", range(6))
def test_names(tmp_path: Path, references: References, part: int) -> None:
    names = identifiers()
    turns = [turn for turn in TURNS if turn < len(names)]
    for turn in turns[part::6]:
        chosen, files = accepted(rotated(turn, names), tmp_path)
        for backend, text in files.items():
            ast.parse(text)
            references.check(backend, text)
        run_step(files["numpy"])
        assert chosen != plain()


def test_files_are_clean(tmp_path: Path) -> None:
    names = identifiers()
    for turn in range(0, len(names), 97):
        _, files = accepted(rotated(turn, names), tmp_path)
        for backend, text in files.items():
            (tmp_path / f"file{turn}_{backend}.py").write_text(text, encoding="utf-8")
    # A name of a hundred letters makes lines that nothing can break.
    rules = ("--isolated", "--select=E,F,W,B,A", "--ignore=E501")
    command = [_ruff(), "check", *rules, str(tmp_path)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout[-3000:]


@pytest.mark.parametrize("backend", ["torch", "tensorflow"])
def test_files_run(tmp_path: Path, backend: str) -> None:
    names = identifiers()
    for turn in (11, len(names) // 2):
        _, files = accepted(rotated(turn, names), tmp_path)
        run_step(files[backend])


@pytest.mark.parametrize("slot", SLOTS)
def test_what_is_no_name(tmp_path: Path, slot: str) -> None:
    for text in UNUSUAL:
        names = {**plain(), slot: json.dumps(text)}
        path = tmp_path / "net.yaml"
        # Where the name stands in an expression, the expression is broken too.
        path.write_text(filled(names), encoding="utf-8", errors="surrogatepass")
        with pytest.raises(SpecError):
            load_program(path)
            raise AssertionError(f"{slot} may be called {text!r}")


@pytest.mark.parametrize("where", ["comment", "path", "column", "file", "format"])
def test_strings(tmp_path: Path, where: str) -> None:
    """Strings that the generated file does not hold leave no trace in it."""
    spec = filled(plain())
    path = tmp_path / "net.yaml"
    texts = set()
    for text in UNUSUAL:
        path = tmp_path / "net.yaml"
        more = {
            "path": f"data: {{source: npz, path: {json.dumps(text)}}}\n",
            "column": "data: {source: csv, path: a, inputs: {zq_vector: "
            f"[{json.dumps(text)}]}}}}\n",
            "format": f"data: {{source: csv, path: a, date_format: {json.dumps(text)}}}\n",
            "comment": f"# {text}\n" if "\n" not in text and "\r" not in text else "",
        }.get(where, "")
        if where == "file":
            name = text.replace("/", "").replace("\0", "")[:80]
            path = tmp_path / f"{name}.yaml"
        path.write_text(spec + more, encoding="utf-8")
        try:
            program, _ = load_program(path)
        except SpecError:
            continue
        texts.add(ast.dump(_without_head(compile_program(program, "numpy"))))
    assert len(texts) == 1


def _without_head(text: str) -> ast.Module:
    """The tree without the file's first lines, which name the spec and count its text."""
    tree = ast.parse(text)
    assert isinstance(tree.body[0], ast.Expr) and isinstance(tree.body[0].value, ast.Constant)
    return ast.Module(tree.body[1:], [])


def campaign() -> None:
    names, counts = identifiers(), Counter[str]()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        references = References(folder)
        for turn in range(len(names)):
            wanted = rotated(turn, names)
            chosen, files = accepted(wanted, folder)
            counts["tried"] += sum(wanted[slot] != f"zq_{slot}" for slot in SLOTS)
            counts["accepted"] += sum(chosen[slot] != f"zq_{slot}" for slot in SLOTS)
            for backend, text in files.items():
                try:
                    references.check(backend, text)
                except AssertionError as problem:
                    counts["wrong"] += 1
                    print(turn, str(problem)[:300], chosen)
            try:
                run_step(files["numpy"])
            except Exception as problem:
                counts["failed"] += 1
                print(turn, repr(problem), chosen)
    print(f"{len(names)} names x {len(SLOTS)} slots: {dict(counts)}")
    sys.exit(1 if counts["wrong"] or counts["failed"] else 0)


if __name__ == "__main__":
    campaign()

"""The command line of a generated file: what it uses, and one line for each thing that is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from specc.compiler import compile_spec

SPEC = """\
specc: 1
name: net
inputs: {image: {shape: [4]}, T: {shape: [T, 2]}}
targets: {label: {shape: [], dtype: int}}
layers:
  - {name: pooled, global_average_pool1d: {}, from: T}
  - {name: both, concatenate: {}, from: [image, pooled]}
  - {name: p, dense: {units: 3, activation: softmax}}
training:
  loss: {sparse_categorical_crossentropy: {prediction: p, target: label}}
  optimizer: {adam: {}}
  metrics: [accuracy]
  batch_size: 4
"""
# Runs the file once for each command line on standard input, in one process without specc, and
# prints (exit code, what it printed, what it said on standard error) for each.
RUNNER = """
import contextlib, io, json, runpy, sys
sys.modules["specc"] = None
done = []
for line in json.load(sys.stdin):
    sys.argv[1:] = [sys.argv[1], *line.split()]
    arguments, sys.argv = sys.argv, sys.argv[1:]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            code = end.code
    sys.argv = arguments
    done.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(done))
"""


@dataclass(frozen=True)
class Done:
    """What one run gave."""

    code: int
    out: str
    err: str


class Program:
    """The generated file of one backend in a folder of its own, with prepared arrays beside it."""

    def __init__(self, folder: Path, backend: str) -> None:
        self.folder = folder
        (folder / "spec.yaml").write_text(SPEC, encoding="utf-8")
        text = compile_spec(folder / "spec.yaml", backend=backend)
        (folder / "net.py").write_text(text, encoding="utf-8")

    def data(self, name: str, **parts: dict[str, np.ndarray]) -> None:
        arrays = {
            f"{part}/{n}": array for part, found in parts.items() for n, array in found.items()
        }
        np.savez(self.folder / name, **arrays)

    def __call__(self, *lines: str) -> list[Done]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(
            [sys.executable, "-c", RUNNER, "net.py"],
            input=json.dumps(lines),
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [Done(*each) for each in json.loads(done.stdout.splitlines()[-1])]


def rows(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "image": rng.standard_normal((count, 4)),
        "T": rng.standard_normal((count, 3, 2)),
        "label": rng.integers(0, 3, count),
    }


@pytest.fixture(scope="module", params=["numpy", "torch", "tensorflow"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Program:
    found = Program(tmp_path_factory.mktemp(f"net_{request.param}"), request.param)
    found.data("all.npz", train=rows(10), validation=rows(4, 1), test=rows(5, 2))
    return found


def test_a_validation_part_is_used_and_a_test_part_is_not_needed(program: Program) -> None:
    """What was trained is written, whatever else the data hold."""
    program.data("train.npz", train=rows(10))
    unlabelled = {name: array for name, array in rows(5).items() if name != "label"}
    program.data("unlabelled.npz", train=rows(10), test=unlabelled)
    plain, unlabelled_test, whole, evaluated, predicted = program(
        "train train.npz --epochs 1 --out a.safetensors",
        "train unlabelled.npz --epochs 1 --out b.safetensors",
        "train all.npz --epochs 1",
        "evaluate all.npz --weights net.safetensors",
        "predict unlabelled.npz --weights net.safetensors --out predictions",
    )
    for done in (plain, unlabelled_test, whole, evaluated, predicted):
        assert (done.code, done.err) == (0, ""), done.err
    for done in (plain, unlabelled_test):
        assert done.out.startswith("{'epoch': 0") and "test:" not in done.out
        assert "val_loss" not in done.out
    assert "val_loss" in whole.out and "val_accuracy" in whole.out
    assert evaluated.out.startswith("test:") and whole.out.endswith(evaluated.out)
    weights = [(program.folder / f"{name}.safetensors").read_bytes() for name in ("a", "b", "net")]
    assert weights[0] == weights[1] == weights[2]
    with np.load(program.folder / "predictions") as arrays:
        assert arrays["p"].shape == (5, 3)


WRONG = {
    "train none.npz": "No such file or directory: 'none.npz'",
    "train words.txt": "pickled",
    "evaluate train_only.npz": "test/image is not a file in the archive",
    "predict train_only.npz": "test/image is not a file in the archive",
    "train test_only.npz": "train/image is not a file in the archive",
    "train no_label.npz": "train/label is not a file in the archive",
    "train wide.npz": "train/image is float64 (10, 5), not numbers (None, 4)",
    "train deep.npz": "train/T is float64 (10, 3, 2, 1), not numbers (10, None, 2)",
    "train flat.npz": "train/T is float64 (10,), not numbers (10, None, 2)",
    "train uneven.npz": "train/label is int64 (9,), not numbers (10,)",
    "train empty.npz": "train/image is float64 (0, 4), not numbers (None, 4)",
    "train words.npz": "train/label is <U1 (10,), not numbers (10,)",
    "train bad_test.npz": "test/image is float64 (5, 3), not numbers (None, 4)",
    "train all.npz --weights none.st": "No such file or directory: none.st",
    "train all.npz --weights words.txt": "deserializing header",
    "train all.npz --weights other.st": "arrays and their shapes do not match: p.kernel",
    "train all.npz --out no/where.st": "No such file or directory: 'no/where.st'",
    "predict all.npz --out no/where.npz": "No such file or directory: 'no/where.npz'",
    "train all.npz --out .": "Is a directory: '.'",
}


@pytest.fixture(scope="module")
def refused(program: Program) -> Iterator[dict[str, Done]]:
    """What each of the wrong command lines gives."""
    from safetensors.numpy import save_file

    good = rows(10)
    image = good["image"]
    (program.folder / "words.txt").write_text("not arrays", encoding="utf-8")
    save_file({"p.kernel": np.zeros((2, 3))}, program.folder / "other.st")
    program.data("train_only.npz", train=good)
    program.data("test_only.npz", test=good)
    program.data("no_label.npz", train={"image": image, "T": good["T"]})
    program.data("wide.npz", train=good | {"image": np.zeros((10, 5))})
    program.data("deep.npz", train=good | {"T": good["T"][..., None]})
    program.data("flat.npz", train=good | {"T": np.zeros(10)})
    program.data("uneven.npz", train=good | {"label": good["label"][:9]})
    program.data("empty.npz", train={name: array[:0] for name, array in good.items()})
    program.data("words.npz", train=good | {"label": np.array([*"abcdefghij"])})
    program.data("bad_test.npz", train=good, test=rows(5) | {"image": np.zeros((5, 3))})
    before = {path.name for path in program.folder.iterdir()}
    yield dict(zip(WRONG, program(*WRONG), strict=True))
    assert {path.name for path in program.folder.iterdir()} == before


@pytest.mark.parametrize("line", WRONG)
def test_what_is_wrong_is_said_in_one_line_before_training(
    refused: dict[str, Done], line: str
) -> None:
    done = refused[line]
    assert (done.code, done.out) == (2, "")
    *usage, said = done.err.splitlines()
    assert usage[0].startswith("usage: ")
    assert said.startswith("net.py: error: ") and WRONG[line] in said, said

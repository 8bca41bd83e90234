"""What every backend's files must do: the suite that the author of a backend plug-in runs.

.. code-block:: python

    from specc.testing.conformance import check_backend

    def test_my_backend():
        check_backend("mine", ["mlp.yaml", "cnn.yaml"])

Each check compares the backend's file of a spec with the NumPy file of the same spec, both in
processes where specc cannot be imported. The contract is docs/generated-code.md;
`specc.testing.backend_tests` has the same checks as single pytest tests.
"""

from __future__ import annotations

import ast
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from specc.backends.writer import format_source
from specc.diagnostics import SpecError
from specc.runner.experiment import Experiment
from specc.runner.process import Team
from specc.testing.equivalence import assert_equivalent

REFERENCE = "reference"
REFERENCE_BACKEND = "numpy"
CONSTANTS = ("NAME", "SEED", "DTYPE", "INPUTS", "TARGETS", "OUTPUTS", "EPOCHS", "BATCH_SIZE")
CONTRACT: Mapping[str, tuple[str, ...]] = {
    "build": ("seed", "dtype", "device"),
    "get_parameters": ("model",),
    "set_parameters": ("model", "parameters"),
    "predict": ("model", "inputs", "batch_size"),
    "trace": ("model", "inputs", "targets", "training", "step"),
    "loss_and_gradients": ("model", "inputs", "targets", "sample_weights", "step"),
    "Trainer": ("model", "learning_rate"),
    "Trainer.step": ("self", "inputs", "targets", "sample_weights"),
    "Trainer.fit": (
        *("self", "inputs", "targets", "validation", "epochs", "batch_size"),
        *("on_step", "on_epoch"),
    ),
    "Trainer.evaluate": ("self", "inputs", "targets", "batch_size"),
    "Trainer.state": ("self",),
    "Trainer.load_state": ("self", "state"),
    "save": ("model", "path"),
    "load": ("path", "device"),
    "main": (),
}


@dataclass
class Subject:
    """A backend's file of a spec beside the NumPy file, both running, with the spec's data."""

    backend: str
    spec: Path
    folder: Path
    experiment: Experiment
    team: Team
    sets: Mapping[str, str]
    steps: int
    tolerance: float

    @property
    def source(self) -> Path:
        return self.experiment.sources[self.backend]

    @property
    def parts(self) -> dict[str, Any]:
        """The data, no part of it with more rows than take part in training."""
        rows = self.experiment.samples
        return {
            part: {
                kind: {name: array[:rows] for name, array in arrays.items()}
                for kind, arrays in kinds.items()
            }
            for part, kinds in self.experiment.parts.items()
        }

    @property
    def rows(self) -> Any:
        """The rows of a batch."""
        count = len(next(iter(self.parts["train"]["inputs"].values())))
        return np.arange(min(self.experiment.batch_size, count))

    def start(self, dtype: str = "float64", weights: bool = False) -> dict[str, Any]:
        """Builds both models anew, on data with random weights of samples if wanted."""
        parts = self.parts
        if weights:
            count = len(next(iter(parts["train"]["inputs"].values())))
            parts["train"]["sample_weights"] = np.random.default_rng(1).uniform(0, 2, count)
        self.team.ask("data", parts=parts)
        return self.team.ask("build", dtype=dtype)

    def close(self, what: str, found: Mapping[str, Any], tolerance: float | None = None) -> None:
        """Asserts that the workers' dictionaries of arrays or numbers agree within a tolerance."""
        ours, theirs = found[self.backend], found[REFERENCE]
        if ours.keys() != theirs.keys():
            missing, extra = theirs.keys() - ours.keys(), ours.keys() - theirs.keys()
            raise AssertionError(f"{what}: missing {sorted(missing)}, not known {sorted(extra)}")
        bound = self.tolerance if tolerance is None else tolerance
        for name, expected in theirs.items():
            given, wanted = np.asarray(ours[name]), np.asarray(expected)
            assert given.shape == wanted.shape, (
                f"{what}: {name} has shape {given.shape}, not {wanted.shape}"
            )
            scale = max(1.0, float(np.max(np.abs(wanted), initial=0.0)))
            error = float(np.max(np.abs(given - wanted), initial=0.0)) / scale
            # Not-a-number must not pass.
            assert error <= bound, f"{what}: {name} differs by {error:.2e}, more than {bound:.0e}"


Check = Callable[[Subject], None]


def stands_alone(subject: Subject) -> None:
    """The file does not import specc, and is formatted."""
    text = subject.source.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        roots = {module.partition(".")[0] for module in modules}
        assert not any(root.startswith("specc") for root in roots), f"the file imports {roots}"
    assert format_source(text) == text, "the file is not as ruff formats it"


def offers_the_contract(subject: Subject) -> None:
    """All names are there, with the parameters that callers count on, and the same constants."""
    asked = {"constants": [*CONSTANTS, "BACKEND"], "names": list(CONTRACT)}
    found = subject.team.ask("contract", **asked)
    ours, theirs = found[subject.backend], found[REFERENCE]
    for name, wanted in CONTRACT.items():
        given = ours["parameters"][name]
        assert given is not None, f"the file has no {name}"
        assert list(wanted) == given[: len(wanted)], f"{name} takes {given}, not {list(wanted)}"
    assert ours["constants"].pop("BACKEND") == subject.backend
    theirs["constants"].pop("BACKEND")
    assert ours["constants"] == theirs["constants"]


def starts_alike(subject: Subject) -> None:
    """Initial parameters and batch orders are bit-identical, in both precisions."""
    for dtype in ("float32", "float64"):
        built = subject.start(dtype)
        assert all(value.dtype == dtype for value in built[subject.backend].values())
        subject.close(f"initial {dtype} parameters", built, 0.0)
    for epoch in (0, 3):
        orders = subject.team.ask("order", epoch=epoch, count=101)
        assert np.array_equal(*orders.values()), f"the order of epoch {epoch}"


def refuses_wrong_parameters(subject: Subject) -> None:
    """set_parameters raises ValueError with every missing, unknown and wrongly shaped name."""
    parameters = dict(subject.start()[subject.backend])
    shaped, missing = list(parameters)[:2]
    wrong = {**parameters, "no.such": np.zeros(2), shaped: np.zeros((1, 2, 3, 4, 5, 6))}
    del wrong[missing]
    worker = subject.team.workers[subject.backend]
    message = ""
    try:
        worker.ask("place", parameters=wrong, state={})
    except SpecError as error:
        message = str(error)
    assert "ValueError" in message, (
        f"set_parameters raises no ValueError for wrong names and shapes: {message or 'nothing'}"
    )
    for name in ("no.such", shaped, missing):
        assert name in message, f"the error of set_parameters does not name {name}: {message}"
    kept = worker.ask("parameters")
    assert all(np.array_equal(kept[name], value) for name, value in parameters.items())


def predicts_alike(subject: Subject) -> None:
    """Outputs agree, whatever the size of the batches, and parameters go in and out unchanged."""
    start = subject.start()[REFERENCE]
    state = subject.team.ask("state")[REFERENCE]
    moved = {name: value + 0.01 for name, value in start.items()}
    subject.team.ask("place", parameters=moved, state=state)
    subject.close("parameters that were set", subject.team.ask("parameters"), 0.0)
    inputs = {name: each[:10] for name, each in subject.parts["train"]["inputs"].items()}
    whole = subject.team.ask("predict", inputs=inputs)
    subject.close("predictions", whole)
    parts = subject.team.workers[subject.backend].ask("predict", inputs=inputs, batch_size=3)
    subject.close("predictions in batches of 3", {**whole, subject.backend: parts})


def traces_alike(subject: Subject) -> None:
    """Every named value agrees, in inference and in training, where dropout's masks are drawn."""
    before = subject.start()
    for training in (False, True):
        found = subject.team.ask("trace", rows=subject.rows, training=training, step=3)
        subject.close(f"values with training={training}", found)
        for name, value in found[REFERENCE].items():
            same = np.array_equal(value == 0, found[subject.backend][name] == 0)
            assert same, f"{name} is zero in other places with training={training}"
    after = subject.team.ask("parameters")
    subject.close(
        "parameters after trace", {**before, subject.backend: after[subject.backend]}, 0.0
    )


def differentiates_alike(subject: Subject) -> None:
    """Loss and gradients agree, with and without weights of samples, and nothing else moves."""
    for weights in (False, True):
        before = subject.start(weights=weights)
        found = subject.team.ask("gradients", rows=subject.rows, step=5)
        what = "with weights of samples" if weights else "without weights"
        losses = {name: {"loss": each["loss"]} for name, each in found.items()}
        subject.close(f"loss {what}", losses)
        gradients = {name: each["gradients"] for name, each in found.items()}
        subject.close(f"gradients {what}", gradients)
        after = subject.team.ask("parameters")
        unmoved = {**before, subject.backend: after[subject.backend]}
        subject.close("parameters after loss_and_gradients", unmoved, 0.0)


def continues_a_state(subject: Subject) -> None:
    """A run goes on in the other backend where it stopped in the first, both ways."""
    subject.start()
    names = (subject.backend, REFERENCE)
    for one, other in (names, names[::-1]):
        worker = subject.team.workers[one]
        for _ in range(2):
            answer = worker.ask("step", rows=subject.rows, state=True)
        subject.team.workers[other].ask(
            "place", parameters=answer["parameters"], state=answer["state"]
        )
        subject.close(f"states loaded from {one}", subject.team.ask("state"), 0.0)
        stepped = subject.team.ask("step", rows=subject.rows)
        found = {name: each["parameters"] for name, each in stepped.items()}
        subject.close(f"parameters after a step from the state of {one}", found)


def exchanges_weights(subject: Subject) -> None:
    """What one backend saves, the other loads."""
    subject.start()
    names = (subject.backend, REFERENCE)
    for one, other in (names, names[::-1]):
        path = subject.folder / f"{one}.safetensors"
        worker = subject.team.workers[one]
        worker.ask("step", rows=subject.rows)
        worker.ask("save", path=str(path))
        subject.team.workers[other].ask("restore", path=str(path))
        subject.close(f"weights saved by {one}", subject.team.ask("parameters"), 0.0)


def fits_alike(subject: Subject) -> None:
    """fit and evaluate give the same history and scores, across epochs and a short last batch."""
    subject.start()
    count = len(next(iter(subject.parts["train"]["inputs"].values())))
    size = max(1, count * 2 // 5)
    found = subject.team.ask("fit", epochs=2, batch_size=size)
    subject.close("the history of fit", found)
    for part in subject.parts:
        subject.close(f"scores on {part}", subject.team.ask("evaluate", part=part))


def goes_on_where_it_stopped(subject: Subject) -> None:
    """A training that stops after every step, and goes on from its checkpoint, ends with the same
    bits, the history of its epochs included."""
    subject.start()
    worker = subject.team.workers[subject.backend]
    count = len(next(iter(subject.parts["train"]["inputs"].values())))
    size = max(1, count * 3 // 5)
    plan = {"epochs": 2, "batch_size": size, "key": "", "every": {}}
    ends, stops = [], 0
    for name in ("whole", "in-steps"):
        folder = subject.folder / name
        folder.mkdir(exist_ok=True)
        reached: dict[str, Any] = {"stopped": True}
        while reached["stopped"]:
            worker.ask("build", dtype="float64")
            reached = worker.ask("train", folder=str(folder), **plan)
            stops += reached["stopped"]
        ends.append((worker.ask("parameters"), worker.ask("state"), reached["history"]))
        worker.stop()  # from now on after each step
    steps = 2 * -(-count // size)
    assert stops == steps, f"a training of {steps} steps stopped {stops} times"
    for what, one, other in zip(("parameters", "state", "history"), *ends, strict=True):
        for name in one:
            same = np.array_equal(one[name], other[name], equal_nan=True)
            assert same, f"{what} of a training that was interrupted: {name} differs"


def trains_alike(subject: Subject) -> None:
    """Parameters agree after every optimizer step, in float64, from the common start."""
    assert_equivalent(
        subject.spec,
        ("numpy", subject.backend),
        steps=subject.steps,
        tolerance=subject.tolerance,
        samples=subject.experiment.samples,
        sets=subject.sets,
    )


def runs_from_the_command_line(subject: Subject) -> None:
    """train runs from prepared arrays and writes weights that load everywhere."""
    arrays = {
        f"{part}/{name}": array
        for part, kinds in subject.parts.items()
        for kind in ("inputs", "targets")
        for name, array in kinds[kind].items()
    }
    data, weights = subject.folder / "data.npz", subject.folder / "trained.safetensors"
    np.savez(data, **arrays)
    options = ["train", str(data), "--epochs", "1", "--out", str(weights)]
    done = subprocess.run(
        [sys.executable, "-P", str(subject.source), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"train failed:\n{done.stderr[-2000:]}"
    assert "test:" in done.stdout, f"train printed {done.stdout!r}"
    subject.team.ask("restore", path=str(weights))
    subject.close("weights that train wrote", subject.team.ask("parameters"), 0.0)


CHECKS: tuple[Check, ...] = (
    stands_alone,
    offers_the_contract,
    starts_alike,
    refuses_wrong_parameters,
    predicts_alike,
    traces_alike,
    differentiates_alike,
    continues_a_state,
    exchanges_weights,
    fits_alike,
    goes_on_where_it_stopped,
    trains_alike,
    runs_from_the_command_line,
)


@contextlib.contextmanager
def opened(
    backend: str,
    spec: str | Path,
    *,
    sets: Mapping[str, str] | None = None,
    steps: int = 10,
    tolerance: float = 1e-10,
    samples: int | None = 150,
) -> Iterator[Subject]:
    """The subject of the checks: the spec compiled for ``backend`` and NumPy, both files running.

    Raises SpecError where the spec is wrong or a file does not load.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        experiment = Experiment.prepare(
            Path(spec),
            {REFERENCE_BACKEND: folder / REFERENCE, backend: folder / backend},
            sets=sets,
            dtype="float64",
            samples=samples,
        )
        sources = {REFERENCE: experiment.sources[REFERENCE_BACKEND]}
        with Team({**sources, backend: experiment.sources[backend]}) as team:
            yield Subject(
                backend, Path(spec), folder, experiment, team, sets or {}, steps, tolerance
            )


def check_backend(
    backend: str,
    specs: Sequence[str | Path],
    *,
    sets: Mapping[str, str] | None = None,
    steps: int = 10,
    tolerance: float = 1e-10,
    samples: int | None = 150,
) -> None:
    """Runs every check on every spec.

    Args:
        backend: the name of an installed backend.
        specs: files with a training and a data section that the backend can compile.
        sets: settings of the specs, as of ``--set``: a small batch_size is quicker.
        steps: how many optimizer steps are compared one by one.
        tolerance: the largest difference in float64, relative to the larger of 1 and the tensor's
            largest element; for trained parameters relative to the distance travelled.
        samples: how many rows of each part of the data take part.

    Raises:
        AssertionError: what failed, all of it.
        SpecError: a spec is wrong, the backend cannot express it, or a file does not load.
    """
    failures = []
    for spec in specs:
        with opened(
            backend, spec, sets=sets, steps=steps, tolerance=tolerance, samples=samples
        ) as subject:
            for check in CHECKS:
                try:
                    check(subject)
                except (AssertionError, SpecError) as error:
                    failures.append(f"{Path(spec).name}: {check.__name__}: {error}")
    if failures:
        raise AssertionError("\n".join([f"the backend '{backend}' does not conform:", *failures]))

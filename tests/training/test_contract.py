"""Every name that a generated file offers, on every backend: what it gives and leaves alone."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generated_files import RECORDED, FileError, Remote, Worker

from specc.compiler import compile_spec

ROOT = Path(__file__).parents[2]
SPEC = Path(__file__).with_name("contract.specc")
BACKENDS = ("numpy", "torch", "tensorflow")
PAIRS = list(itertools.permutations(BACKENDS, 2))
CONVENTIONS = ("keras", "pytorch")
ROWS, BATCH = 10, 4  # the last batch of an epoch is a partial one
PER_EPOCH = 3
EPSILON = {"float32": 1e-5, "float64": 1e-12}

Files = dict[tuple[str, str], Remote]
Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("contract")
    for conventions, backend in itertools.product(CONVENTIONS, BACKENDS):
        text = compile_spec(SPEC, backend=backend, sets={"conventions": conventions})
        (folder / f"{conventions}_{backend}.py").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def files(folder: Path) -> Iterator[Files]:
    """The generated files by conventions and backend, each backend's in one process."""
    workers = {backend: Worker() for backend in BACKENDS}
    try:
        yield {
            (conventions, backend): workers[backend].load(folder / f"{conventions}_{backend}.py")
            for conventions, backend in itertools.product(CONVENTIONS, BACKENDS)
        }
    finally:
        for worker in workers.values():
            worker.__exit__()


@pytest.fixture(params=BACKENDS)
def file(request: pytest.FixtureRequest, files: Files) -> Remote:
    return files["keras", request.param]


@pytest.fixture(params=EPSILON)
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def data(rows: int = ROWS, seed: int = 0) -> tuple[Arrays, Arrays]:
    rng = np.random.default_rng(seed)
    inputs = {"image": rng.standard_normal((rows, 6, 6, 2))}
    targets = {"label": rng.integers(0, 3, rows), "amount": rng.standard_normal((rows, 2))}
    return inputs, targets


X, Y = data()


def part(arrays: Arrays, rows: Any) -> Arrays:
    return {name: array[rows] for name, array in arrays.items()}


def assert_equal(found: Arrays, wanted: Arrays, what: str = "") -> None:
    """The same names in the same order, and the same bits."""
    assert list(found) == list(wanted), what
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype, (what, name)
        assert np.array_equal(found[name], array), (what, name)


def assert_close(found: Arrays, wanted: Arrays, epsilon: float, what: str = "") -> None:
    """The same names in the same order, and values that differ by ``epsilon`` of the largest."""
    assert list(found) == list(wanted), what
    for name, array in wanted.items():
        scale = max(np.abs(array).max(initial=0), 1e-3)
        difference = np.abs(np.asarray(found[name]) - array).max(initial=0)
        assert found[name].shape == array.shape, (what, name)
        assert difference <= epsilon * scale, (what, name, difference / scale)


# What was compiled


def test_constants(file: Remote) -> None:
    assert (file.NAME, file.SEED, file.DTYPE) == ("contract", 11, "float32")
    assert file.BACKEND in BACKENDS
    assert file.INPUTS == {"image": (None, 6, 6, 2)}
    assert file.TARGETS == {"label": (None,), "amount": (None, 2)}
    assert file.OUTPUTS == {"probabilities": (None, 3), "estimate": (None, 2)}


# Parameters

SHAPES = {
    "stem.kernel": (3, 3, 2, 4),
    "stem.bias": (4,),
    **{
        f"stage.{i}.{name}": shape
        for i in range(2)
        for name, shape in {
            "conv.kernel": (3, 3, 4, 4),
            "batch_norm.gamma": (4,),
            "batch_norm.beta": (4,),
            "batch_norm.moving_mean": (4,),
            "batch_norm.moving_variance": (4,),
        }.items()
    },
    "weights.kernel": (4, 4),
    "weights.bias": (4,),
    "probabilities.kernel": (4, 3),
    "probabilities.bias": (3,),
    "estimate.kernel": (4, 2),
    "estimate.bias": (2,),
}
STATISTICS = [name for name in SHAPES if "moving" in name]


def test_parameters_are_the_specs(file: Remote, dtype: str) -> None:
    found = file.get_parameters(file.build(dtype=dtype))
    assert {name: array.shape for name, array in found.items()} == SHAPES
    assert {array.dtype.name for array in found.values()} == {dtype}


@pytest.mark.parametrize("conventions", CONVENTIONS)
def test_the_start_is_the_same_to_the_bit(files: Files, conventions: str, dtype: str) -> None:
    wanted = files[conventions, "numpy"].get_parameters(
        files[conventions, "numpy"].build(seed=5, dtype=dtype)
    )
    for backend in BACKENDS[1:]:
        file = files[conventions, backend]
        found = file.get_parameters(file.build(seed=5, dtype=dtype))
        assert sorted(found) == sorted(wanted)
        assert_equal({name: found[name] for name in wanted}, wanted, backend)


def test_the_seed_decides(file: Remote) -> None:
    default, same, other = (
        file.get_parameters(file.build(**given)) for given in ({}, {"seed": 11}, {"seed": 12})
    )
    assert_equal(same, default)
    kernels = [name for name in default if name.endswith("kernel")]
    assert all(not np.array_equal(default[name], other[name]) for name in kernels)


def test_a_layer_starts_the_same_whatever_stands_before_it(files: Files, tmp_path: Path) -> None:
    text = SPEC.read_text(encoding="utf-8")
    assert text.count("| weights | weights") == 1
    longer = text.replace("| weights | weights", "| weights | dense(4) as new | weights")
    (tmp_path / "longer.specc").write_text(longer, encoding="utf-8")
    path = tmp_path / "longer.py"
    path.write_text(compile_spec(tmp_path / "longer.specc", backend="numpy"), encoding="utf-8")
    file = files["keras", "numpy"]
    wanted = file.get_parameters(file.build())
    other = file.worker.load(path)
    found = other.get_parameters(other.build())
    assert found.keys() - wanted.keys() == {"new.kernel", "new.bias"}
    assert_equal({name: found[name] for name in wanted}, wanted)


def test_parameters_are_copies_that_can_be_put_back(file: Remote, dtype: str) -> None:
    model = file.build(dtype=dtype)
    start = file.get_parameters(model)
    changed = {name: array + 1 for name, array in start.items()}
    file.set_parameters(model, changed)
    assert_equal(file.get_parameters(model), changed)
    file.set_parameters(model, start)
    assert_equal(file.get_parameters(model), start)


def test_wrong_parameters_are_listed_and_change_nothing(file: Remote) -> None:
    model = file.build()
    start = file.get_parameters(model)
    wrong = {name: array + 1 for name, array in start.items()}
    del wrong["stem.bias"]
    wrong["weights.kernels"] = wrong.pop("weights.kernel")
    wrong["stage.1.conv.kernel"] = np.zeros((3, 3, 4, 5))
    with pytest.raises(FileError) as caught:
        file.set_parameters(model, wrong)
    assert caught.value.kind == "ValueError"
    for name in ("stem.bias", "weights.kernel:", "weights.kernels", "stage.1.conv.kernel"):
        assert name in caught.value.message
    assert "(3, 3, 4, 4)" in caught.value.message and "(3, 3, 4, 5)" in caught.value.message
    assert "estimate.bias" not in caught.value.message
    assert_equal(file.get_parameters(model), start)


# Values


def test_predictions_do_not_depend_on_the_batch(file: Remote, dtype: str) -> None:
    model = file.build(dtype=dtype)
    whole = file.predict(model, X)
    assert {name: array.shape for name, array in whole.items()} == {
        "probabilities": (ROWS, 3),
        "estimate": (ROWS, 2),
    }
    assert {array.dtype.name for array in whole.values()} == {dtype}
    for size in (1, 3, ROWS, 64):
        assert_close(file.predict(model, X, size), whole, EPSILON[dtype], f"batches of {size}")


def test_no_rows_give_no_predictions(file: Remote) -> None:
    # In float32 TensorFlow's own convolution gives an empty batch the shape of its input.
    none = file.predict(file.build(dtype="float64"), part(X, slice(0)))
    shapes = {name: array.shape for name, array in none.items()}
    assert shapes == {"probabilities": (0, 3), "estimate": (0, 2)}


@pytest.mark.parametrize("conventions", CONVENTIONS)
@pytest.mark.parametrize("training", [False, True])
def test_traces_agree(files: Files, training: bool, dtype: str, conventions: str) -> None:
    traces = {}
    for backend in BACKENDS:
        file = files[conventions, backend]
        targets = Y if training else None
        traces[backend] = file.trace(file.build(dtype=dtype), X, targets, training=training, step=7)
    wanted = traces["numpy"]
    shapes = {
        "stem": (ROWS, 2, 2, 4),
        "stage.0.batch_norm": (ROWS, 2, 2, 4),
        "stage.1.y": (ROWS, 2, 2, 4),
        "dropout": (ROWS, 4),
        "weights": (ROWS, 4),
        "weights@1": (ROWS, 4),
        "probabilities": (ROWS, 3),
    }
    assert {name: wanted[name].shape for name in shapes} == shapes
    for backend in BACKENDS[1:]:
        assert sorted(traces[backend]) == sorted(wanted)
        found = {name: traces[backend][name] for name in wanted}
        assert_close(found, wanted, EPSILON[dtype], backend)


def test_the_trace_of_inference_ends_in_the_predictions(file: Remote) -> None:
    model = file.build(dtype="float64")
    found, predicted = file.trace(model, X), file.predict(model, X)
    assert_close({name: found[name] for name in predicted}, predicted, 1e-14)
    assert np.array_equal(found["dropout"], found["global_average_pool2d"])


def test_a_trace_of_training_drops_by_the_step(file: Remote) -> None:
    model = file.build(dtype="float64")
    first, again, later = (
        file.trace(model, X, Y, training=True, step=step)["dropout"] for step in (3, 3, 4)
    )
    assert np.array_equal(first, again) and not np.array_equal(first, later)
    rest = file.trace(model, part(X, slice(2)), part(Y, slice(2)), training=True, step=3)
    assert np.array_equal(rest["dropout"] == 0, first[:2] == 0)
    assert 0 < np.mean(first == 0) < 0.6


# Gradients


def test_gradients_leave_the_model_alone(file: Remote, dtype: str) -> None:
    model = file.build(dtype=dtype)
    start = file.get_parameters(model)
    loss, gradients = file.loss_and_gradients(model, X, Y, step=2)
    assert isinstance(loss, float)
    assert_equal(file.get_parameters(model), start)
    trained = [name for name in start if name not in STATISTICS]
    assert list(gradients) == trained
    assert all(gradients[name].shape == start[name].shape for name in trained)
    assert {array.dtype.name for array in gradients.values()} == {dtype}


def test_gradients_are_differences(file: Remote) -> None:
    model = file.build(dtype="float64")
    start = file.get_parameters(model)
    _, gradients = file.loss_and_gradients(model, X, Y, step=2)
    rng, h = np.random.default_rng(1), 1e-5
    for name, gradient in gradients.items():
        direction = rng.standard_normal(gradient.shape)
        losses = []
        for sign in (1, -1):
            file.set_parameters(model, start | {name: start[name] + sign * h * direction})
            losses.append(file.loss_and_gradients(model, X, Y, step=2)[0])
        slope = (losses[0] - losses[1]) / (2 * h)
        assert slope == pytest.approx(np.sum(gradient * direction), rel=1e-6, abs=1e-9), name


@pytest.mark.parametrize("conventions", CONVENTIONS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_sample_weights(files: Files, conventions: str, backend: str) -> None:
    """Keras divides by the number of samples, PyTorch by the sum of their weights."""
    file = files[conventions, backend]
    model = file.build(dtype="float64")
    start = file.get_parameters(model)
    values = file.trace(model, X, Y, training=True, step=2)
    entropy = -np.log(values["probabilities"][np.arange(ROWS), Y["label"]])
    squares = np.mean((values["estimate"] - Y["amount"]) ** 2, axis=-1)
    penalty = 0.01 * np.sum(start["weights.kernel"] ** 2)
    weights = np.random.default_rng(2).uniform(0, 2, ROWS)
    for given in (np.ones(ROWS), weights, np.where(weights > 1, weights, 0)):
        total = ROWS if conventions == "keras" else given.sum()
        wanted = np.sum(given * (entropy + 0.5 * squares)) / total + penalty
        found, _ = file.loss_and_gradients(model, X, Y, given, step=2)
        assert found == pytest.approx(wanted, rel=1e-12)
    plain = file.loss_and_gradients(model, X, Y, step=2)
    ones = file.loss_and_gradients(model, X, Y, np.ones(ROWS), step=2)
    assert plain[0] == pytest.approx(ones[0], rel=1e-14)
    assert_close(plain[1], ones[1], 1e-13)


# Training


def test_step_gives_the_loss_before_it(file: Remote, dtype: str) -> None:
    model = file.build(dtype=dtype)
    wanted, _ = file.loss_and_gradients(model, X, Y, step=0)
    start = file.get_parameters(model)
    assert file.Trainer(model).step(X, Y) == pytest.approx(wanted, rel=1e-6)
    found = file.get_parameters(model)
    assert all(not np.array_equal(found[name], start[name]) for name in start)
    assert {array.dtype.name for array in found.values()} == {dtype}


def test_fit_reports(file: Remote) -> None:
    model = file.build(dtype="float64")
    trainer = file.Trainer(model)
    history = trainer.fit(
        X, Y, validation=data(5, 1), epochs=3, batch_size=BATCH, on_step=RECORDED, on_epoch=RECORDED
    )
    names = ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert list(history) == names
    assert all(len(values) == 3 for values in history.values())
    assert all(isinstance(value, float) for values in history.values() for value in values)
    steps = [call for call in trainer.calls if "step" in call]
    epochs = [call for call in trainer.calls if "logs" in call]
    assert [(call["step"], call["epoch"]) for call in steps] == [
        (step, step // PER_EPOCH) for step in range(3 * PER_EPOCH)
    ]
    assert [call["epoch"] for call in epochs] == [0, 1, 2]
    for epoch, call in enumerate(epochs):
        assert list(call["logs"]) == names
        assert call["logs"] == {name: values[epoch] for name, values in history.items()}
        # The loss of an epoch is the mean over its samples: the last batch counts by its size.
        losses = [each["loss"] for each in steps if each["epoch"] == epoch]
        mean = np.average(losses, weights=[4, 4, 2])
        assert history["loss"][epoch] == pytest.approx(mean, rel=1e-12)
    scores = trainer.evaluate(*data(5, 1), batch_size=BATCH)
    assert scores == pytest.approx(
        {"loss": history["val_loss"][-1], "accuracy": history["val_accuracy"][-1]}
    )


def test_fit_is_steps_in_the_files_order(file: Remote) -> None:
    fitted, stepped = (file.build(seed=3, dtype="float64") for _ in range(2))
    file.Trainer(fitted).fit(X, Y, epochs=2, batch_size=BATCH)
    trainer = file.Trainer(stepped)
    for epoch in range(2):
        order = file.batch_order(3, epoch, ROWS)
        assert sorted(order) == list(range(ROWS))
        for start in range(0, ROWS, BATCH):
            rows = order[start : start + BATCH]
            trainer.step(part(X, rows), part(Y, rows))
    assert_close(file.get_parameters(fitted), file.get_parameters(stepped), 1e-13)


def test_orders_are_the_same_everywhere(files: Files) -> None:
    orders = [
        [list(files["keras", backend].batch_order(11, epoch, 50)) for epoch in range(2)]
        for backend in BACKENDS
    ]
    assert orders[0] == orders[1] == orders[2]
    assert orders[0][0] != orders[0][1]


def test_evaluate_is_inference(file: Remote) -> None:
    model = file.build(dtype="float64")
    trainer = file.Trainer(model)
    trainer.fit(X, Y, epochs=1, batch_size=BATCH)
    start, outputs = file.get_parameters(model), file.predict(model, X)
    entropy = -np.log(outputs["probabilities"][np.arange(ROWS), Y["label"]])
    squares = np.mean((outputs["estimate"] - Y["amount"]) ** 2, axis=-1)
    penalty = 0.01 * np.sum(start["weights.kernel"] ** 2)
    wanted = {
        "loss": np.mean(entropy + 0.5 * squares) + penalty,
        "accuracy": np.mean(outputs["probabilities"].argmax(-1) == Y["label"]),
    }
    for size in (3, ROWS):
        assert trainer.evaluate(X, Y, batch_size=size) == pytest.approx(wanted, rel=1e-12)
    assert_equal(file.get_parameters(model), start)


def test_the_rate_can_be_overridden(file: Remote) -> None:
    model = file.build(dtype="float64")
    start = file.get_parameters(model)
    file.Trainer(model, learning_rate=0.0).step(X, Y)
    found = file.get_parameters(model)
    trained = [name for name in start if name not in STATISTICS]
    assert_equal(*({name: arrays[name] for name in trained} for arrays in (found, start)))
    assert all(not np.array_equal(found[name], start[name]) for name in STATISTICS)


def test_state_is_named_after_slots_and_parameters(file: Remote) -> None:
    model = file.build(dtype="float64")
    trainer = file.Trainer(model)
    trainer.step(X, Y)
    trained = [name for name in SHAPES if name not in STATISTICS]
    state = trainer.state()
    assert state.keys() == {"step", *(f"adam.{slot}/{n}" for slot in "mv" for n in trained)}
    assert int(state["step"]) == 1
    with pytest.raises(FileError, match=r"adam\.m/stem\.kernel"):
        trainer.load_state({n: a for n, a in state.items() if n != "adam.m/stem.kernel"})
    assert_equal(trainer.state(), state)


@pytest.fixture(scope="module")
def continued(files: Files) -> Arrays:
    """The parameters after three epochs without a stop, on NumPy."""
    file = files["keras", "numpy"]
    model = file.build(dtype="float64")
    file.Trainer(model).fit(X, Y, epochs=3, batch_size=BATCH)
    return dict(file.get_parameters(model))


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_another_backend_continues(
    files: Files, first: str, second: str, continued: Arrays
) -> None:
    """One trains four steps, into the second epoch, and another goes on to the end of the third."""
    begun, ended = files["keras", first], files["keras", second]
    model = begun.build(dtype="float64")
    trainer = begun.Trainer(model)
    for epoch, positions in ((0, range(3)), (1, range(1))):
        order = begun.batch_order(11, epoch, ROWS)
        for position in positions:
            rows = order[position * BATCH : (position + 1) * BATCH]
            trainer.step(part(X, rows), part(Y, rows))
    other = ended.build(dtype="float64")
    successor = ended.Trainer(other)
    ended.set_parameters(other, begun.get_parameters(model))
    successor.load_state(trainer.state())
    history = successor.fit(X, Y, epochs=3, batch_size=BATCH, on_step=RECORDED)
    assert [call["step"] for call in successor.calls] == [4, 5, 6, 7, 8]
    assert len(history["loss"]) == 2
    found = ended.get_parameters(other)
    assert_close({name: found[name] for name in continued}, continued, 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_epoch_that_is_left_is_reported_whole(file: Remote, dtype: str) -> None:
    """The sums of the epoch so far go along, and it comes out as if it had not been left."""
    model = file.build(dtype=dtype)
    whole = file.Trainer(model).fit(X, Y, epochs=2, batch_size=BATCH)
    left = file.build(dtype=dtype)
    trainer = file.Trainer(left)
    with pytest.raises(FileError, match="not callable"):  # the first step ends with this error
        trainer.fit(X, Y, epochs=2, batch_size=BATCH, on_step="no callback")
    totals = trainer.totals()
    assert totals.pop("samples") == BATCH
    assert list(totals) == list(whole)
    other = file.build(dtype=dtype)
    file.set_parameters(other, file.get_parameters(left))
    successor = file.Trainer(other)
    successor.load_state(trainer.state())
    assert successor.totals() == {}
    successor.__getattr__("__setattr__")("totals", {**totals, "samples": BATCH})
    assert successor.fit(X, Y, epochs=2, batch_size=BATCH) == whole
    assert successor.totals() == {}
    assert_equal(file.get_parameters(other), file.get_parameters(model))


# Files


@pytest.mark.parametrize(("writer", "reader"), PAIRS)
def test_another_backend_loads(
    files: Files, tmp_path: Path, writer: str, reader: str, dtype: str
) -> None:
    writing, reading = files["keras", writer], files["keras", reader]
    model = writing.build(seed=21, dtype=dtype)
    writing.Trainer(model).step(X, Y)
    path = str(tmp_path / "weights.safetensors")
    writing.save(model, path)
    loaded = reading.load(path)
    wanted, found = writing.get_parameters(model), reading.get_parameters(loaded)
    assert sorted(found) == sorted(wanted)
    assert_equal({name: found[name] for name in wanted}, wanted)
    outputs = writing.predict(model, X)
    assert_close(reading.predict(loaded, X), outputs, EPSILON[dtype])


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_command_line(folder: Path, tmp_path: Path, backend: str) -> None:
    """train, evaluate and predict, where specc cannot be imported."""
    arrays = {}
    for name, rows in (("train", 10), ("validation", 4), ("test", 5)):
        x, y = data(rows, rows)
        arrays |= {f"{name}/{key}": array for key, array in (x | y).items()}
    np.savez(tmp_path / "data.npz", **arrays)
    path = folder / f"keras_{backend}.py"
    code = (
        "import runpy, sys; sys.modules['specc'] = None; sys.argv[:] = sys.argv[1:];"
        "[(setattr(sys, 'argv', [sys.argv[0], *each.split()]),"
        " runpy.run_path(sys.argv[0], run_name='__main__')) for each in sys.argv[1:]]"
    )
    actions = (
        "train data.npz --epochs 1 --out w.safetensors",
        "evaluate data.npz --weights w.safetensors",
        "predict data.npz --weights w.safetensors --out p.npz",
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), *actions],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "'epoch': 0" in lines[0] and "loss" in lines[0]
    assert lines[1].startswith("test:") and lines[1] == lines[2]
    predictions = np.load(tmp_path / "p.npz")
    assert {name: predictions[name].shape for name in predictions} == {
        "probabilities": (5, 3),
        "estimate": (5, 2),
    }

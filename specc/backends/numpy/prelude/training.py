"""The fixed part of generated NumPy files: parameters, prediction and training."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from specc.backends.emitted import (
    BATCH_SIZE,
    BOOLEANS,
    DTYPE,
    EPOCHS,
    INPUTS,
    INTEGERS,
    OUTPUTS,
    SEED,
    TARGETS,
    Model,
    Optimizer,
    clip_gradients,
    forward,
    forward_backward,
    initial_parameters,
    metric_values,
    to_outputs,
    total_loss,
)
from specc.backends.prelude_arrays import Arrays
from specc.backends.prelude_shared import batch_order


def build(seed: int = SEED, dtype: str = DTYPE, device: str | None = None) -> Model:
    """The network with the spec's initial parameters."""
    if device not in (None, "cpu"):
        raise ValueError(f"NumPy computes on the cpu, not on {device}")
    values = initial_parameters(seed).items()
    return Model({path: np.array(value, dtype, order="C") for path, value in values}, seed)


def read(places: Mapping[str, np.ndarray]) -> Arrays:
    """Copies of arrays, by name."""
    return {name: np.array(array) for name, array in places.items()}


def write(places: Mapping[str, np.ndarray], arrays: Arrays) -> None:
    """Fills arrays. Raises ValueError that lists what is missing, unknown or misshapen."""
    want = {name: array.shape for name, array in places.items()}
    have = {name: np.shape(array) for name, array in arrays.items()}
    if wrong := [name for name in want | have if want.get(name) != have.get(name)]:
        listed = "; ".join(f"{n}: wanted {want.get(n)}, given {have.get(n)}" for n in wrong)
        raise ValueError(f"arrays and their shapes do not match: {listed}")
    for name, place in places.items():
        place[...] = arrays[name]


def get_parameters(model: Model) -> Arrays:
    """{path: array} of parameters and running statistics."""
    return read(model.parameters)


def set_parameters(model: Model, parameters: Arrays) -> None:
    """The inverse of get_parameters. Raises ValueError when names or shapes do not match."""
    write(model.parameters, parameters)


def to_arrays(model: Model, arrays: Arrays, names: Any) -> Arrays:
    """The named arrays in the model's precision."""
    dtype = next(iter(model.parameters.values())).dtype
    types: dict[str, Any] = dict.fromkeys(INTEGERS, np.dtype("int64"))
    types |= dict.fromkeys(BOOLEANS, np.dtype("bool"))  #: booleans
    return {name: np.asarray(arrays[name], types.get(name, dtype)) for name in names}


def batches(arrays: Arrays, size: int, order: Any = None) -> list[np.ndarray]:
    """The rows of each batch; one without rows where there are none."""
    rows = np.arange(len(next(iter(arrays.values())))) if order is None else order
    return np.split(rows, range(size, len(rows), size))


def gather(arrays: Arrays, rows: np.ndarray) -> Arrays:
    """Those rows of every array."""
    return {name: array[rows] for name, array in arrays.items()}


def predict(model: Model, inputs: Arrays, batch_size: int | None = None) -> Arrays:
    """{output: array} in inference mode."""
    x = to_arrays(model, inputs, INPUTS)
    parts = [gather(x, rows) for rows in batches(x, batch_size or 2**62)]
    raws = [forward_backward(model, part, training=False)[1] for part in parts]  #: trained
    raws = [forward(model, part) for part in parts]  #: untrained
    found = [to_outputs(raw) for raw in raws]
    return {name: np.concatenate([each[name] for each in found]) for name in OUTPUTS}


RECORD: Any = None


def record(values: Any, names: str = "", images: str = "") -> None:
    """Keeps named values while trace() runs, stage.0.conv from stage_0_conv."""
    for name in f"{names} {images}".split() if RECORD is not None else ():
        value = values[name] if name in values else values[re.sub(r"\W", "_", name)]
        RECORD[name] = np.moveaxis(value, -1, 1) if name in images.split() else value


def trace(
    model: Model,
    inputs: Arrays,
    targets: Arrays | None = None,
    training: bool = False,
    step: int = 0,
) -> Arrays:
    """{path: array} of every named value."""
    global RECORD
    if training:  #: untrained
        raise ValueError("this file was built without its training")  #: untrained
    found = RECORD = dict[str, np.ndarray]()
    try:
        raw = forward(model, to_arrays(model, inputs, INPUTS))  #: untrained
        raw = differentiate(model, inputs, None, None, step, training)[1]  #: trained
    finally:
        RECORD = None
    return read(found | to_outputs(raw))


def differentiate(
    model: Model,
    inputs: Arrays,
    targets: Arrays | None,
    weights: Any,
    step: int,
    training: bool = True,
) -> tuple[Any, ...]:
    """forward_backward() on any arrays, running statistics left as they are."""
    kept = {path: model.parameters[path].copy() for path in model.frozen}  #: statistics
    x = to_arrays(model, inputs, INPUTS)
    y = None if targets is None else to_arrays(model, targets, TARGETS)
    found: tuple[Any, ...] = forward_backward(model, x, y, weights, step, training)  #: statistics
    model.parameters.update(kept)  #: statistics
    return found  #: statistics
    return forward_backward(model, x, y, weights, step, training)  #: stateless


def loss_and_gradients(
    model: Model,
    inputs: Arrays,
    targets: Arrays,
    sample_weights: np.ndarray | None = None,
    step: int = 0,
) -> tuple[float, Arrays]:
    """The total loss in training mode, and {path: gradient} before clipping."""
    loss, _, gradients = differentiate(model, inputs, targets, sample_weights, step)
    return float(loss), gradients


class Trainer:
    """Trains a model. Epoch, order, masks and rate are functions of the number of steps done."""

    def __init__(self, model: Model, learning_rate: float | None = None) -> None:
        self.model, self.rate, self.steps = model, learning_rate, 0
        self.totals: dict[str, float] = {}
        self.paths = [path for path in model.parameters if path not in model.frozen]
        self.optimizer = Optimizer([model.parameters[path] for path in self.paths])

    def batch(self, inputs: Arrays, targets: Arrays) -> tuple[Arrays, Arrays]:
        """A batch of arrays in the model's precision."""
        return to_arrays(self.model, inputs, INPUTS), to_arrays(self.model, targets, TARGETS)

    def advance(self, x: Arrays, y: Arrays, weights: Any = None) -> tuple[Any, Any]:
        """One step on a batch: (loss, what the model returned before it)."""
        loss, raw, found = forward_backward(self.model, x, y, weights, self.steps)
        gradients = list(found.values())
        gradients = clip_gradients(gradients)  #: clip
        self.optimizer.update(gradients, self.optimizer.scalars(self.steps, self.rate))
        self.steps += 1
        return loss, raw

    def score(self, x: Arrays, y: Arrays) -> tuple[Any, Any]:
        """(loss, what the model returned) of a batch in inference mode."""
        raw = forward_backward(self.model, x, training=False)[1]
        return total_loss(self.model, raw, y), raw

    def step(
        self, inputs: Arrays, targets: Arrays, sample_weights: np.ndarray | None = None
    ) -> float:
        """One optimizer step on a batch; its loss."""
        return self.advance(*self.batch(inputs, targets), sample_weights)[0]

    def fit(
        self,
        inputs: Arrays,
        targets: Arrays,
        validation: tuple[Arrays, Arrays] | None = None,
        epochs: int = EPOCHS,
        batch_size: int = BATCH_SIZE,
        on_step: Callable[..., None] | None = None,
        on_epoch: Callable[..., None] | None = None,
    ) -> dict[str, list[float]]:
        """Trains until ``epochs`` epochs are done since step 0; the history by metric."""
        x, y = self.batch(inputs, targets)
        count = len(next(iter(x.values())))
        per_epoch = -(-count // batch_size)
        history: dict[str, list[float]] = {}
        for epoch in range(self.steps // per_epoch, epochs):
            order = batch_order(self.model.seed, epoch, count)  #: shuffle
            order = np.arange(count)  #: ordered
            rows = batches(x, batch_size, order)[self.steps % per_epoch :]
            logs = self.run(self.totals, self.advance, x, y, rows, on_step, epoch)
            self.totals = {}
            if validation is not None:
                scores = self.evaluate(*validation, batch_size)
                logs |= {f"val_{name}": value for name, value in scores.items()}
            for name, value in logs.items():
                history.setdefault(name, []).append(value)
            if on_epoch is not None:
                on_epoch(epoch=epoch, logs=logs)
        return history

    def run(
        self,
        totals: dict[str, float],
        act: Callable[..., Any],
        x: Arrays,
        y: Arrays,
        parts: list[np.ndarray],
        on_step: Callable[..., None] | None = None,
        epoch: int = 0,
    ) -> dict[str, float]:
        """The means of loss and metrics: of what totals hold and of parts of the rows."""
        for rows in parts:
            targets = gather(y, rows)
            loss, raw = act(gather(x, rows), targets)
            for name, value in {"loss": loss, **metric_values(raw, targets)}.items():
                totals[name] = totals.get(name, 0.0) + float(np.mean(value)) * len(rows)
            totals["samples"] = totals.get("samples", 0) + len(rows)
            if on_step is not None:
                on_step(step=self.steps - 1, epoch=epoch, loss=loss)
        count = max(totals.pop("samples"), 1)
        return {name: total / count for name, total in totals.items()}

    def evaluate(
        self, inputs: Arrays, targets: Arrays, batch_size: int = BATCH_SIZE
    ) -> dict[str, float]:
        """{metric: value} in inference mode; the loss includes penalties."""
        x, y = self.batch(inputs, targets)
        return self.run({}, self.score, x, y, batches(x, batch_size))

    def slots(self) -> Arrays:
        """{name: array} of the step and what the optimizer keeps for each parameter."""
        kept = {
            f"{Optimizer.kind}.{slot}/{path}": value
            for slot, values in self.optimizer.slots.items()
            for path, value in zip(self.paths, values, strict=True)
        }
        return {"step": np.array(self.steps), **kept}

    def state(self) -> Arrays:
        """The optimizer's slots by parameter, and the step: flat and neutral."""
        return read(self.slots())

    def load_state(self, state: Arrays) -> None:
        """Continues from a state(), whichever backend wrote it."""
        slots = self.slots()
        write(slots, state)
        self.steps, self.totals = int(slots["step"]), {}

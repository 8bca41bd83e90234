"""The fixed part of generated NumPy files: parameters, prediction and training."""

from collections.abc import Callable
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
from specc.backends.prelude_arrays import Arrays, check_names, means, rows_of, slices
from specc.backends.prelude_shared import batch_order


def build(seed: int = SEED, dtype: str = DTYPE, device: str | None = None) -> Model:
    """The network with the spec's initial parameters."""
    if device not in (None, "cpu"):
        raise ValueError(f"NumPy computes on the cpu, not on {device}")
    values = initial_parameters(seed).items()
    return Model({path: np.array(value, dtype) for path, value in values}, seed)


def get_parameters(model: Model) -> Arrays:
    """{path: array} of parameters and running statistics."""
    return {path: value.copy() for path, value in model.parameters.items()}


def set_parameters(model: Model, parameters: Arrays) -> None:
    """The inverse of get_parameters. Raises ValueError when names or shapes do not match."""
    check_names(model.parameters, parameters)
    for path, value in model.parameters.items():
        value[...] = parameters[path]


def to_arrays(model: Model, arrays: Arrays, names: Any) -> Arrays:
    """The named arrays in the model's precision."""
    dtype = next(iter(model.parameters.values())).dtype
    types: dict[str, Any] = dict.fromkeys(INTEGERS, np.dtype("int64"))
    types |= dict.fromkeys(BOOLEANS, np.dtype("bool"))  #: booleans
    return {name: np.asarray(arrays[name], types.get(name, dtype)) for name in names}


def predict(model: Model, inputs: Arrays, batch_size: int | None = None) -> Arrays:
    """{output: array} in inference mode."""
    x = to_arrays(model, inputs, INPUTS)
    batches = [
        to_outputs(forward(model, rows_of(x, rows))) for rows in slices(x, batch_size or 2**62)
    ]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in OUTPUTS}


RECORD: Arrays | None = None


def record(values: Arrays) -> None:
    """Keeps the named values of a forward pass while trace() runs; otherwise nothing."""
    if RECORD is not None:
        RECORD.update(values)


def trace(
    model: Model,
    inputs: Arrays,
    targets: Arrays | None = None,
    training: bool = False,
    step: int = 0,
) -> Arrays:
    """{path: array} of every named value; training mode needs the targets."""
    global RECORD
    if training and targets is None:  #: trained
        raise ValueError("in training mode this file traces with targets")  #: trained
    if training:  #: untrained
        raise ValueError("this file was built without its training")  #: untrained
    found: Arrays = {}
    RECORD = found
    try:
        raw = forward(model, to_arrays(model, inputs, INPUTS))  #: untrained
        if training:  #: trained
            raw = differentiate(model, inputs, targets, None, step)[1]  #: trained
        else:  #: trained
            raw = forward(model, to_arrays(model, inputs, INPUTS))  #: trained
    finally:
        RECORD = None
    return {path: np.array(value) for path, value in {**found, **to_outputs(raw)}.items()}


def differentiate(
    model: Model, inputs: Arrays, targets: Any, sample_weights: Any, step: int
) -> tuple[Any, ...]:
    """forward_backward() on any arrays, running statistics left as they are."""
    statistics = {path: model.parameters[path].copy() for path in model.frozen}  #: statistics
    x, y = to_arrays(model, inputs, INPUTS), to_arrays(model, targets, TARGETS)
    try:  #: statistics
        return forward_backward(model, x, y, sample_weights, step)  #: statistics
    finally:  #: statistics
        model.parameters.update(statistics)  #: statistics
    return forward_backward(model, x, y, sample_weights, step)  #: stateless


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
        self.paths = [path for path in model.parameters if path not in model.frozen]
        self.optimizer = Optimizer([model.parameters[path] for path in self.paths])

    def advance(
        self, inputs: Arrays, targets: Arrays, sample_weights: Any = None
    ) -> tuple[Any, ...]:
        """One step on a batch: (loss, what the model returned before it)."""
        loss, raw, found = forward_backward(self.model, inputs, targets, sample_weights, self.steps)
        gradients = [found[path] for path in self.paths]
        gradients = clip_gradients(gradients)  #: clip
        self.optimizer.update(gradients, self.optimizer.scalars(self.steps, self.rate))
        self.steps += 1
        return loss, raw

    def step(
        self, inputs: Arrays, targets: Arrays, sample_weights: np.ndarray | None = None
    ) -> float:
        """One optimizer step on a batch; its loss."""
        x, y = to_arrays(self.model, inputs, INPUTS), to_arrays(self.model, targets, TARGETS)
        return self.advance(x, y, sample_weights)[0]

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
        x, y = to_arrays(self.model, inputs, INPUTS), to_arrays(self.model, targets, TARGETS)
        count = len(next(iter(x.values())))
        per_epoch = -(-count // batch_size)
        history: dict[str, list[float]] = {}
        for epoch in range(self.steps // per_epoch, epochs):
            order = batch_order(self.model.seed, epoch, count)  #: shuffle
            order = np.arange(count)  #: ordered
            totals: dict[str, Any] = {}
            for start in range(self.steps % per_epoch * batch_size, count, batch_size):
                rows = order[start : start + batch_size]
                targets = rows_of(y, rows)
                loss, raw = self.advance(rows_of(x, rows), targets)
                add_batch(totals, loss, raw, targets)
                if on_step is not None:
                    on_step(step=self.steps - 1, epoch=epoch, loss=loss)
            logs = means(totals)
            if validation is not None:
                scores = self.evaluate(*validation, batch_size=batch_size)
                logs |= {f"val_{name}": value for name, value in scores.items()}
            for name, value in logs.items():
                history.setdefault(name, []).append(value)
            if on_epoch is not None:
                on_epoch(epoch=epoch, logs=logs)
        return history

    def evaluate(
        self, inputs: Arrays, targets: Arrays, batch_size: int = BATCH_SIZE
    ) -> dict[str, float]:
        """{metric: value} in inference mode; the loss includes penalties."""
        x, y = to_arrays(self.model, inputs, INPUTS), to_arrays(self.model, targets, TARGETS)
        totals: dict[str, Any] = {}
        for rows in slices(x, batch_size):
            raw, expected = forward(self.model, rows_of(x, rows)), rows_of(y, rows)
            add_batch(totals, total_loss(self.model, raw, expected), raw, expected)
        return means(totals)

    def state(self) -> Arrays:
        """The optimizer's slots by parameter, and the step: flat and neutral."""
        slots = {
            f"{Optimizer.kind}.{slot}/{path}": value.copy()
            for slot, values in self.optimizer.slots.items()
            for path, value in zip(self.paths, values, strict=True)
        }
        return {"step": np.array(self.steps), **slots}

    def load_state(self, state: Arrays) -> None:
        """Continues from a state(), whichever backend wrote it."""
        check_names(self.state(), state)
        self.steps = int(state["step"])
        for slot, values in self.optimizer.slots.items():
            for path, value in zip(self.paths, values, strict=True):
                value[...] = state[f"{Optimizer.kind}.{slot}/{path}"]


def add_batch(totals: dict[str, Any], loss: Any, raw: Any, targets: Any) -> None:
    """Adds a batch's loss and metrics to the sums of its epoch, weighted by its size."""
    size = len(next(iter(targets.values())))
    values = {"loss": loss, **metric_values(raw, targets)}
    for name, value in values.items():
        totals[name] = totals.get(name, 0.0) + float(np.mean(value)) * size
    totals["count"] = totals.get("count", 0) + size

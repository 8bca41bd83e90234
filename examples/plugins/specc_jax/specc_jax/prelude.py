"""The fixed part of generated JAX files: parameters, prediction and training.

A line that ends with ``#: feature`` is kept only in programs that have that feature.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from specc.backends.emitted import (
    BATCH_SIZE,
    DTYPE,
    EPOCHS,
    INPUTS,
    INTEGERS,
    OUTPUTS,
    SEED,
    TARGETS,
    Optimizer,
    clip_gradients,
    forward,
    initial_parameters,
    metric_values,
    to_outputs,
    total_loss,
)
from specc.backends.prelude_arrays import Arrays, check_names, epoch_means, rows_of, slices
from specc.backends.prelude_shared import batch_order

from .emitted import TRAINED
from .prelude_model import Model

Tensors = dict[str, jax.Array]


def build(seed: int = SEED, dtype: str = DTYPE, device: str | None = None) -> Model:
    """The network with the spec's initial parameters; device is "cpu", "gpu", "cuda:1" ...

    float64 needs 64-bit types, which this allows for the whole process (jax_enable_x64).
    """
    if dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    platform, _, index = (device or "").partition(":")
    place = jax.devices(platform)[int(index or 0)] if platform else None
    values = initial_parameters(seed).items()
    placed = {path: jax.device_put(jnp.array(value, dtype), place) for path, value in values}
    return Model(placed, seed, dtype)


def get_parameters(model: Model) -> Arrays:
    """{path: array} of parameters and running statistics."""
    return {path: np.array(value) for path, value in model.parameters.items()}


def set_parameters(model: Model, parameters: Arrays) -> None:
    """The inverse of get_parameters. Raises ValueError when names or shapes do not match."""
    check_names(model.parameters, parameters)
    for path, value in model.parameters.items():
        fresh = jnp.array(parameters[path], value.dtype)
        model.parameters[path] = jax.device_put(fresh, value.sharding)


def to_tensors(model: Model, arrays: Arrays, names: Any) -> Tensors:
    """The named arrays in the model's precision."""
    return {n: jnp.array(arrays[n], int if n in INTEGERS else model.dtype) for n in names}


@jax.jit
def infer(parameters: Tensors, inputs: Tensors) -> Tensors:
    """The outputs in inference mode; compiled once for each size of batch."""
    return to_outputs(forward(parameters, inputs)[0])


def predict(model: Model, inputs: Arrays, batch_size: int | None = None) -> Arrays:
    """{output: array} in inference mode."""
    x = to_tensors(model, inputs, INPUTS)
    batches = [infer(model.parameters, rows_of(x, rows)) for rows in slices(x, batch_size or 2**62)]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in OUTPUTS}


def trace(
    model: Model,
    inputs: Arrays,
    targets: Arrays | None = None,
    training: bool = False,
    step: int = 0,
) -> Arrays:
    """{path: array} of every named value, in the spec's layout."""
    found: Tensors = {}
    x = to_tensors(model, inputs, INPUTS)
    raw, _ = forward(model.parameters, x, training, step, model.seed, found)
    return {path: np.array(value) for path, value in (found | to_outputs(raw)).items()}


def loss_of(
    trained: Tensors, fixed: Tensors, inputs: Any, targets: Any, weights: Any, step: Any, seed: int
) -> tuple:
    """(total loss, (what forward returned, running statistics after it)) in training mode."""
    parameters = trained | fixed
    raw, statistics = forward(parameters, inputs, True, step, seed)
    return total_loss(parameters, raw, targets, weights), (raw, statistics)


# ((loss, (raw, statistics)), {path: gradient}): the gradients by the trained parameters.
differentiate = jax.jit(jax.value_and_grad(loss_of, has_aux=True), static_argnames="seed")


def split(parameters: Tensors) -> tuple[Tensors, Tensors]:
    """The parameters that are trained, and the others."""
    trained = {path: parameters[path] for path in TRAINED}
    return trained, {path: parameters[path] for path in parameters if path not in trained}


def loss_and_gradients(
    model: Model,
    inputs: Arrays,
    targets: Arrays,
    sample_weights: np.ndarray | None = None,
    step: int = 0,
) -> tuple[float, Arrays]:
    """The total loss in training mode, and {path: gradient} before clipping."""
    batch = to_batch(model, inputs, targets, sample_weights)
    (loss, _), gradients = differentiate(*split(model.parameters), *batch, step, model.seed)
    return float(loss), {path: np.array(gradients[path]) for path in TRAINED}


def to_batch(model: Model, inputs: Arrays, targets: Arrays, sample_weights: Any = None) -> tuple:
    """A batch of arrays as JAX's: inputs, targets, weights of samples (or None)."""
    if sample_weights is not None:
        sample_weights = jnp.array(sample_weights, model.dtype)
    return to_tensors(model, inputs, INPUTS), to_tensors(model, targets, TARGETS), sample_weights


# A step gives its old arrays away: the new ones take their memory.
@partial(jax.jit, static_argnames="seed", donate_argnames=("parameters", "slots"))
def train_step(
    parameters: Tensors,
    slots: dict[str, list[jax.Array]],
    inputs: Tensors,
    targets: Tensors,
    weights: jax.Array | None,
    step: int,
    scalars: tuple[float, ...],
    seed: int,
) -> tuple:
    """(parameters, slots, loss, what forward returned) after one step."""
    trained, fixed = split(parameters)
    (loss, (raw, statistics)), found = differentiate(
        trained, fixed, inputs, targets, weights, step, seed
    )
    gradients = [found[path] for path in TRAINED]
    gradients = clip_gradients(gradients)  #: clip
    values = [trained[path] for path in TRAINED]
    values, slots = Optimizer().update(values, gradients, slots, scalars)
    return fixed | statistics | dict(zip(TRAINED, values, strict=True)), slots, loss, raw


class Trainer:
    """Trains a model. Epoch, order, masks and rate are functions of the number of steps done."""

    def __init__(self, model: Model, learning_rate: float | None = None) -> None:
        self.model, self.rate, self.steps = model, learning_rate, 0
        self.totals: dict[str, Any] = {}
        self.slots = Optimizer().init([model.parameters[path] for path in TRAINED])

    def advance(self, inputs: Tensors, targets: Tensors, weights: Any = None) -> tuple:
        """One step on a batch: (loss, what forward returned before it)."""
        # Rates and bias corrections come from the host in double precision.
        scalars = Optimizer().scalars(self.steps, self.rate)
        parameters, self.slots, loss, raw = train_step(
            self.model.parameters,
            self.slots,
            inputs,
            targets,
            weights,
            self.steps,
            scalars,
            seed=self.model.seed,
        )
        self.model.parameters.update(parameters)
        self.steps += 1
        return loss, raw

    def step(
        self, inputs: Arrays, targets: Arrays, sample_weights: np.ndarray | None = None
    ) -> jax.Array:
        """One optimizer step on a batch; its loss, still on the device."""
        return self.advance(*to_batch(self.model, inputs, targets, sample_weights))[0]

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
        x, y, _ = to_batch(self.model, inputs, targets)
        count = len(next(iter(x.values())))
        per_epoch = -(-count // batch_size)
        history: dict[str, list[float]] = {}
        for epoch in range(self.steps // per_epoch, epochs):
            order = batch_order(self.model.seed, epoch, count)  #: shuffle
            order = np.arange(count)  #: ordered
            for start in range(self.steps % per_epoch * batch_size, count, batch_size):
                rows = order[start : start + batch_size]
                batch, expected = gather(x, rows), gather(y, rows)
                loss, raw = self.advance(batch, expected)
                add_batch(self.totals, loss, raw, expected)
                if on_step is not None:
                    on_step(step=self.steps - 1, epoch=epoch, loss=loss)
            logs = epoch_means(self.totals)
            self.totals = {}
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
        x, y, _ = to_batch(self.model, inputs, targets)
        totals: dict[str, Any] = {}
        for rows in slices(x, batch_size):
            expected = rows_of(y, rows)
            loss, raw = score(self.model.parameters, rows_of(x, rows), expected)
            add_batch(totals, loss, raw, expected)
        return epoch_means(totals)

    def state(self) -> Arrays:
        """The optimizer's slots by parameter, and the step: flat and neutral."""
        slots = {
            f"{Optimizer.kind}.{slot}/{path}": np.array(value)
            for slot, values in self.slots.items()
            for path, value in zip(TRAINED, values, strict=True)
        }
        return {"step": np.array(self.steps), **slots}

    def load_state(self, state: Arrays) -> None:
        """Continues from a state(), whichever backend wrote it."""
        check_names(self.state(), state)
        self.steps, self.totals = int(state["step"]), {}
        for slot, values in self.slots.items():
            names = [f"{Optimizer.kind}.{slot}/{path}" for path in TRAINED]
            self.slots[slot] = [
                jax.device_put(jnp.array(state[name], value.dtype), value.sharding)
                for name, value in zip(names, values, strict=True)
            ]


@jax.jit
def gather(arrays: Tensors, rows: jax.Array) -> Tensors:
    """Those rows of every array."""
    return rows_of(arrays, rows)


@jax.jit
def score(parameters: Tensors, inputs: Tensors, targets: Tensors) -> tuple:
    """(loss, what forward returned) in inference mode."""
    raw, _ = forward(parameters, inputs)
    return total_loss(parameters, raw, targets), raw


@jax.jit
def batch_sums(loss: jax.Array, raw: Any, targets: Tensors) -> Tensors:
    """A batch's loss and metrics, times its size."""
    size = len(next(iter(targets.values())))
    values = {"loss": loss, **metric_values(raw, targets)}
    return {name: size * jnp.mean(value) for name, value in values.items()}


def add_batch(totals: dict[str, Any], loss: Any, raw: Any, targets: Any) -> None:
    """Adds a batch's loss and metrics to the sums of its epoch, weighted by its size."""
    for name, value in batch_sums(loss, raw, targets).items():
        totals[name] = totals.get(name, 0.0) + value
    totals["samples"] = totals.get("samples", 0) + len(next(iter(targets.values())))

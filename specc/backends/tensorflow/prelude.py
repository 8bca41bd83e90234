"""The fixed part of generated TensorFlow files: parameters, prediction and training.

A line that ends with ``#: feature`` is kept only in programs that have that feature.
"""

from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from specc.backends.emitted import (
    BATCH_SIZE,
    BOOLEANS,
    DTYPE,
    EPOCHS,
    INPUTS,
    INTEGERS,
    LAYOUTS,
    OUTPUTS,
    SEED,
    TARGETS,
    Model,
    Optimizer,
    apply,
    clip_gradients,
    initial_parameters,
    metric_values,
    to_outputs,
    total_loss,
)
from specc.backends.prelude_arrays import Arrays, check_names, means, rows_of, slices
from specc.backends.prelude_shared import batch_order
from specc.backends.tensorflow.prelude_layers import Dropout

Tensors = dict[str, tf.Tensor]


def layers_of(layer: keras.Layer, path: str = "") -> Iterator[tuple[str, keras.Layer]]:
    """(path, layer) of a layer and all below it: the attributes that lead there.

    An attribute whose name was taken has an underscore more than the spec's.
    """
    yield path, layer
    if type(layer) in LAYOUTS:  # the layers inside of it are its own affair
        return
    for name, value in vars(layer).items():
        listed = isinstance(value, list) and name != "_layers"  # Keras' own list of all layers
        for index, each in enumerate(value if listed else [value]):
            if isinstance(each, keras.Layer):
                parts = [path, name.removesuffix("_"), str(index) if listed else ""]
                yield from layers_of(each, ".".join(part for part in parts if part))


def variables_of(model: keras.Model) -> dict[str, keras.Variable]:
    """{path: variable} of every parameter and running statistic of the spec."""
    found = {
        f"{path}.{name}": reduce(
            lambda holder, part: getattr(holder, part, None), attribute.split("."), layer
        )
        for path, layer in layers_of(model)
        for name, attribute in LAYOUTS.get(type(layer), {}).items()
    }
    return {path: variable for path, variable in found.items() if variable is not None}


def build(seed: int = SEED, dtype: str = DTYPE, device: str | None = None) -> Model:
    """The network with the spec's initial parameters."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        with tf.device(device):
            model = Model()
            symbols = {
                n: keras.Input(batch_shape=s, dtype=type_of(n, dtype)) for n, s in INPUTS.items()
            }
            apply(model, symbols)  # which creates the variables
    finally:
        keras.config.set_dtype_policy(policy)
    model.seed, model.device = seed, device
    set_parameters(model, initial_parameters(seed))
    for path, layer in layers_of(model):  #: random
        if isinstance(layer, Dropout):  #: random
            layer.seed(seed, path)  #: random
    return model


def get_parameters(model: keras.Model) -> Arrays:
    """{path: array} of parameters and running statistics, in the spec's layout."""
    return {path: each.value.numpy().copy() for path, each in variables_of(model).items()}


def set_parameters(model: keras.Model, parameters: Arrays) -> None:
    """The inverse of get_parameters. Raises ValueError when names or shapes do not match."""
    variables = variables_of(model)
    check_names(variables, parameters)
    for path, variable in variables.items():
        variable.assign(parameters[path])


def type_of(name: str, dtype: str) -> str:
    """The type of an input or a target, in a model of precision ``dtype``."""
    if name in BOOLEANS:  #: booleans
        return "bool"  #: booleans
    return "int64" if name in INTEGERS else dtype


def to_tensors(model: keras.Model, arrays: Arrays, names: Any) -> Tensors:
    """The named arrays as tensors of the model's precision."""
    return {n: tf.convert_to_tensor(np.asarray(arrays[n], type_of(n, model.dtype))) for n in names}


@tf.function(autograph=False, reduce_retracing=True)
def infer(model: keras.Model, inputs: Tensors) -> Tensors:
    """The outputs in inference mode, compiled once per model."""
    return to_outputs(apply(model, inputs))


def predict(model: keras.Model, inputs: Arrays, batch_size: int | None = None) -> Arrays:
    """{output: array} in inference mode."""
    x = to_tensors(model, inputs, INPUTS)
    with tf.device(model.device):
        batches = [infer(model, rows_of(x, rows)) for rows in slices(x, batch_size or 2**62)]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in OUTPUTS}


RECORD: list[tuple[keras.Layer, Tensors]] | None = None


def record(layer: keras.Layer, values: Tensors) -> None:
    """Keeps the named values of a forward pass while trace() runs; otherwise nothing."""
    if RECORD is not None:
        RECORD.append((layer, values))


def trace(
    model: keras.Model,
    inputs: Arrays,
    targets: Arrays | None = None,
    training: bool = False,
    step: int = 0,
) -> Arrays:
    """{path: array} of every named value, in the spec's layout."""
    global RECORD
    kept = [(v, v.value.numpy()) for v in model.non_trainable_variables]  #: statistics
    RECORD = []
    try:
        with tf.device(model.device):
            outputs = to_outputs(apply(model, to_tensors(model, inputs, INPUTS), step, training))
        calls = RECORD
    finally:
        RECORD = None
        for variable, value in kept:  #: statistics
            variable.assign(value)  #: statistics
    paths = {id(layer): path for path, layer in layers_of(model)}
    found = {
        f"{paths[id(layer)]}.{name}".lstrip("."): value
        for layer, values in calls
        for name, value in values.items()
    }
    return {path: value.numpy().copy() for path, value in (found | outputs).items()}


def loss_and_gradients(
    model: keras.Model,
    inputs: Arrays,
    targets: Arrays,
    sample_weights: np.ndarray | None = None,
    step: int = 0,
) -> tuple[float, Arrays]:
    """The total loss in training mode, and {path: gradient} before clipping."""
    trainer = Trainer(model)
    kept = [(v, v.value.numpy()) for v in model.non_trainable_variables]  #: statistics
    x, y, *weights = trainer.batch(inputs, targets, sample_weights)
    with tf.device(model.device):
        loss, _, gradients = trainer.differentiate(x, y, step, *weights)
    for variable, value in kept:  #: statistics
        variable.assign(value)  #: statistics
    return float(loss), {
        path: gradient.numpy().copy()
        for path, gradient in zip(trainer.paths, gradients, strict=True)
    }


class Trainer:
    """Trains a model. Epoch, order, masks and rate are functions of the number of steps done."""

    def __init__(self, model: keras.Model, learning_rate: float | None = None) -> None:
        self.model, self.rate, self.steps = model, learning_rate, 0
        trained = {p: each.value for p, each in variables_of(model).items() if each.trainable}
        self.paths, self.parameters = list(trained), list(trained.values())
        self.optimizer = Optimizer(self.parameters)
        self.signature: list[Any] = [
            {n: tf.TensorSpec(shape, type_of(n, model.dtype)) for n, shape in shapes.items()}
            for shapes in (INPUTS, TARGETS)
        ]
        scalars = len(self.optimizer.scalars(0, self.rate))
        for shape, dtype in (((), "int64"), (scalars, model.dtype), (None, model.dtype)):
            self.signature.append(tf.TensorSpec(shape, dtype))
        self.graphs: dict[tuple[str, int], Any] = {}

    def compiled(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a function as a graph, traced once for batches of every size and all steps."""
        key = function.__name__, len(arguments)
        with tf.device(self.model.device):
            if key not in self.graphs:
                traced = tf.function(function, autograph=False)
                self.graphs[key] = traced.get_concrete_function(*self.signature[: len(arguments)])
            return self.graphs[key](*arguments)

    def batch(self, inputs: Arrays, targets: Arrays, sample_weights: Any = None) -> list[Any]:
        """A batch of arrays as tensors: inputs, targets and, where there are any, weights."""
        x, y = to_tensors(self.model, inputs, INPUTS), to_tensors(self.model, targets, TARGETS)
        if sample_weights is None:
            return [x, y]
        return [x, y, tf.convert_to_tensor(np.asarray(sample_weights, self.model.dtype))]

    def differentiate(
        self, inputs: Any, targets: Any, step: Any, weights: Any = None
    ) -> tuple[Any, ...]:
        """(loss, what the model returned, gradients) of a batch in training mode."""
        with tf.GradientTape() as tape:
            raw = apply(self.model, inputs, step, training=True)
            loss = total_loss(self.model, raw, targets, weights)
        gradients = tape.gradient(loss, self.parameters, unconnected_gradients="zero")
        # Slices of an embedding's rows become its gradient: a repeated row counts with its sum.
        return loss, raw, [tf.convert_to_tensor(gradient) for gradient in gradients]

    def update(
        self, inputs: Any, targets: Any, step: Any, scalars: Any, *weights: Any
    ) -> tuple[Any, ...]:
        """One step on a batch: its loss, and the sums for its epoch."""
        loss, raw, gradients = self.differentiate(inputs, targets, step, *weights)
        gradients = clip_gradients(gradients)  #: clip
        self.optimizer.update(gradients, tuple(tf.unstack(scalars)))
        return loss, batch_sums(loss, raw, targets)

    def score(self, inputs: Any, targets: Any) -> Tensors:
        """The sums of a batch in inference mode."""
        raw = apply(self.model, inputs)
        return batch_sums(total_loss(self.model, raw, targets), raw, targets)

    def advance(self, batch: list[Any]) -> tuple[Any, ...]:
        """One step on a batch of tensors: what update() gives."""
        # Rates and bias corrections come from the host, in double precision.
        scalars = tf.constant(self.optimizer.scalars(self.steps, self.rate), self.model.dtype)
        x, y, *weights = batch
        found = self.compiled(
            self.update, x, y, tf.constant(self.steps, tf.int64), scalars, *weights
        )
        self.steps += 1
        return found

    def step(
        self, inputs: Arrays, targets: Arrays, sample_weights: np.ndarray | None = None
    ) -> tf.Tensor:
        """One optimizer step on a batch; its loss, still on the device."""
        return self.advance(self.batch(inputs, targets, sample_weights))[0]

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
            totals: dict[str, Any] = {}
            for start in range(self.steps % per_epoch * batch_size, count, batch_size):
                rows = order[start : start + batch_size]
                loss, sums = self.advance([gather(x, rows), gather(y, rows)])
                add_batch(totals, sums, len(rows))
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
        x, y = self.batch(inputs, targets)
        totals: dict[str, Any] = {}
        for rows in slices(x, batch_size):
            sums = self.compiled(self.score, rows_of(x, rows), rows_of(y, rows))
            add_batch(totals, sums, rows.stop - rows.start)
        return means(totals)

    def slots(self) -> dict[str, tf.Variable]:
        """{name: variable} of what the optimizer keeps for each parameter."""
        return {
            f"{Optimizer.kind}.{slot}/{path}": variable
            for slot, variables in self.optimizer.slots.items()
            for path, variable in zip(self.paths, variables, strict=True)
        }

    def state(self) -> Arrays:
        """The optimizer's slots in the spec's layout, and the step: flat and neutral."""
        slots = {name: variable.numpy().copy() for name, variable in self.slots().items()}
        return {"step": np.array(self.steps), **slots}

    def load_state(self, state: Arrays) -> None:
        """Continues from a state(), whichever backend wrote it."""
        check_names(self.state(), state)
        self.steps = int(state["step"])
        for name, variable in self.slots().items():
            variable.assign(state[name])


def gather(tensors: Tensors, rows: np.ndarray) -> Tensors:
    """Those rows of every tensor."""
    return {name: tf.gather(tensor, rows) for name, tensor in tensors.items()}


def batch_sums(loss: tf.Tensor, raw: Any, targets: Tensors) -> Tensors:
    """A batch's loss and metrics, times its size."""
    values = {"loss": loss, **metric_values(raw, targets)}
    size = tf.cast(tf.shape(next(iter(targets.values())))[0], loss.dtype)
    return {name: size * tf.reduce_mean(value) for name, value in values.items()}


def add_batch(totals: dict[str, Any], sums: Tensors, size: int) -> None:
    """Adds a batch of ``size`` rows to the sums of its epoch."""
    for name, value in {**sums, "count": size}.items():
        totals[name] = totals.get(name, 0.0) + value

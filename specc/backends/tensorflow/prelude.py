"""The fixed part of generated TensorFlow files: parameters, prediction and training.

A line that ends with ``#: feature`` is kept only in programs that have that feature.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial, reduce
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
from specc.backends.prelude_arrays import Arrays
from specc.backends.prelude_shared import batch_order
from specc.backends.tensorflow.prelude_layers import Dropout, has

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
        for attribute in attribute.split()  #: places
        if has(layer, attribute)  #: places
    }
    return {path: variable for path, variable in found.items() if variable is not None}


def read(variables: Mapping[str, Any]) -> Arrays:
    """Copies of variables, by name."""
    return {name: np.array(variable.numpy()) for name, variable in variables.items()}


def write(variables: Mapping[str, Any], arrays: Arrays) -> None:
    """Sets variables. Raises ValueError that lists what is missing, unknown or misshapen."""
    want = {name: tuple(variable.shape) for name, variable in variables.items()}
    have = {name: np.shape(array) for name, array in arrays.items()}
    if wrong := [name for name in want | have if want.get(name) != have.get(name)]:
        listed = "; ".join(f"{n}: wanted {want.get(n)}, given {have.get(n)}" for n in wrong)
        raise ValueError(f"arrays and their shapes do not match: {listed}")
    for name, variable in variables.items():
        variable.assign(arrays[name])


def build(seed: int = SEED, dtype: str = DTYPE, device: str | None = None) -> Model:
    """The network with the spec's initial parameters."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        with tf.device(device):
            model = Model()
            symbols = {n: keras.Input(s[1:], None, type_of(n, dtype)) for n, s in INPUTS.items()}
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
    return read(variables_of(model))


def set_parameters(model: keras.Model, parameters: Arrays) -> None:
    """The inverse of get_parameters. Raises ValueError when names or shapes do not match."""
    write(variables_of(model), parameters)


def type_of(name: str, dtype: str) -> str:
    """The type of an input or a target, in a model of precision ``dtype``."""
    if name in BOOLEANS:  #: booleans
        return "bool"  #: booleans
    return "int64" if name in INTEGERS else dtype


def to_tensors(model: keras.Model, arrays: Arrays, names: Any) -> Tensors:
    """The named arrays as tensors of the model's precision."""
    return {n: tf.convert_to_tensor(np.asarray(arrays[n], type_of(n, model.dtype))) for n in names}


@tf.function(autograph=False, reduce_retracing=True)  #: uncompiled
@tf.function(autograph=False, reduce_retracing=True, jit_compile=True)  #: compiled
def infer(model: keras.Model, inputs: Tensors) -> Tensors:
    """The outputs in inference mode, compiled once per model."""
    return to_outputs(apply(model, inputs))


def predict(model: keras.Model, inputs: Arrays, batch_size: int | None = None) -> Arrays:
    """{output: array} in inference mode."""
    x = to_tensors(model, inputs, INPUTS)
    with tf.device(model.device):
        found = [infer(model, gather(x, rows)) for rows in batches(x, batch_size or 2**62)]
    return {name: np.concatenate([each[name] for each in found]) for name in OUTPUTS}


RECORD: Any = None


def record(layer: keras.Layer, values: Any, names: str = "", images: str = "") -> None:
    """Keeps named values of a forward pass while trace() runs; of images the channels go first."""
    for name, value in () if RECORD is None else values.items():
        if name in names.split():
            RECORD.append((layer, name, value))
        elif name in images.split():
            RECORD.append((layer, name, np.moveaxis(value, -1, 1)))


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
    calls: list[Any] = []
    RECORD = calls
    try:
        with tf.device(model.device):
            outputs = to_outputs(apply(model, to_tensors(model, inputs, INPUTS), step, training))
    finally:
        RECORD = None
        for variable, value in kept:  #: statistics
            variable.assign(value)  #: statistics
    paths = {id(layer): f"{path}." if path else "" for path, layer in layers_of(model)}
    found = {paths[id(layer)] + name: value for layer, name, value in calls}
    return {path: np.array(value) for path, value in (found | outputs).items()}


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
    return float(loss), read(dict(zip(trainer.paths, gradients, strict=True)))


class Trainer:
    """Trains a model. Epoch, order, masks and rate are functions of the number of steps done."""

    def __init__(self, model: keras.Model, learning_rate: float | None = None) -> None:
        self.model, self.rate, self.steps = model, learning_rate, 0
        self.totals: dict[str, Any] = {}
        trained = {p: each.value for p, each in variables_of(model).items() if each.trainable}
        self.paths, self.parameters = list(trained), list(trained.values())
        with tf.device(model.device):
            self.optimizer = Optimizer(self.parameters)
        self.graphs: dict[tuple[str, int, int | None], Any] = {}

    def compiled(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a function as a graph: one for full batches, where it is faster, one for others."""
        rows = len(next(iter(arguments[0].values())))
        key = function.__name__, len(arguments), rows if rows == BATCH_SIZE else None
        with tf.device(self.model.device):
            if key not in self.graphs:
                signature = self.signature(key[2])[: len(arguments)]
                traced = tf.function(function, autograph=False)  #: uncompiled
                traced = tf.function(function, autograph=False, jit_compile=True)  #: compiled
                self.graphs[key] = traced.get_concrete_function(*signature)
            return self.graphs[key](*arguments)

    def signature(self, rows: int | None) -> list[Any]:
        """What update() takes, for batches of that size or of any."""
        dtype = self.model.dtype
        batch = [
            {n: tf.TensorSpec((rows, *shape[1:]), type_of(n, dtype)) for n, shape in shapes.items()}
            for shapes in (INPUTS, TARGETS)
        ]
        scalars = tuple(tf.TensorSpec((), dtype) for _ in self.optimizer.scalars(0, self.rate))
        return [*batch, tf.TensorSpec((), "int64"), scalars, tf.TensorSpec(None, dtype)]

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
        """One step on a batch: its loss, and what the model returned before it."""
        loss, raw, gradients = self.differentiate(inputs, targets, step, *weights)
        gradients = clip_gradients(gradients)  #: clip
        self.optimizer.update(gradients, scalars)
        return loss, raw

    def learn(self, inputs: Any, targets: Any, step: Any, scalars: Any) -> tuple[Any, ...]:
        """One step on a batch: its loss, and the sums for its epoch."""
        loss, raw = self.update(inputs, targets, step, scalars)
        return loss, batch_sums(loss, raw, targets)

    def score(self, inputs: Any, targets: Any) -> tuple[Any, ...]:
        """Loss and sums of a batch in inference mode."""
        raw = apply(self.model, inputs)
        loss = total_loss(self.model, raw, targets)
        return loss, batch_sums(loss, raw, targets)

    def advance(self, update: Callable[..., Any], x: Any, y: Any, *weights: Any) -> Any:
        """One step on a batch of tensors: what update() or learn() gives."""
        # Rates and bias corrections come from the host, in double precision.
        scalars = self.optimizer.scalars(self.steps, self.rate)
        scalars = tuple(tf.constant(each, self.model.dtype) for each in scalars)
        step = tf.constant(self.steps, tf.int64)
        found = self.compiled(update, x, y, step, scalars, *weights)
        self.steps += 1
        return found

    def step(
        self, inputs: Arrays, targets: Arrays, sample_weights: np.ndarray | None = None
    ) -> tf.Tensor:
        """One optimizer step on a batch; its loss, still on the device."""
        return self.advance(self.update, *self.batch(inputs, targets, sample_weights))[0]

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
            act = partial(self.advance, self.learn)
            logs = self.run(self.totals, act, x, y, rows, on_step, epoch)
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
        totals: dict[str, Any],
        act: Callable[..., Any],
        x: Tensors,
        y: Tensors,
        parts: Any,
        on_step: Callable[..., None] | None = None,
        epoch: int = 0,
    ) -> dict[str, float]:
        """The means of loss and metrics: of what totals hold and of parts of the rows."""
        for rows in parts:
            loss, sums = act(gather(x, rows), gather(y, rows))
            for name, value in {**sums, "samples": len(rows)}.items():
                totals[name] = totals.get(name, 0) + value
            if on_step is not None:
                on_step(step=self.steps - 1, epoch=epoch, loss=loss)
        count = totals.pop("samples")
        return {name: float(total / count) for name, total in totals.items()}

    def evaluate(
        self, inputs: Arrays, targets: Arrays, batch_size: int = BATCH_SIZE
    ) -> dict[str, float]:
        """{metric: value} in inference mode; the loss includes penalties."""
        x, y = self.batch(inputs, targets)
        return self.run({}, partial(self.compiled, self.score), x, y, batches(x, batch_size))

    def slots(self) -> dict[str, tf.Variable]:
        """{name: variable} of the step and what the optimizer keeps for each parameter."""
        kept = {
            f"{Optimizer.kind}.{slot}/{path}": variable
            for slot, variables in self.optimizer.slots.items()
            for path, variable in zip(self.paths, variables, strict=True)
        }
        return {"step": tf.Variable(self.steps, dtype=tf.int64), **kept}

    def state(self) -> Arrays:
        """The optimizer's slots in the spec's layout, and the step: flat and neutral."""
        return read(self.slots())

    def load_state(self, state: Arrays) -> None:
        """Continues from a state(), whichever backend wrote it."""
        slots = self.slots()
        write(slots, state)
        self.steps, self.totals = int(slots["step"]), {}


def batches(arrays: Mapping[str, Any], size: int, order: Any = None) -> list[np.ndarray]:
    """The rows of each batch; one without rows where there are none."""
    rows = np.arange(len(next(iter(arrays.values())))) if order is None else order
    return np.split(rows, range(size, len(rows), size))


def gather(tensors: Tensors, rows: np.ndarray) -> Tensors:
    """Those rows of every tensor."""
    return {name: tf.gather(tensor, rows) for name, tensor in tensors.items()}


def batch_sums(loss: tf.Tensor, raw: Any, targets: Tensors) -> Tensors:
    """A batch's loss and metrics, times its size."""
    values = {"loss": loss, **metric_values(raw, targets)}
    size = tf.cast(tf.shape(next(iter(targets.values())))[0], loss.dtype)
    return {name: size * tf.reduce_mean(value) for name, value in values.items()}

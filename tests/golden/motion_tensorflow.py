"""motion for TensorFlow, written by specc 0.1.0 from motion.yaml (eaaaefa06d06).

python motion_tensorflow.py train data.npz --epochs 3 --out w.safetensors
`specc data motion.yaml -o data.npz` writes the arrays; --help shows more.
"""

import argparse
import hashlib
import math
import os
from functools import partial, reduce

import numpy as np

os.environ["KERAS_BACKEND"] = "tensorflow"  # read when TensorFlow imports Keras

import keras
import tensorflow as tf

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        f"keras already runs on {keras.backend.backend()} in this process; import this file first, "
        "or set KERAS_BACKEND=tensorflow"
    )

NAME = "motion"
BACKEND = "tensorflow"
SEED = 7
DTYPE = "float32"
INPUTS = {"signal": (None, 100, 6)}
TARGETS = {"activity": (None,)}
OUTPUTS = {"logits": (None, 4)}
INTEGERS = {"activity"}
EPOCHS = 40
BATCH_SIZE = 8


# Layers -----------------------------------------------------------------------------------------
class TwoBiases(keras.Layer):
    """A second bias, in the recurrent product, which is trained apart: PyTorch's convention.

    What Keras takes for the bias of a cell is the sum of both.
    """

    def build(self, shape):
        super().build(shape)
        self.recurrent_bias = self.add_weight(shape=self.input_bias.shape, name="recurrent_bias")

    @property
    def bias(self):
        return self.input_bias + self.recurrent_bias

    @bias.setter
    def bias(self, value):
        self.input_bias = value


class TwoBiasLSTMCell(TwoBiases, keras.layers.LSTMCell):
    """A step of an LSTM with two biases."""


class TwoBiasSimpleRNNCell(TwoBiases, keras.layers.SimpleRNNCell):
    """A step of a plain recurrent layer with two biases."""


def two_biases(layer):
    """A recurrent layer of Keras, or a bidirectional one, with cells that have two biases."""
    if isinstance(layer, keras.layers.Bidirectional):
        two_biases(layer.forward_layer)
        two_biases(layer.backward_layer)
        return layer
    lstm = isinstance(layer, keras.layers.LSTM)
    cell = TwoBiasLSTMCell if lstm else TwoBiasSimpleRNNCell
    layer.cell = cell.from_config(layer.cell.get_config())
    return layer


# Model ------------------------------------------------------------------------------------------
class Motion(keras.Model):
    """The network motion."""

    def __init__(self):
        super().__init__()
        self.conv1d = keras.layers.Conv1D(32, 5, strides=2)
        self.lstm = two_biases(keras.layers.LSTM(32, unroll=True))
        self.logits = keras.layers.Dense(4)

    def call(self, signal):
        # signal: (batch, 100, 6)
        conv1d = tf.nn.relu(self.conv1d(signal))  # (batch, 48, 32)
        lstm = self.lstm(conv1d)  # (batch, 32)
        logits = self.logits(lstm)  # (batch, 4)
        record(self, locals(), "conv1d lstm logits")
        return logits


def apply(model, inputs, step=0, training=False):
    """What the model returns for a batch of tensors by input."""
    return model(inputs["signal"])


def to_outputs(logits):
    """The spec's outputs, from what the model returns."""
    return {"logits": logits}


# Losses and metrics -----------------------------------------------------------------------------
def weighted_mean(values, weights=None):
    """The mean of a loss's values; a weight counts for all values of its sample."""
    if weights is None:
        return tf.reduce_mean(values)
    weights = tf.reshape(weights, [-1] + [1] * (len(values.shape) - 1)) * tf.ones_like(values)
    return tf.reduce_sum(weights * values) / tf.reduce_sum(weights)


def sparse_categorical_accuracy(prediction, target):
    """1 where the largest prediction (the first among equals) is the target's class."""
    return tf.cast(tf.argmax(prediction, -1) == target, prediction.dtype)


def total_loss(model, logits, targets, weights=None):
    """The weighted sum of all losses and penalties: a scalar."""
    return weighted_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets["activity"], logits=logits),
        weights,
    )


def metric_values(raw, targets):
    """{metric: one value per sample}."""
    outputs = to_outputs(raw)
    return {"accuracy": sparse_categorical_accuracy(outputs["logits"], targets["activity"])}


# Optimizer and schedule -------------------------------------------------------------------------
def learning_rate(step):
    """The constant schedule; steps count from 0."""
    return 0.005


class Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019).

    Epsilon is added after the bias correction.
    """

    kind = "adamw"
    beta_1 = 0.9
    beta_2 = 0.999
    epsilon = 1e-08
    weight_decay = 0.01

    def __init__(self, parameters):
        self.parameters = parameters
        # The kernel rounds its betas; the bias corrections have to use the same ones.
        dtype = parameters[0].dtype.as_numpy_dtype
        self.beta_1, self.beta_2 = float(dtype(self.beta_1)), float(dtype(self.beta_2))
        self.slots = {
            slot: [tf.Variable(tf.zeros_like(p), trainable=False) for p in parameters]
            for slot in ("m", "v")
        }

    def scalars(self, step, rate=None):
        """What changes with the step, computed in double precision."""
        rate = learning_rate(step) if rate is None else rate
        t = step + 1
        return (
            rate * math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t),
            self.epsilon * math.sqrt(1 - self.beta_2**t),
            rate * self.weight_decay,
        )

    def update(self, gradients, scalars):
        """One step, in place."""
        step_size, scaled_epsilon, decay = scalars
        constants = 0.0, self.beta_1, self.beta_2
        dtype = self.parameters[0].dtype
        zero, beta_1, beta_2 = (tf.constant(each, dtype) for each in constants)
        for parameter, gradient, m, v in zip(
            self.parameters, gradients, *self.slots.values(), strict=True
        ):
            parameter.assign_sub(decay * parameter)
            tf.raw_ops.ResourceApplyAdam(
                var=parameter.handle,
                m=m.handle,
                v=v.handle,
                beta1_power=zero,
                beta2_power=zero,
                lr=step_size,
                beta1=beta_1,
                beta2=beta_2,
                epsilon=scaled_epsilon,
                grad=gradient,
            )


# Reproducibility --------------------------------------------------------------------------------
def stream_key(seed, name):
    """The 64-bit key of a named random stream: the first 8 bytes of BLAKE2b of "seed/name"."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def random_words(key, count, start=0):
    """Words start, ..., start + count - 1 of a stream: the SplitMix64 finaliser over a counter."""
    z = np.arange(start, start + count, dtype=np.uint64) * 0x9E3779B97F4A7C15 + key
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB
    z ^= z >> 31
    return z


def random_uniform(key, count, start=0):
    """Uniform values in [0, 1) from the upper 53 bits of each word: exact on every machine."""
    return (random_words(key, count, start) >> 11) * 2.0**-53


def batch_order(seed, epoch, count):
    """The order in which an epoch, counted from 0, visits the examples: that of random words."""
    return np.argsort(random_words(stream_key(seed, f"order/{epoch}"), count), kind="stable")


def uniform(low, high):
    """U(low, high)."""
    return lambda key, shape: (
        low + (high - low) * random_uniform(key, math.prod(shape)).reshape(shape)
    )


def fan_in_uniform(fan_in):
    """U(-a, a), a = 1 / sqrt(fan_in): what torch's Linear and convolutions start from."""
    limit = 1 / math.sqrt(fan_in)
    return uniform(-limit, limit)


def initial_parameters(seed=SEED):
    """Float64 values at the start: each tensor derives from (seed, path, shape) alone."""
    table = [
        ("conv1d.kernel", (5, 6, 32), fan_in_uniform(fan_in=30)),
        ("conv1d.bias", (32,), fan_in_uniform(fan_in=30)),
        ("lstm.kernel", (32, 128), fan_in_uniform(fan_in=32)),
        ("lstm.recurrent_kernel", (32, 128), fan_in_uniform(fan_in=32)),
        ("lstm.bias", (128,), fan_in_uniform(fan_in=32)),
        ("lstm.recurrent_bias", (128,), fan_in_uniform(fan_in=32)),
        ("logits.kernel", (32, 4), fan_in_uniform(fan_in=32)),
        ("logits.bias", (4,), fan_in_uniform(fan_in=32)),
    ]
    return {path: draw(stream_key(seed, f"initial/{path}"), shape) for path, shape, draw in table}


# Training ---------------------------------------------------------------------------------------
# Where each kind of layer keeps the spec's parameters: name -> attribute.
LAYOUTS = {
    keras.layers.Conv1D: {"kernel": "kernel", "bias": "bias"},
    keras.layers.LSTM: {
        "kernel": "cell.kernel",
        "recurrent_kernel": "cell.recurrent_kernel",
        "bias": "cell.input_bias",
        "recurrent_bias": "cell.recurrent_bias",
    },
    keras.layers.Dense: {"kernel": "kernel", "bias": "bias"},
}


def layers_of(layer, path=""):
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


def variables_of(model):
    """{path: variable} of every parameter and running statistic of the spec."""
    found = {
        f"{path}.{name}": reduce(
            lambda holder, part: getattr(holder, part, None), attribute.split("."), layer
        )
        for path, layer in layers_of(model)
        for name, attribute in LAYOUTS.get(type(layer), {}).items()
    }
    return {path: variable for path, variable in found.items() if variable is not None}


def read(variables):
    """Copies of variables, by name."""
    return {name: np.array(variable.numpy()) for name, variable in variables.items()}


def write(variables, arrays):
    """Sets variables. Raises ValueError that lists what is missing, unknown or misshapen."""
    want = {name: tuple(variable.shape) for name, variable in variables.items()}
    have = {name: np.shape(array) for name, array in arrays.items()}
    if wrong := [name for name in want | have if want.get(name) != have.get(name)]:
        listed = "; ".join(f"{n}: wanted {want.get(n)}, given {have.get(n)}" for n in wrong)
        raise ValueError(f"arrays and their shapes do not match: {listed}")
    for name, variable in variables.items():
        variable.assign(arrays[name])


def build(seed=SEED, dtype=DTYPE, device=None):
    """The network with the spec's initial parameters."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        with tf.device(device):
            model = Motion()
            symbols = {n: keras.Input(s[1:], None, type_of(n, dtype)) for n, s in INPUTS.items()}
            apply(model, symbols)  # which creates the variables
    finally:
        keras.config.set_dtype_policy(policy)
    model.seed, model.device = seed, device
    set_parameters(model, initial_parameters(seed))
    return model


def get_parameters(model):
    """{path: array} of parameters and running statistics, in the spec's layout."""
    return read(variables_of(model))


def set_parameters(model, parameters):
    """The inverse of get_parameters. Raises ValueError when names or shapes do not match."""
    write(variables_of(model), parameters)


def type_of(name, dtype):
    """The type of an input or a target, in a model of precision ``dtype``."""
    return "int64" if name in INTEGERS else dtype


def to_tensors(model, arrays, names):
    """The named arrays as tensors of the model's precision."""
    return {n: tf.convert_to_tensor(np.asarray(arrays[n], type_of(n, model.dtype))) for n in names}


@tf.function(autograph=False, reduce_retracing=True)
def infer(model, inputs):
    """The outputs in inference mode, compiled once per model."""
    return to_outputs(apply(model, inputs))


def predict(model, inputs, batch_size=None):
    """{output: array} in inference mode."""
    x = to_tensors(model, inputs, INPUTS)
    with tf.device(model.device):
        found = [infer(model, gather(x, rows)) for rows in batches(x, batch_size or 2**62)]
    return {name: np.concatenate([each[name] for each in found]) for name in OUTPUTS}


RECORD = None


def record(layer, values, names="", images=""):
    """Keeps named values of a forward pass while trace() runs; of images the channels go first."""
    for name, value in () if RECORD is None else values.items():
        if name in names.split():
            RECORD.append((layer, name, value))
        elif name in images.split():
            RECORD.append((layer, name, np.moveaxis(value, -1, 1)))


def trace(model, inputs, targets=None, training=False, step=0):
    """{path: array} of every named value, in the spec's layout."""
    global RECORD
    calls = []
    RECORD = calls
    try:
        with tf.device(model.device):
            outputs = to_outputs(apply(model, to_tensors(model, inputs, INPUTS), step, training))
    finally:
        RECORD = None
    paths = {id(layer): f"{path}." if path else "" for path, layer in layers_of(model)}
    found = {paths[id(layer)] + name: value for layer, name, value in calls}
    return {path: np.array(value) for path, value in (found | outputs).items()}


def loss_and_gradients(model, inputs, targets, sample_weights=None, step=0):
    """The total loss in training mode, and {path: gradient} before clipping."""
    trainer = Trainer(model)
    x, y, *weights = trainer.batch(inputs, targets, sample_weights)
    with tf.device(model.device):
        loss, _, gradients = trainer.differentiate(x, y, step, *weights)
    return float(loss), read(dict(zip(trainer.paths, gradients, strict=True)))


class Trainer:
    """Trains a model. Epoch, order, masks and rate are functions of the number of steps done."""

    def __init__(self, model, learning_rate=None):
        self.model, self.rate, self.steps = model, learning_rate, 0
        self.totals = {}
        trained = {p: each.value for p, each in variables_of(model).items() if each.trainable}
        self.paths, self.parameters = list(trained), list(trained.values())
        with tf.device(model.device):
            self.optimizer = Optimizer(self.parameters)
        self.graphs = {}

    def compiled(self, function, *arguments):
        """Calls a function as a graph: one for full batches, where it is faster, one for others."""
        rows = len(next(iter(arguments[0].values())))
        key = function.__name__, len(arguments), rows if rows == BATCH_SIZE else None
        with tf.device(self.model.device):
            if key not in self.graphs:
                signature = self.signature(key[2])[: len(arguments)]
                traced = tf.function(function, autograph=False)
                self.graphs[key] = traced.get_concrete_function(*signature)
            return self.graphs[key](*arguments)

    def signature(self, rows):
        """What update() takes, for batches of that size or of any."""
        dtype = self.model.dtype
        batch = [
            {n: tf.TensorSpec((rows, *shape[1:]), type_of(n, dtype)) for n, shape in shapes.items()}
            for shapes in (INPUTS, TARGETS)
        ]
        scalars = tuple(tf.TensorSpec((), dtype) for _ in self.optimizer.scalars(0, self.rate))
        return [*batch, tf.TensorSpec((), "int64"), scalars, tf.TensorSpec(None, dtype)]

    def batch(self, inputs, targets, sample_weights=None):
        """A batch of arrays as tensors: inputs, targets and, where there are any, weights."""
        x, y = to_tensors(self.model, inputs, INPUTS), to_tensors(self.model, targets, TARGETS)
        if sample_weights is None:
            return [x, y]
        return [x, y, tf.convert_to_tensor(np.asarray(sample_weights, self.model.dtype))]

    def differentiate(self, inputs, targets, step, weights=None):
        """(loss, what the model returned, gradients) of a batch in training mode."""
        with tf.GradientTape() as tape:
            raw = apply(self.model, inputs, step, training=True)
            loss = total_loss(self.model, raw, targets, weights)
        gradients = tape.gradient(loss, self.parameters, unconnected_gradients="zero")
        # Slices of an embedding's rows become its gradient: a repeated row counts with its sum.
        return loss, raw, [tf.convert_to_tensor(gradient) for gradient in gradients]

    def update(self, inputs, targets, step, scalars, *weights):
        """One step on a batch: its loss, and what the model returned before it."""
        loss, raw, gradients = self.differentiate(inputs, targets, step, *weights)
        self.optimizer.update(gradients, scalars)
        return loss, raw

    def learn(self, inputs, targets, step, scalars):
        """One step on a batch: its loss, and the sums for its epoch."""
        loss, raw = self.update(inputs, targets, step, scalars)
        return loss, batch_sums(loss, raw, targets)

    def score(self, inputs, targets):
        """Loss and sums of a batch in inference mode."""
        raw = apply(self.model, inputs)
        loss = total_loss(self.model, raw, targets)
        return loss, batch_sums(loss, raw, targets)

    def advance(self, update, x, y, *weights):
        """One step on a batch of tensors: what update() or learn() gives."""
        # Rates and bias corrections come from the host, in double precision.
        scalars = self.optimizer.scalars(self.steps, self.rate)
        scalars = tuple(tf.constant(each, self.model.dtype) for each in scalars)
        step = tf.constant(self.steps, tf.int64)
        found = self.compiled(update, x, y, step, scalars, *weights)
        self.steps += 1
        return found

    def step(self, inputs, targets, sample_weights=None):
        """One optimizer step on a batch; its loss, still on the device."""
        return self.advance(self.update, *self.batch(inputs, targets, sample_weights))[0]

    def fit(
        self,
        inputs,
        targets,
        validation=None,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        on_step=None,
        on_epoch=None,
    ):
        """Trains until ``epochs`` epochs are done since step 0; the history by metric."""
        x, y = self.batch(inputs, targets)
        count = len(next(iter(x.values())))
        per_epoch = -(-count // batch_size)
        history = {}
        for epoch in range(self.steps // per_epoch, epochs):
            order = batch_order(self.model.seed, epoch, count)
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

    def run(self, totals, act, x, y, parts, on_step=None, epoch=0):
        """The means of loss and metrics: of what totals hold and of parts of the rows."""
        for rows in parts:
            loss, sums = act(gather(x, rows), gather(y, rows))
            for name, value in {**sums, "samples": len(rows)}.items():
                totals[name] = totals.get(name, 0) + value
            if on_step is not None:
                on_step(step=self.steps - 1, epoch=epoch, loss=loss)
        count = totals.pop("samples")
        return {name: float(total / count) for name, total in totals.items()}

    def evaluate(self, inputs, targets, batch_size=BATCH_SIZE):
        """{metric: value} in inference mode; the loss includes penalties."""
        x, y = self.batch(inputs, targets)
        return self.run({}, partial(self.compiled, self.score), x, y, batches(x, batch_size))

    def slots(self):
        """{name: variable} of the step and what the optimizer keeps for each parameter."""
        kept = {
            f"{Optimizer.kind}.{slot}/{path}": variable
            for slot, variables in self.optimizer.slots.items()
            for path, variable in zip(self.paths, variables, strict=True)
        }
        return {"step": tf.Variable(self.steps, dtype=tf.int64), **kept}

    def state(self):
        """The optimizer's slots in the spec's layout, and the step: flat and neutral."""
        return read(self.slots())

    def load_state(self, state):
        """Continues from a state(), whichever backend wrote it."""
        slots = self.slots()
        write(slots, state)
        self.steps, self.totals = int(slots["step"]), {}


def batches(arrays, size, order=None):
    """The rows of each batch; one without rows where there are none."""
    rows = np.arange(len(next(iter(arrays.values())))) if order is None else order
    return np.split(rows, range(size, len(rows), size))


def gather(tensors, rows):
    """Those rows of every tensor."""
    return {name: tf.gather(tensor, rows) for name, tensor in tensors.items()}


def batch_sums(loss, raw, targets):
    """A batch's loss and metrics, times its size."""
    values = {"loss": loss, **metric_values(raw, targets)}
    size = tf.cast(tf.shape(next(iter(targets.values())))[0], loss.dtype)
    return {name: size * tf.reduce_mean(value) for name, value in values.items()}


# Command line -----------------------------------------------------------------------------------
def save(model, path):
    """Writes parameters and statistics as safetensors, which every backend's load() reads."""
    from safetensors.numpy import save_file

    save_file(get_parameters(model), path, {"spec": NAME})


def load(path, device=None):
    """The model whose parameters were saved at ``path``, in their precision."""
    from safetensors.numpy import load_file

    parameters = load_file(path)
    model = build(dtype=next(iter(parameters.values())).dtype.name, device=device)
    set_parameters(model, parameters)
    return model


def read_part(arrays, part, *groups):
    """A part's arrays by group. Raises an error that names one that is missing or does not fit."""
    rows = None
    for name, shape in (pair for group in groups for pair in group.items()):
        array, wanted = arrays[f"{part}/{name}"], (rows, *shape[1:])
        fits = all(w in (None, size) for w, size in zip(wanted, array.shape, strict=False))
        if not (fits and array.ndim == len(wanted) and array.size and array.dtype.kind in "biuf"):
            raise ValueError(f"{part}/{name} is {array.dtype} {array.shape}, not numbers {wanted}")
        rows = len(array)
    return [{name: arrays[f"{part}/{name}"] for name in group} for group in groups]


def main():
    """Trains, evaluates or predicts with prepared arrays named part/name."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("action", choices=("train", "evaluate", "predict"))
    parser.add_argument("data", help="npz with train/..., validation/..., test/...")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--weights", help="safetensors to start from")
    parser.add_argument("--out", help="where to write the weights or predictions")
    options = parser.parse_args()
    train, predicting = options.action == "train", options.action == "predict"
    parts = ("train", "validation", "test") if train else ("test",)
    groups = [INPUTS] if predicting else [INPUTS, TARGETS]
    out = options.out or ("predictions.npz" if predicting else f"{NAME}.safetensors")
    try:
        arrays = np.load(options.data)
        there = [p for p in parts if p == parts[0] or any(f"{p}/{n}" in arrays for n in TARGETS)]
        data = {part: read_part(arrays, part, *groups) for part in there}
        model = load(options.weights) if options.weights else build()
        if train or predicting:
            open(out, "ab").close()  # it fails now and not after the training
    except Exception as error:
        parser.error(str(error))
    if predicting:
        with open(out, "wb") as file:
            np.savez(file, **predict(model, *data["test"], BATCH_SIZE))
        return
    trainer = Trainer(model)
    if train:
        more = {"validation": data.get("validation"), "epochs": options.epochs}
        trainer.fit(*data["train"], **more, on_epoch=lambda **epoch: print(epoch))
        save(model, out)
    if "test" in data:
        print("test:", trainer.evaluate(*data["test"]))


if __name__ == "__main__":
    main()

"""breast_cancer for PyTorch, written by specc 0.1.0.

From breast_cancer.yaml (498639c1501a).
python breast_cancer_torch.py train data.npz --epochs 3 --out w.safetensors
python breast_cancer_torch.py evaluate data.npz --weights w.safetensors
python breast_cancer_torch.py predict data.npz --weights w.safetensors --out p.npz
`specc data breast_cancer.yaml -o data.npz` writes the prepared arrays.
"""

import argparse
import hashlib
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

NAME = "breast_cancer"
BACKEND = "torch"
SEED = 7
DTYPE = "float32"
INPUTS = {"measurements": (None, 30)}
TARGETS = {"benign": (None, 1)}
OUTPUTS = {"probability": (None, 1)}
INTEGERS = {"benign"}
EPOCHS = 60
BATCH_SIZE = 32


# Layers -----------------------------------------------------------------------------------------
class Dropout(nn.Module):
    """Dropout whose masks derive from (seed, path, step): the same on every backend."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def seed(self, seed, path):
        """Fixes the stream of this layer's masks."""
        self.where = seed, path

    def forward(self, x, step, call=0):
        if not self.training or self.rate == 0:
            return x
        return dropout(x, self.rate, layer_key(*self.where, call), step)


# Model ------------------------------------------------------------------------------------------
class BreastCancer(nn.Module):
    """The network breast_cancer."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(30, 16)
        self.dropout = Dropout(0.2)
        self.probability = nn.Linear(16, 1)

    def forward(self, measurements, step):
        # measurements: (batch, 30)
        dense = F.relu(self.dense(measurements))  # (batch, 16)
        dropout_1 = self.dropout(dense, step)  # (batch, 16)
        record(self, {"dense": dense, "dropout": dropout_1})
        return self.probability(dropout_1)


def apply(model, inputs, step):
    """What the model returns for a batch of tensors by input."""
    return model(inputs["measurements"], step)


def to_outputs(raw):
    """The spec's outputs, from what the model returns."""
    logits = raw
    return {"probability": torch.sigmoid(logits)}


# Losses and metrics -----------------------------------------------------------------------------
def weighted_mean(values, sample_weights=None, mask=None):
    """The mean of a loss's values; a weight counts for all values of its sample."""
    if sample_weights is None and mask is None:
        return values.mean()
    weights = torch.ones_like(values)
    if sample_weights is not None:
        weights = weights * sample_weights.reshape(-1, *[1] * (values.ndim - 1))
    total = weights.numel() if mask is None else mask.sum()
    return (weights * values).sum() / total


def binary_accuracy(prediction, target):
    """1 where a probability is above 0.5 just when the target is 1."""
    return ((prediction > 0.5) == (target > 0.5)).to(prediction.dtype)


def total_loss(model, raw, targets, sample_weights=None):
    """The weighted sum of all losses and penalties: a scalar."""
    logits = raw
    return (
        weighted_mean(
            F.binary_cross_entropy_with_logits(
                logits, targets["benign"].to(logits.dtype), reduction="none"
            ).mean(-1),
            sample_weights,
        )
        + 0.001 * model.dense.weight.square().sum()
    )


def metric_values(raw, targets):
    """{metric: one value per sample}."""
    outputs = to_outputs(raw)
    return {"accuracy": binary_accuracy(outputs["probability"], targets["benign"])}


# Optimizer and schedule -------------------------------------------------------------------------
def learning_rate(step):
    """The constant schedule; steps count from 0."""
    return 0.001


class Optimizer:
    """RMSprop (Hinton, 2012)."""

    kind = "rmsprop"
    rho = 0.9
    epsilon = 1e-07

    def __init__(self, parameters):
        self.parameters = parameters
        self.slots = {"v": [torch.zeros_like(p) for p in parameters]}

    def scalars(self, step, rate=None):
        """What changes with the step, computed in double precision."""
        rate = learning_rate(step) if rate is None else rate
        return (rate,)

    @torch.no_grad()
    def update(self, gradients, scalars):
        """One step, in place."""
        (rate,) = scalars
        for parameter, gradient, v in zip(
            self.parameters, gradients, *self.slots.values(), strict=True
        ):
            v.lerp_(gradient * gradient, 1 - self.rho)
            parameter.addcdiv_(gradient, torch.sqrt(v + self.epsilon), value=-rate)


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


def permutation(key, count):
    """A random order of range(count): it sorts the stream's words, equal ones by index."""
    return np.argsort(random_words(key, count), kind="stable")


def batch_order(seed, epoch, count):
    """The order in which the examples of an epoch (counted from 0) are visited."""
    return permutation(stream_key(seed, f"order/{epoch}"), count)


def layer_key(seed, path, call=0):
    """The key of a layer's dropout masks; each call of a shared layer has its own."""
    return stream_key(seed, f"mask/{path}@{call}" if call else f"mask/{path}")


def step_key(key, step):
    """The key of a layer's mask at a step: word number step of the layer's stream."""
    z = (key + step * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def zeros():
    """All 0."""
    return lambda key, shape: np.zeros(shape)


def uniform(low, high):
    """U(low, high)."""
    return lambda key, shape: (
        low + (high - low) * random_uniform(key, math.prod(shape)).reshape(shape)
    )


def glorot_uniform(fan_in, fan_out, gain=1.0):
    """U(-a, a), a = gain sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    limit = gain * math.sqrt(6 / (fan_in + fan_out))
    return uniform(-limit, limit)


def dropout_mask(shape, rate, key, step, dtype, first_row=0, device=None):
    """A mask of 0 and 1 / (1 - rate), the same on every backend and device; 0 <= rate < 1.

    Element e of the global batch, counted over the spec's layout, is kept where 16-bit lane e % 4
    of word e // 4 of the step's stream is below round((1 - rate) * 65536). This part of the batch
    starts at row first_row. Words are int64: shifts are masked, and with their sign bits flipped
    the lanes compare as int16.
    """
    size = math.prod(shape)
    word, skip = divmod(first_row * math.prod(shape[1:]), 4)
    key = step_key(key, step)
    z = torch.arange(word, word + -(-(skip + size) // 4), device=device)
    z.mul_(0x9E3779B97F4A7C15 - 2**64).add_(key - 2**64 if key >= 2**63 else key)
    shifted = z >> 30
    z.bitwise_xor_(shifted.bitwise_and_(2**34 - 1)).mul_(0xBF58476D1CE4E5B9 - 2**64)
    torch.bitwise_right_shift(z, 27, out=shifted)
    z.bitwise_xor_(shifted.bitwise_and_(2**37 - 1)).mul_(0x94D049BB133111EB - 2**64)
    torch.bitwise_right_shift(z, 31, out=shifted)
    z.bitwise_xor_(shifted.bitwise_and_(2**33 - 1)).bitwise_xor_(0x8000800080008000 - 2**64)
    kept = z.view(torch.int16) <= round((1 - rate) * 65536) - 32769
    return kept[skip : skip + size].to(dtype).mul_(1 / (1 - rate)).view(shape)


def dropout(x, rate, key, step, first_row=0):
    """Inverted dropout of x, in the spec's layout; (key, step) alone decide the mask."""
    return x * dropout_mask(tuple(x.shape), rate, key, step, x.dtype, first_row, x.device)


def initial_parameters(seed=SEED):
    """Float64 values at the start: each tensor derives from (seed, path, shape) alone."""
    table = [
        ("dense.kernel", (30, 16), glorot_uniform(fan_in=30, fan_out=16)),
        ("dense.bias", (16,), zeros()),
        ("probability.kernel", (16, 1), glorot_uniform(fan_in=16, fan_out=1)),
        ("probability.bias", (1,), zeros()),
    ]
    return {path: draw(stream_key(seed, f"initial/{path}"), shape) for path, shape, draw in table}


# Training ---------------------------------------------------------------------------------------
# Where each kind of layer keeps the spec's parameters: name -> (attributes, axes, gates).
LAYOUTS = {nn.Linear: {"kernel": (("weight",), (1, 0), ()), "bias": (("bias",), (), ())}}


def check_names(wanted, given):
    """Raises ValueError that lists every missing, unknown or wrongly shaped array."""
    want = {name: np.shape(array) for name, array in wanted.items()}
    have = {name: np.shape(array) for name, array in given.items()}
    wrong = [name for name in want | have if want.get(name) != have.get(name)]
    if wrong:
        found = "; ".join(f"{n}: wanted {want.get(n)}, given {have.get(n)}" for n in wrong)
        raise ValueError(f"arrays and their shapes do not match: {found}")


def slices(arrays, batch_size):
    """Consecutive batches of rows; one empty batch where there are none."""
    count = len(next(iter(arrays.values())))
    for start in range(0, max(count, 1), batch_size):
        yield slice(start, min(start + batch_size, count))


def rows_of(arrays, rows):
    """Those rows of every array."""
    return {name: array[rows] for name, array in arrays.items()}


def means(totals):
    """An epoch's means from its sums; reading them waits for the device."""
    count = totals.pop("count", 1)
    return {name: float(total) / count for name, total in totals.items()}


def modules_of(model):
    """(path, module): an attribute whose name was taken has an underscore more than the spec's."""
    for path, module in model.named_modules():
        yield ".".join(part.removesuffix("_") for part in path.split(".")), module


def tensors_of(model):
    """(path, tensors, axes, gates) of every parameter and running statistic of the spec."""
    for path, module in modules_of(model):
        for name, (attributes, axes, gates) in LAYOUTS.get(type(module), {}).items():
            tensors = [getattr(module, attribute, None) for attribute in attributes]
            if tensors[0] is not None:
                yield f"{path}.{name}", tensors, axes, gates


def to_spec(tensors, axes, gates):
    """A copy of PyTorch's arrays in the spec's layout."""
    array = np.stack([tensor.detach().cpu().numpy() for tensor in tensors])
    array = array if len(tensors) > 1 else array[0]
    array = array.transpose(axes) if axes else array
    return np.ascontiguousarray(array)


def from_spec(array, tensors, axes, gates):
    """Copies an array in the spec's layout into PyTorch's tensors."""
    array = array.transpose(np.argsort(axes)) if axes else array
    with torch.no_grad():
        for tensor, part in zip(tensors, array if len(tensors) > 1 else [array], strict=True):
            tensor.copy_(torch.tensor(part))


def build(seed=SEED, dtype=DTYPE, device=None):
    """The network with the spec's initial parameters."""
    model = BreastCancer().to(device=device, dtype=getattr(torch, dtype))
    model.seed = seed
    set_parameters(model, initial_parameters(seed))
    for path, module in modules_of(model):
        if isinstance(module, Dropout):
            module.seed(seed, path)
    return model


def get_parameters(model):
    """{path: array} of parameters and running statistics, in the spec's layout."""
    return {path: to_spec(*where) for path, *where in tensors_of(model)}


def set_parameters(model, parameters):
    """The inverse of get_parameters. Raises ValueError when names or shapes do not match."""
    check_names(get_parameters(model), parameters)
    for path, *where in tensors_of(model):
        from_spec(np.asarray(parameters[path]), *where)


def to_tensors(model, arrays, names):
    """The named arrays as tensors of the model's precision, on its device."""
    like = next(model.parameters())
    types = dict.fromkeys(INTEGERS, torch.int64)
    return {
        name: torch.as_tensor(arrays[name], dtype=types.get(name, like.dtype), device=like.device)
        for name in names
    }


def predict(model, inputs, batch_size=None):
    """{output: array} in inference mode."""
    model.eval()
    x = to_tensors(model, inputs, INPUTS)
    with torch.inference_mode():
        batches = [
            to_outputs(apply(model, rows_of(x, rows), 0)) for rows in slices(x, batch_size or 2**62)
        ]
    return {name: torch.cat([batch[name] for batch in batches]).cpu().numpy() for name in OUTPUTS}


RECORD = None


def record(module, values):
    """Keeps the named values of a forward pass while trace() runs; otherwise nothing."""
    if RECORD is not None:
        RECORD.append((module, values))


def trace(model, inputs, targets=None, training=False, step=0):
    """{path: array} of every named value, in the spec's layout."""
    global RECORD
    model.train(training)
    RECORD = []
    try:
        with torch.no_grad():
            outputs = to_outputs(apply(model, to_tensors(model, inputs, INPUTS), step))
        calls = RECORD
    finally:
        RECORD = None
    paths = {id(module): path for path, module in modules_of(model)}
    found = {
        f"{paths[id(module)]}.{name}".lstrip("."): value
        for module, values in calls
        for name, value in values.items()
    }
    return {path: value.cpu().numpy().copy() for path, value in (found | outputs).items()}


def loss_and_gradients(model, inputs, targets, sample_weights=None, step=0):
    """The total loss in training mode, and {path: gradient} before clipping."""
    trainer = Trainer(model)
    x, y, weights = trainer.batch(inputs, targets, sample_weights)
    loss, _, gradients = trainer.differentiate(x, y, weights, step)
    named = dict(zip(map(id, trainer.parameters), gradients, strict=True))
    return float(loss), {
        path: to_spec([named[id(tensor)] for tensor in tensors], *layout)
        for path, tensors, *layout in tensors_of(model)
        if id(tensors[0]) in named
    }


class Trainer:
    """Trains a model. Epoch, order, masks and rate are functions of the number of steps done."""

    def __init__(self, model, learning_rate=None):
        self.model, self.rate, self.steps = model, learning_rate, 0
        found = [tensor for _, tensors, *_ in tensors_of(model) for tensor in tensors]
        self.parameters = [tensor for tensor in found if tensor.requires_grad]
        self.optimizer = Optimizer(self.parameters)

    def batch(self, inputs, targets, sample_weights):
        """A batch of arrays as tensors on the model's device."""
        x, y = to_tensors(self.model, inputs, INPUTS), to_tensors(self.model, targets, TARGETS)
        if sample_weights is not None:
            sample_weights = torch.as_tensor(sample_weights).to(self.parameters[0])
        return [x, y, sample_weights]

    def differentiate(self, inputs, targets, weights, step):
        """(loss, what the model returned, gradients) of a batch in training mode."""
        self.model.train()
        raw = apply(self.model, inputs, step)
        loss = total_loss(self.model, raw, targets, weights)
        for parameter in self.parameters:
            parameter.grad = None
        loss.backward()
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        return loss.detach(), raw, gradients

    def advance(self, inputs, targets, weights=None):
        """One step on a batch of tensors: (loss, what the model returned before it)."""
        loss, raw, gradients = self.differentiate(inputs, targets, weights, self.steps)
        self.optimizer.update(gradients, self.optimizer.scalars(self.steps, self.rate))
        self.steps += 1
        return loss, raw

    def step(self, inputs, targets, sample_weights=None):
        """One optimizer step on a batch; its loss, still on the device."""
        return self.advance(*self.batch(inputs, targets, sample_weights))[0]

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
        x, y, _ = self.batch(inputs, targets, None)
        count = len(next(iter(x.values())))
        per_epoch = -(-count // batch_size)
        history = {}
        for epoch in range(self.steps // per_epoch, epochs):
            order = torch.from_numpy(batch_order(self.model.seed, epoch, count))
            totals = {}
            for rows in torch.split(order, batch_size)[self.steps % per_epoch :]:
                expected = rows_of(y, rows)
                loss, raw = self.advance(rows_of(x, rows), expected)
                add_batch(totals, loss, raw, expected)
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

    def evaluate(self, inputs, targets, batch_size=BATCH_SIZE):
        """{metric: value} in inference mode; the loss includes penalties."""
        self.model.eval()
        x, y, _ = self.batch(inputs, targets, None)
        totals = {}
        with torch.inference_mode():
            for rows in slices(x, batch_size):
                raw, expected = apply(self.model, rows_of(x, rows), 0), rows_of(y, rows)
                add_batch(totals, total_loss(self.model, raw, expected), raw, expected)
        return means(totals)

    def slots(self):
        """(name, tensors, axes, gates) of what the optimizer keeps for each parameter."""
        index = {id(tensor): i for i, tensor in enumerate(self.parameters)}
        for slot, values in self.optimizer.slots.items():
            for path, tensors, *layout in tensors_of(self.model):
                if id(tensors[0]) in index:
                    held = [values[index[id(tensor)]] for tensor in tensors]
                    yield f"{Optimizer.kind}.{slot}/{path}", held, *layout

    def state(self):
        """The optimizer's slots in the spec's layout, and the step: flat and neutral."""
        slots = {name: to_spec(*where) for name, *where in self.slots()}
        return {"step": np.array(self.steps), **slots}

    def load_state(self, state):
        """Continues from a state(), whichever backend wrote it."""
        check_names(self.state(), state)
        self.steps = int(state["step"])
        for name, *where in self.slots():
            from_spec(state[name], *where)


def add_batch(totals, loss, raw, targets):
    """Adds a batch's loss and metrics to the sums of its epoch, weighted by its size."""
    size = len(next(iter(targets.values())))
    values = {name: each.mean() for name, each in metric_values(raw, targets).items()}
    for name, value in {"loss": loss, **values}.items():
        totals[name] = totals.get(name, 0.0) + value.detach() * size
    totals["count"] = totals.get("count", 0) + size


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


def main():
    """The command line: train, evaluate or predict with prepared arrays named part/name."""
    parser = argparse.ArgumentParser(description=NAME)
    parser.add_argument("action", choices=("train", "evaluate", "predict"))
    parser.add_argument("data", help="npz with train/..., validation/..., test/...")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--weights", help="safetensors to start from")
    parser.add_argument("--out", help="where to write the weights or predictions")
    options = parser.parse_args()
    arrays = np.load(options.data)
    model = load(options.weights) if options.weights else build()
    trainer = Trainer(model)

    def part(name, *groups):
        return [{n: arrays[f"{name}/{n}"] for n in names} for names in groups]

    if options.action == "train":
        data = part("train", INPUTS, TARGETS)
        trainer.fit(*data, epochs=options.epochs, on_epoch=lambda **epoch: print(epoch))
        save(model, options.out or f"{NAME}.safetensors")
    if options.action == "predict":
        outputs = predict(model, *part("test", INPUTS), BATCH_SIZE)
        np.savez(options.out or "predictions.npz", **outputs)
    else:
        print("test:", trainer.evaluate(*part("test", INPUTS, TARGETS)))


if __name__ == "__main__":
    main()

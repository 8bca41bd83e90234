"""mnist_cnn for PyTorch, written by specc 0.1.0.

From mnist_cnn.yaml (654a942cd0dd).
python mnist_cnn_torch.py train data.npz --epochs 3 --out w.safetensors
python mnist_cnn_torch.py evaluate data.npz --weights w.safetensors
python mnist_cnn_torch.py predict data.npz --weights w.safetensors --out p.npz
`specc data mnist_cnn.yaml -o data.npz` writes the prepared arrays.
"""

import argparse
import hashlib
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

NAME = "mnist_cnn"
BACKEND = "torch"
SEED = 7
DTYPE = "float32"
INPUTS = {"image": (None, 28, 28, 1)}
TARGETS = {"label": (None,)}
OUTPUTS = {"probabilities": (None, 10)}
INTEGERS = {"label"}
EPOCHS = 10
BATCH_SIZE = 64


# Model ------------------------------------------------------------------------------------------
class MnistCnn(nn.Module):
    """The network mnist_cnn."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.conv3 = nn.Conv2d(64, 64, 3)
        self.hidden = nn.Linear(576, 64)
        self.probabilities = nn.Linear(64, 10)

    def forward(self, image):
        # image: (batch, 28, 28, 1)
        conv1 = F.relu(self.conv1(image.permute(0, 3, 1, 2)))  # (batch, 32, 26, 26)
        max_pool2d = F.max_pool2d(conv1, 2)  # (batch, 32, 13, 13)
        conv2 = F.relu(self.conv2(max_pool2d))  # (batch, 64, 11, 11)
        max_pool2d_2 = F.max_pool2d(conv2, 2)  # (batch, 64, 5, 5)
        conv3 = F.relu(self.conv3(max_pool2d_2))  # (batch, 64, 3, 3)
        flatten = conv3.permute(0, 2, 3, 1).flatten(1)  # (batch, 576)
        hidden = F.relu(self.hidden(flatten))  # (batch, 64)
        record(
            self,
            {
                "conv1": conv1.permute(0, 2, 3, 1),
                "max_pool2d": max_pool2d.permute(0, 2, 3, 1),
                "conv2": conv2.permute(0, 2, 3, 1),
                "max_pool2d_2": max_pool2d_2.permute(0, 2, 3, 1),
                "conv3": conv3.permute(0, 2, 3, 1),
                "flatten": flatten,
                "hidden": hidden,
            },
        )
        return self.probabilities(hidden)


def apply(model, inputs, step):
    """What the model returns for a batch of tensors by input."""
    return model(inputs["image"])


def to_outputs(raw):
    """The spec's outputs, from what the model returns."""
    logits = raw
    return {"probabilities": torch.softmax(logits, dim=-1)}


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


def sparse_categorical_accuracy(prediction, target):
    """1 where the largest prediction (the first among equals) is the target's class."""
    return (prediction.argmax(-1) == target).to(prediction.dtype)


def total_loss(model, raw, targets, sample_weights=None):
    """The weighted sum of all losses and penalties: a scalar."""
    logits = raw
    return weighted_mean(
        F.cross_entropy(logits, targets["label"], reduction="none"), sample_weights
    )


def metric_values(raw, targets):
    """{metric: one value per sample}."""
    outputs = to_outputs(raw)
    return {"accuracy": sparse_categorical_accuracy(outputs["probabilities"], targets["label"])}


# Optimizer and schedule -------------------------------------------------------------------------
def learning_rate(step):
    """The constant schedule; steps count from 0."""
    return 0.001


class Optimizer:
    """Adam (Kingma and Ba, 2015). Epsilon is added before the bias correction."""

    kind = "adam"
    beta_2 = 0.999
    epsilon = 1e-07

    def __init__(self, parameters):
        self.parameters = parameters
        self.native = torch.optim.Adam(parameters, betas=(0.9, 0.999), fused=True)
        state = self.native.state
        for p in parameters:
            state[p] = {
                "step": torch.zeros((), dtype=torch.float32, device=p.device),
                "exp_avg": torch.zeros_like(p),
                "exp_avg_sq": torch.zeros_like(p),
            }
        self.slots = {
            "m": [state[p]["exp_avg"] for p in parameters],
            "v": [state[p]["exp_avg_sq"] for p in parameters],
        }
        self.steps = 0

    def scalars(self, step, rate=None):
        """What changes with the step, computed in double precision."""
        rate = learning_rate(step) if rate is None else rate
        t = step + 1
        return rate, self.epsilon / math.sqrt(1 - self.beta_2**t), float(step)

    def update(self, gradients, scalars):
        """One step, in place."""
        rate, epsilon, step = scalars
        if step != self.steps:  # after loading a state: torch.optim counts by itself
            for state in self.native.state.values():
                state["step"].fill_(step)
        self.steps = step + 1
        for group in self.native.param_groups:
            group["lr"] = rate
            group["eps"] = epsilon
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.native.step()


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


def initial_parameters(seed=SEED):
    """Float64 values at the start: each tensor derives from (seed, path, shape) alone."""
    table = [
        ("conv1.kernel", (3, 3, 1, 32), glorot_uniform(fan_in=9, fan_out=288)),
        ("conv1.bias", (32,), zeros()),
        ("conv2.kernel", (3, 3, 32, 64), glorot_uniform(fan_in=288, fan_out=576)),
        ("conv2.bias", (64,), zeros()),
        ("conv3.kernel", (3, 3, 64, 64), glorot_uniform(fan_in=576, fan_out=576)),
        ("conv3.bias", (64,), zeros()),
        ("hidden.kernel", (576, 64), glorot_uniform(fan_in=576, fan_out=64)),
        ("hidden.bias", (64,), zeros()),
        ("probabilities.kernel", (64, 10), glorot_uniform(fan_in=64, fan_out=10)),
        ("probabilities.bias", (10,), zeros()),
    ]
    return {path: draw(stream_key(seed, f"initial/{path}"), shape) for path, shape, draw in table}


# Training ---------------------------------------------------------------------------------------
# Where each kind of layer keeps the spec's parameters: name -> (attributes, axes, gates).
LAYOUTS = {
    nn.Conv2d: {"kernel": (("weight",), (2, 3, 1, 0), ()), "bias": (("bias",), (), ())},
    nn.Linear: {"kernel": (("weight",), (1, 0), ()), "bias": (("bias",), (), ())},
}


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
    model = MnistCnn().to(device=device, dtype=getattr(torch, dtype))
    model = model.to(memory_format=torch.channels_last)
    model.seed = seed
    set_parameters(model, initial_parameters(seed))
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

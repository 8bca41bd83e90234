"""text_lstm for PyTorch, written by specc 0.1.0 from text_lstm.yaml (b4758f5324cd).

python text_lstm_torch.py train data.npz --epochs 3 --out w.safetensors
`specc data text_lstm.yaml -o data.npz` writes the arrays; --help shows more.
"""

import argparse
import hashlib
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

NAME = "text_lstm"
BACKEND = "torch"
SEED = 7
DTYPE = "float32"
INPUTS = {"words": (None, 40)}
TARGETS = {"genre": (None,)}
OUTPUTS = {"probabilities": (None, 4)}
INTEGERS = {"genre", "words"}
EPOCHS = 3
BATCH_SIZE = 32


# Layers -----------------------------------------------------------------------------------------
def one_bias(module):
    """A recurrent layer with one bias, as in Keras: PyTorch's second is 0 and stays so."""
    for name, parameter in module.named_parameters():
        if name.startswith("bias_hh"):
            nn.init.zeros_(parameter).requires_grad_(False)
    return module


def masked_rnn(module, x, mask, state=None, with_state=False):
    """What nn.LSTM or its kin returns for the steps of x (N, T, D) where mask (N, T) is True.

    The valid steps, wherever they are, move to the front; their outputs move back. At other steps
    the output repeats the last one, and is 0 before the first; in a bidirectional layer it is 0.
    The state, if asked for, is that after the last valid step.
    """
    order = mask.logical_not().byte().argsort(dim=1, stable=True)
    steps = x.gather(1, order.unsqueeze(-1).expand_as(x))
    count = mask.cumsum(1)
    if with_state or module.bidirectional:
        outputs, last = packed_rnn(module, steps, count[:, -1], state)
    else:  # what comes after the valid steps does not change their outputs
        outputs, last = module(steps, state)[0], None
    index = (count - 1).clamp(min=0).unsqueeze(-1).expand(-1, -1, outputs.shape[-1])
    shown = mask if module.bidirectional else count > 0
    return outputs.gather(1, index) * shown.unsqueeze(-1), last


def packed_rnn(module, steps, lengths, state):
    """``module`` on sequences (N, T, D) of these lengths; an empty one keeps its initial state."""
    packed = pack_padded_sequence(
        steps, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
    )
    outputs, last = module(packed, state)
    outputs, _ = pad_packed_sequence(outputs, batch_first=True, total_length=steps.shape[1])
    empty = (lengths == 0).unsqueeze(-1)
    if isinstance(last, tuple):
        first = state or (torch.zeros_like(last[0]),) * 2
        return outputs, tuple(torch.where(empty, a, b) for a, b in zip(first, last, strict=True))
    first = torch.zeros_like(last) if state is None else state
    return outputs, torch.where(empty, first, last)


# Model ------------------------------------------------------------------------------------------
class TextLstm(nn.Module):
    """The network text_lstm."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(4000, 64)
        self.lstm = one_bias(nn.LSTM(64, 64, batch_first=True))
        self.probabilities = nn.Linear(64, 4)

    def forward(self, words):
        # words: (batch, 40)
        embedding = self.embedding(words)  # (batch, 40, 64)
        lstm = masked_rnn(self.lstm, embedding, words != 0)[0][:, -1]  # (batch, 64)
        record(self, locals(), "embedding lstm")
        return self.probabilities(lstm)


def to_outputs(logits):
    """The spec's outputs, from what the model returns."""
    return {"probabilities": torch.softmax(logits, dim=-1)}


# Losses and metrics -----------------------------------------------------------------------------
def weighted_mean(values, weights=None):
    """The mean of a loss's values; a weight counts for all values of its sample."""
    weights = weights.reshape(-1, *[1] * (values.ndim - 1)).expand_as(values)
    return (weights * values).mean()


def sparse_categorical_accuracy(prediction, target):
    """1 where the largest prediction (the first among equals) is the target's class."""
    return (prediction.argmax(-1) == target).to(prediction.dtype)


def total_loss(model, logits, targets, weights=None):
    """The weighted sum of all losses and penalties: a scalar."""
    if weights is None:
        return F.cross_entropy(logits, targets["genre"])
    return weighted_mean(F.cross_entropy(logits, targets["genre"], reduction="none"), weights)


def metric_values(raw, targets):
    """{metric: one value per sample}."""
    outputs = to_outputs(raw)
    return {"accuracy": sparse_categorical_accuracy(outputs["probabilities"], targets["genre"])}


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
        self.slots = {slot: [torch.zeros_like(p) for p in parameters] for slot in ("m", "v")}
        for p, m, v in zip(parameters, *self.slots.values(), strict=True):
            self.native.state[p] = {
                "step": torch.zeros((), dtype=torch.float32, device=p.device),
                "exp_avg": m,
                "exp_avg_sq": v,
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
            group.update(lr=rate, eps=epsilon)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.native.step()


def clip_gradients(gradients):
    """Clips by global norm."""
    norms = [torch.linalg.vector_norm(gradient) for gradient in gradients]
    norm = torch.linalg.vector_norm(torch.stack(norms))
    scale = 1.0 / torch.clamp(norm, min=1.0)
    scale = scale + (norm - norm)  # NaN where the norm is not finite
    return [gradient * scale for gradient in gradients]


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


def random_normal(key, count, low=-math.inf, high=math.inf):
    """Standard normal values in [low, high], by the ratio of uniforms.

    Kinderman and Monahan (1977): of each pair (u, v) keep x = sqrt(8/e) (v - 1/2) / u where
    x^2 <= -4 log(u). The logarithm only decides, so that its rounding never reaches a value.
    """
    values = np.empty(count)
    filled = start = 0
    while filled < count:
        pairs = min(2 * (count - filled) + 16, 16384)  # a block that stays in the cache
        u, v = random_uniform(key, 2 * pairs, start).reshape(pairs, 2).T
        u = 1 - u  # in (0, 1]
        x = math.sqrt(8 / math.e) * (v - 0.5) / u
        x = x[(x * x <= -4 * np.log(u)) & (x >= low) & (x <= high)][: count - filled]
        values[filled : filled + x.size] = x
        filled += x.size
        start += 2 * pairs
    return values


def batch_order(seed, epoch, count):
    """The order in which an epoch, counted from 0, visits the examples: that of random words."""
    return np.argsort(random_words(stream_key(seed, f"order/{epoch}"), count), kind="stable")


def zeros():
    """All 0."""
    return lambda key, shape: np.zeros(shape)


def uniform(low, high):
    """U(low, high)."""
    return lambda key, shape: (
        low + (high - low) * random_uniform(key, math.prod(shape)).reshape(shape)
    )


def orthogonal(gain=1.0):
    """Orthonormal columns (or rows, the fewer) of the matrix that joins all axes but the last.

    QR of a normal matrix, with the signs that make the factor unique (Saxe et al., 2014).
    """

    def values(key, shape):
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = random_normal(key, rows * columns).reshape(max(rows, columns), min(rows, columns))
        q, r = np.linalg.qr(tall)
        q *= np.where(np.diag(r) < 0, -1.0, 1.0)
        return gain * (q if rows >= columns else q.T).reshape(shape)

    return values


def glorot_uniform(fan_in, fan_out, gain=1.0):
    """U(-a, a), a = gain sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    limit = gain * math.sqrt(6 / (fan_in + fan_out))
    return uniform(-limit, limit)


def unit_forget_bias():
    """An LSTM's bias with 1 in the slice of the forget gate (gates i, f, c, o), 0 elsewhere."""

    def values(key, shape):
        bias = np.zeros(shape)
        bias[shape[0] // 4 : shape[0] // 2] = 1.0
        return bias

    return values


def initial_parameters(seed=SEED):
    """Float64 values at the start: each tensor derives from (seed, path, shape) alone."""
    table = [
        ("embedding.embeddings", (4000, 64), uniform(low=-0.05, high=0.05)),
        ("lstm.kernel", (64, 256), glorot_uniform(fan_in=64, fan_out=256)),
        ("lstm.recurrent_kernel", (64, 256), orthogonal()),
        ("lstm.bias", (256,), unit_forget_bias()),
        ("probabilities.kernel", (64, 4), glorot_uniform(fan_in=64, fan_out=4)),
        ("probabilities.bias", (4,), zeros()),
    ]
    return {path: draw(stream_key(seed, f"initial/{path}"), shape) for path, shape, draw in table}


# Training ---------------------------------------------------------------------------------------
# Where each kind of layer keeps the spec's parameters: name -> (attributes, axes).
LAYOUTS = {
    nn.Embedding: {"embeddings": ("weight", ())},
    nn.LSTM: {
        "kernel": ("weight_ih_l0", (1, 0)),
        "recurrent_kernel": ("weight_hh_l0", (1, 0)),
        "bias": ("bias_ih_l0", ()),
    },
    nn.Linear: {"kernel": ("weight", (1, 0)), "bias": ("bias", ())},
}


def tensors_of(model):
    """(path, tensors, layout) of every parameter and running statistic of the spec."""
    for path, module in model.named_modules():
        for name, (attributes, layout) in LAYOUTS.get(type(module), {}).items():
            tensors = [getattr(module, attribute, None) for attribute in attributes.split()]
            if tensors[0] is not None:
                yield f"{path}.{name}", tensors, layout


def read(places):
    """{name: a copy in the spec's layout} of (name, tensors, layout)."""
    found = {}
    for name, tensors, axes in places:
        array = torch.stack(tensors).squeeze(0).detach().cpu().numpy()
        array = array.transpose(axes) if axes else array
        found[name] = np.asarray(array, order="C")
    return found


@torch.no_grad()
def write(places, arrays):
    """The inverse of read(). Raises ValueError that lists what is missing, unknown or misshapen."""
    places = list(places)
    want = {name: array.shape for name, array in read(places).items()}
    have = {name: np.shape(array) for name, array in arrays.items()}
    if wrong := [name for name in want | have if want.get(name) != have.get(name)]:
        listed = "; ".join(f"{n}: wanted {want.get(n)}, given {have.get(n)}" for n in wrong)
        raise ValueError(f"arrays and their shapes do not match: {listed}")
    for name, tensors, axes in places:
        array = np.asarray(arrays[name])
        array = array.transpose(np.argsort(axes)) if axes else array
        for tensor, part in zip(tensors, array if len(tensors) > 1 else [array], strict=True):
            tensor.copy_(torch.tensor(part))


def build(seed=SEED, dtype=DTYPE, device=None):
    """The network with the spec's initial parameters."""
    model = TextLstm().to(device=device, dtype=getattr(torch, dtype))
    model.seed = seed
    set_parameters(model, initial_parameters(seed))
    return model


def get_parameters(model):
    """{path: array} of parameters and running statistics, in the spec's layout."""
    return read(tensors_of(model))


def set_parameters(model, parameters):
    """The inverse of get_parameters. Raises ValueError when names or shapes do not match."""
    write(tensors_of(model), parameters)


def to_tensors(model, arrays, names):
    """The named arrays as tensors of the model's precision, on its device."""
    like = next(model.parameters())
    types = dict.fromkeys(INTEGERS, torch.int64)
    tensors = {n: torch.as_tensor(arrays[n]) for n in names}
    return {n: t.to(like.device, types.get(n, like.dtype)) for n, t in tensors.items()}


@torch.inference_mode()
def predict(model, inputs, batch_size=None):
    """{output: array} in inference mode."""
    model.eval()
    x = to_tensors(model, inputs, INPUTS).values()
    batches = zip(*(torch.split(each, batch_size or 2**62) for each in x), strict=True)
    found = [to_outputs(model(*batch)) for batch in batches]
    return {name: torch.cat([each[name] for each in found]).cpu().numpy() for name in OUTPUTS}


RECORD = None


def record(module, values, names="", images=""):
    """Keeps named values of a forward pass while trace() runs; of images the channels go last."""
    for name, value in () if RECORD is None else values.items():
        if name in names.split():
            RECORD.append((module, name, value))
        elif name in images.split():
            RECORD.append((module, name, value.movedim(1, -1)))


def trace(model, inputs, targets=None, training=False, step=0):
    """{path: array} of every named value, in the spec's layout."""
    global RECORD
    x = to_tensors(model, inputs, INPUTS).values()
    calls = []
    RECORD = calls
    try:
        with torch.no_grad():
            outputs = to_outputs(model.train(training)(*x))
    finally:
        RECORD = None
    paths = {module: f"{path}." if path else "" for path, module in model.named_modules()}
    found = {paths[module] + name: value for module, name, value in calls}
    return {path: value.cpu().numpy().copy() for path, value in (found | outputs).items()}


def loss_and_gradients(model, inputs, targets, sample_weights=None, step=0):
    """The total loss in training mode, and {path: gradient} before clipping."""
    trainer = Trainer(model)
    batch = trainer.batch(inputs, targets, sample_weights)
    loss, _, gradients = trainer.differentiate(step, *batch)
    return float(loss), read(trainer.named(gradients))


class Trainer:
    """Trains a model. Epoch, order, masks and rate are functions of the number of steps done."""

    def __init__(self, model, learning_rate=None):
        self.model, self.rate, self.steps = model, learning_rate, 0
        self.totals = {}
        self.trained = [each for each in tensors_of(model) if each[1][0].requires_grad]
        self.parameters = [tensor for _, tensors, _ in self.trained for tensor in tensors]
        self.optimizer = Optimizer(self.parameters)

    def named(self, values, prefix=""):
        """(name, tensors, layout) from a tensor for each of the parameters."""
        each = iter(values)
        for path, tensors, layout in self.trained:
            yield prefix + path, [next(each) for _ in tensors], layout

    def batch(self, inputs, targets, weights=None):
        """A batch of arrays as tensors on the model's device."""
        x, y = to_tensors(self.model, inputs, INPUTS), to_tensors(self.model, targets, TARGETS)
        return x, y, None if weights is None else torch.as_tensor(weights).to(self.parameters[0])

    def differentiate(self, step, x, y, weights=None):
        """(loss, what the model returned, gradients) of a batch in training mode."""
        for parameter in self.parameters:
            parameter.grad = None
        if not self.model.training:
            self.model.train()
        raw = self.model(*x.values())
        loss = total_loss(self.model, raw, y, weights)
        loss.backward()
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        return loss.detach(), raw, gradients

    def advance(self, x, y, weights=None):
        """One step on a batch of tensors: (loss, what the model returned before it)."""
        loss, raw, gradients = self.differentiate(self.steps, x, y, weights)
        gradients = clip_gradients(gradients)
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
        x, y, _ = self.batch(inputs, targets)
        count = len(next(iter(x.values())))
        per_epoch = -(-count // batch_size)
        history = {}
        for epoch in range(self.steps // per_epoch, epochs):
            order = torch.from_numpy(batch_order(self.model.seed, epoch, count))
            rows = torch.split(order[self.steps % per_epoch * batch_size :], batch_size)
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

    def run(self, totals, act, x, y, batches, on_step=None, epoch=0):
        """The means of loss and metrics: of what totals hold and of batches of rows."""
        for rows in batches:
            inputs, targets = ({n: array[rows] for n, array in each.items()} for each in (x, y))
            loss, raw = act(inputs, targets)
            for name, value in {"loss": loss, **metric_values(raw, targets)}.items():
                totals[name] = totals.get(name, 0.0) + value.detach().mean() * len(rows)
            totals["samples"] = totals.get("samples", 0) + len(rows)
            if on_step is not None:
                on_step(step=self.steps - 1, epoch=epoch, loss=loss)
        count = totals.pop("samples")
        return {name: float(total / count) for name, total in totals.items()}

    @torch.inference_mode()
    def evaluate(self, inputs, targets, batch_size=BATCH_SIZE):
        """{metric: value} in inference mode; the loss includes penalties."""
        self.model.eval()
        x, y, _ = self.batch(inputs, targets)
        rows = torch.split(torch.arange(len(next(iter(x.values())))), batch_size)
        return self.run({}, self.score, x, y, rows)

    def score(self, x, y):
        """(loss, what the model returned) of a batch."""
        raw = self.model(*x.values())
        return total_loss(self.model, raw, y), raw

    def slots(self):
        """(name, tensors, layout) of the step and what the optimizer keeps for each parameter."""
        yield "step", [torch.tensor(self.steps)], ()
        for slot, values in self.optimizer.slots.items():
            yield from self.named(values, f"{Optimizer.kind}.{slot}/")

    def state(self):
        """The optimizer's slots in the spec's layout, and the step: flat and neutral."""
        return read(self.slots())

    def load_state(self, state):
        """Continues from a state(), whichever backend wrote it."""
        slots = list(self.slots())
        write(slots, state)
        self.steps, self.totals = int(slots[0][1][0]), {}


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

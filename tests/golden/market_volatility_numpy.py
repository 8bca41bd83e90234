"""market_volatility for NumPy, written by specc 0.1.0 from market_volatility.yaml (ccde12e935b0).

python market_volatility_numpy.py train data.npz --epochs 3 --out w.safetensors
`specc data market_volatility.yaml -o data.npz` writes the arrays; --help shows more.
"""

import argparse
import hashlib
import math
import re
import sys
import threading

import numpy as np

NAME = "market_volatility"
BACKEND = "numpy"
SEED = 7
DTYPE = "float32"
INPUTS = {"returns": (None, 20, 1)}
TARGETS = {"volatility": (None, 1)}
OUTPUTS = {"forecast": (None, 1)}
INTEGERS = set()
EPOCHS = 10
BATCH_SIZE = 64


# Layers -----------------------------------------------------------------------------------------
def sigmoid(x):
    """1 / (1 + exp(-x)); from x = -80 down it stays at 2e-35, for exp must not overflow."""
    return 1 / (1 + np.exp(np.minimum(-x, 80)))


def softplus(x):
    """log(1 + exp(x)), written so that exp never overflows."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def softplus_gradient(dy, x):
    """Gradient of softplus from its input x."""
    return dy * sigmoid(x)


def last_step(results):
    """A kernel's results with the output of the last step, (N, H), in place of all."""
    outputs, *rest = results
    return outputs[:, -1], *rest


def channel_sum(x):
    """Sum of x (N, ..., C) over every axis but the last: (C,).

    Products with ones are several times faster than `sum` here, and summing each sample by itself
    first loses less to rounding.
    """
    if x.ndim > 2:
        x = x.reshape(len(x), -1, x.shape[-1])
        x = np.ones(x.shape[1], x.dtype) @ x
    return np.ones(len(x), x.dtype) @ x


def time_major(x):
    """x (N, T, ...) as (T, N, ...), the steps in the order in which they are processed."""
    steps = x.swapaxes(0, 1)
    return steps.copy()


def batch_major(steps):
    """The inverse of time_major: steps (T, N, ...) as (N, T, ...)."""
    return steps.swapaxes(0, 1).copy()


def project_steps(steps, kernel, bias=None):
    """steps (T, N, D) @ kernel (D, K) + bias (K,), if any, in one product: (T, N, K)."""
    product = steps.reshape(-1, len(kernel)) @ kernel
    if bias is not None:
        product += bias
    return product.reshape(*steps.shape[:2], -1)


def step_kernel_gradient(steps, d_product):
    """Gradient of the kernel in project_steps: steps (T, N, D), d_product (T, N, K) to (D, K)."""
    rows = steps.reshape(-1, steps.shape[-1])
    return rows.T @ d_product.reshape(len(rows), -1)


def state_history(length, like):
    """Room for a state before and after each of `length` steps, (length + 1, N, H) as `like`."""
    states = np.empty((length + 1, *like.shape), like.dtype)
    states[0] = 0
    return states


def logistic(x):
    """The sigmoid of the gates, by way of tanh, which cannot overflow."""
    return 0.5 * np.tanh(0.5 * x) + 0.5


def gru(x, kernel, recurrent_kernel, bias=None):
    """Gated recurrent unit over x (N, T, D): outputs (N, T, H), last h (N, H), saved.

    kernel (D, 3H), recurrent_kernel (H, 3H) and bias (2, 3H), for the input and for the state, hold
    the update, reset and candidate gates in this order. The reset gate acts after the recurrent
    product. saved is what gru_gradient reads.
    """
    steps = time_major(x)
    length, batch, _ = steps.shape
    units = len(recurrent_kernel)
    gates = project_steps(steps, kernel, None if bias is None else bias[0])
    recalled = np.empty((length, batch, units), x.dtype)
    hidden = state_history(length, recalled[0])
    for t in range(length):
        recurrent = hidden[t] @ recurrent_kernel
        if bias is not None:
            recurrent += bias[1]
        recalled[t] = recurrent[:, 2 * units :]
        gate = gates[t]
        gate[:, : 2 * units] = logistic(gate[:, : 2 * units] + recurrent[:, : 2 * units])
        update, reset, candidate = gate.reshape(batch, 3, units).swapaxes(0, 1)
        candidate[:] = np.tanh(candidate + reset * recalled[t])
        hidden[t + 1] = update * hidden[t] + (1 - update) * candidate
    outputs = hidden[1:]
    outputs = batch_major(outputs)
    return outputs, hidden[-1].copy(), (steps, gates, hidden, recalled)


def gru_gradient(d_outputs, d_h, saved, kernel, recurrent_kernel):
    """Gradients of gru: dx, dkernel, drecurrent_kernel, dbias (2, 3H), dh0.

    d_outputs (N, T, H) and d_h (N, H) belong to the results of gru; None is 0.
    """
    steps, gates, hidden, recalled = saved
    length, batch, units = recalled.shape
    update, reset, candidate = np.moveaxis(gates.reshape(length, batch, 3, units), 2, 0)
    # How the gates' inputs act on h, and how the recurrent product acts on the candidate.
    candidate_slope = (1 - update) * (1 - candidate * candidate)
    reset_slope = candidate_slope * recalled * reset * (1 - reset)
    update_slope = (hidden[:-1] - candidate) * update * (1 - update)
    slopes = np.stack([update_slope, reset_slope, candidate_slope * reset], axis=2)
    d_hidden = np.zeros_like(hidden[0]) if d_h is None else d_h
    if d_outputs is not None:
        d_outputs = time_major(d_outputs)
    d_recurrent = np.empty_like(slopes)
    d_candidate = np.empty_like(recalled)
    to_hidden = recurrent_kernel.T.copy()
    for t in reversed(range(length)):
        if d_outputs is not None:
            d_hidden = d_hidden + d_outputs[t]
        np.multiply(d_hidden[:, None], slopes[t], out=d_recurrent[t])
        np.multiply(d_hidden, candidate_slope[t], out=d_candidate[t])
        d_before = d_recurrent[t].reshape(batch, -1) @ to_hidden
        d_hidden = d_before + d_hidden * update[t]
    d_inputs = d_recurrent.copy()
    d_inputs[:, :, 2] = d_candidate
    d_inputs = d_inputs.reshape(length, batch, 3 * units)
    d_recurrent = d_recurrent.reshape(length, batch, 3 * units)
    dx = batch_major(project_steps(d_inputs, kernel.T))
    dkernel = step_kernel_gradient(steps, d_inputs)
    drecurrent_kernel = step_kernel_gradient(hidden[:-1], d_recurrent)
    dbias = np.stack([d.sum(axis=1).sum(axis=0) for d in (d_inputs, d_recurrent)])
    return dx, dkernel, drecurrent_kernel, dbias, d_hidden


MEMORY = threading.local()  # each thread has its own: two never take the same block


def references(blocks):
    """How many references to its first block a list of blocks makes, and the loop that looks."""
    for block in blocks:
        return sys.getrefcount(block)
    return 0


UNUSED = references([np.empty(0)])  # it depends on the version of Python


def free_block(blocks):
    """One of the blocks that nothing refers to any more, if there is one."""
    for block in blocks:
        if sys.getrefcount(block) == UNUSED:
            return block
    return None


def empty(shape, dtype):
    """An array of any content, as np.empty, in memory that nothing refers to any more if there is.

    A step finds what the step before it has given back: new memory from the system costs more than
    most computations in it.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    held = vars(MEMORY)
    block = free_block(held.get(size, []))
    if block is None:  # a larger one will do, if it is not much too large
        larger = sorted(each for each in held if size < each <= 4 * size)
        block = next((b for each in larger if (b := free_block(held[each])) is not None), None)
    if block is None:
        if len(held) >= 512:  # sizes of other batches
            held.clear()
        for each in sorted(held, reverse=True):  # it serves in the place of a smaller one, too
            if size <= 4 * each < 4 * size and (unused := free_block(held[each])) is not None:
                held[each] = [other for other in held[each] if other is not unused]
                break
        block = np.empty(size, np.uint8)
        held.setdefault(size, []).append(block)
    return np.ndarray(shape, dtype, block)


def affine(x, kernel, bias=None):
    """x (..., D) @ kernel (D, K), as one product over all rows.

    bias (K,) is added.
    """
    y = empty((*x.shape[:-1], kernel.shape[1]), x.dtype)
    np.matmul(x.reshape(-1, x.shape[-1]), kernel, out=y.reshape(-1, y.shape[-1]))
    if bias is not None:
        y += bias
    return y


def affine_kernel_gradient(x, dy):
    """Gradient of affine with respect to its kernel: x (..., D), dy (..., K) to (D, K)."""
    dkernel = empty((x.shape[-1], dy.shape[-1]), dy.dtype)
    rows, drows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    np.matmul(rows.T, drows, out=dkernel)
    return dkernel


# Model ------------------------------------------------------------------------------------------
class MarketVolatility:
    """The arrays of a network by path, and the seed of its masks."""

    frozen = frozenset()  # not trained by gradients

    def __init__(self, parameters, seed):
        self.parameters, self.seed = parameters, seed


def forward_backward(model, inputs, targets=None, sample_weights=None, step=0, training=True):
    """(loss, raw outputs, {path: gradient}); without targets raw outputs only.

    training=False is inference mode.
    """
    p = model.parameters
    returns = inputs["returns"]  # (batch, 20, 1)
    gru_1, gru_saved = last_step(
        gru(returns, p["gru.kernel"], p["gru.recurrent_kernel"], p["gru.bias"])
    )[::2]  # (batch, 16)
    preactivation = affine(gru_1, p["forecast.kernel"], bias=p["forecast.bias"])  # (batch, 1)
    forecast = softplus(preactivation)  # (batch, 1)
    record({**locals(), "gru": gru_1}, "gru forecast")
    if targets is None:
        return None, forecast, None
    loss = total_loss(model, forecast, targets, sample_weights)
    volatility = targets["volatility"]  # (batch, 1)
    weights = value_weights(forecast.shape[:1], forecast.dtype, sample_weights)  # (batch,)

    # Backward: d_x is the gradient of the loss with respect to x
    g = {}
    d_forecast = mean_absolute_error_gradient(forecast, volatility, weights=weights)  # (batch, 1)
    d_forecast_preactivation = softplus_gradient(d_forecast, preactivation)  # (batch, 1)
    g["forecast.kernel"] = affine_kernel_gradient(gru_1, d_forecast_preactivation)  # (16, 1)
    g["forecast.bias"] = channel_sum(d_forecast_preactivation)  # (1,)
    d_gru = affine(d_forecast_preactivation, p["forecast.kernel"].T)  # (batch, 16)
    _, g["gru.kernel"], g["gru.recurrent_kernel"], g["gru.bias"], _ = gru_gradient(
        None, d_gru, gru_saved, p["gru.kernel"], p["gru.recurrent_kernel"]
    )
    return loss, forecast, {path: g[path] for path in p if path in g}


def to_outputs(forecast):
    """The spec's outputs, from what the model returns."""
    return {"forecast": forecast}


# Losses and metrics -----------------------------------------------------------------------------
def feature_mean(values):
    """The mean over the last axis; the values themselves where the batch axis is the only one."""
    return values.mean(axis=-1) if values.ndim > 1 else values


def feature_mean_gradient(weights, prediction):
    """Each feature's share of the weights of feature_mean, in a shape that spreads over them."""
    return weights[..., None] / prediction.shape[-1] if prediction.ndim > 1 else weights


def mean_absolute_error(prediction, target):
    """Mean over the features of |prediction - target|."""
    return feature_mean(np.abs(prediction - target))


def mean_absolute_error_gradient(prediction, target, *, weights):
    """Gradient of sum(weights * mean_absolute_error); where there is no error it is 0."""
    return np.sign(prediction - target) * feature_mean_gradient(weights, prediction)


def value_weights(shape, dtype, sample_weights=None):
    """What each value of a loss counts in its mean; a sample's weight counts for all its values."""
    weights = np.ones(shape, dtype)
    if sample_weights is not None:
        weights *= np.asarray(sample_weights, dtype).reshape(-1, *[1] * (len(shape) - 1))
    total = math.prod(shape)
    return weights / total


def weighted_mean(values, sample_weights=None):
    """The mean of a loss's values."""
    return np.sum(value_weights(values.shape, values.dtype, sample_weights) * values)


def absolute_error(prediction, target):
    """|prediction - target|."""
    return np.abs(prediction - target)


def total_loss(model, forecast, targets, weights=None):
    """The weighted sum of all losses and penalties: a scalar."""
    return weighted_mean(mean_absolute_error(forecast, targets["volatility"]), weights)


def metric_values(raw, targets):
    """{metric: one value per sample}."""
    outputs = to_outputs(raw)
    return {"mean_absolute_error": absolute_error(outputs["forecast"], targets["volatility"])}


# Optimizer and schedule -------------------------------------------------------------------------
def array_blocks(arrays, temporaries):
    """Blocks of 2**16 numbers of arrays of one shape, and arrays for what is computed from them."""
    flat = [array.reshape(-1) for array in arrays]
    spare = empty((temporaries, min(flat[0].size, 2**16)), flat[0].dtype)
    for start in range(0, flat[0].size, 2**16):
        block = [array[start : start + 2**16] for array in flat]
        yield *block, *spare[:, : block[0].size]


def learning_rate(step):
    """The constant schedule; steps count from 0."""
    return 0.001


class Optimizer:
    """Adam (Kingma and Ba, 2015). Epsilon is added before the bias correction."""

    kind = "adam"
    beta_1 = 0.9
    beta_2 = 0.999
    epsilon = 1e-07

    def __init__(self, parameters):
        self.parameters = parameters
        self.slots = {slot: [np.zeros_like(p) for p in parameters] for slot in ("m", "v")}

    def scalars(self, step, rate=None):
        """What changes with the step, computed in double precision."""
        rate = learning_rate(step) if rate is None else rate
        t = step + 1
        return (rate * math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t),)

    def update(self, gradients, scalars):
        """One step, in place."""
        (step_size,) = scalars
        for arrays in zip(self.parameters, gradients, *self.slots.values(), strict=True):
            for parameter, gradient, m, v, a, b in array_blocks(arrays, 2):
                np.subtract(gradient, m, out=a)
                a *= 1 - self.beta_1
                m += a
                np.multiply(gradient, gradient, out=a)
                a -= v
                a *= 1 - self.beta_2
                v += a
                np.sqrt(v, out=a)
                a += self.epsilon
                np.multiply(step_size, m, out=b)
                b /= a
                parameter -= b


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


def initial_parameters(seed=SEED):
    """Float64 values at the start: each tensor derives from (seed, path, shape) alone."""
    table = [
        ("gru.kernel", (1, 48), glorot_uniform(fan_in=1, fan_out=48)),
        ("gru.recurrent_kernel", (16, 48), orthogonal()),
        ("gru.bias", (2, 48), zeros()),
        ("forecast.kernel", (16, 1), glorot_uniform(fan_in=16, fan_out=1)),
        ("forecast.bias", (1,), zeros()),
    ]
    return {path: draw(stream_key(seed, f"initial/{path}"), shape) for path, shape, draw in table}


# Training ---------------------------------------------------------------------------------------
def build(seed=SEED, dtype=DTYPE, device=None):
    """The network with the spec's initial parameters."""
    if device not in (None, "cpu"):
        raise ValueError(f"NumPy computes on the cpu, not on {device}")
    values = initial_parameters(seed).items()
    return MarketVolatility(
        {path: np.array(value, dtype, order="C") for path, value in values}, seed
    )


def read(places):
    """Copies of arrays, by name."""
    return {name: np.array(array) for name, array in places.items()}


def write(places, arrays):
    """Fills arrays. Raises ValueError that lists what is missing, unknown or misshapen."""
    want = {name: array.shape for name, array in places.items()}
    have = {name: np.shape(array) for name, array in arrays.items()}
    if wrong := [name for name in want | have if want.get(name) != have.get(name)]:
        listed = "; ".join(f"{n}: wanted {want.get(n)}, given {have.get(n)}" for n in wrong)
        raise ValueError(f"arrays and their shapes do not match: {listed}")
    for name, place in places.items():
        place[...] = arrays[name]


def get_parameters(model):
    """{path: array} of parameters and running statistics."""
    return read(model.parameters)


def set_parameters(model, parameters):
    """The inverse of get_parameters. Raises ValueError when names or shapes do not match."""
    write(model.parameters, parameters)


def to_arrays(model, arrays, names):
    """The named arrays in the model's precision."""
    dtype = next(iter(model.parameters.values())).dtype
    types = dict.fromkeys(INTEGERS, np.dtype("int64"))
    return {name: np.asarray(arrays[name], types.get(name, dtype)) for name in names}


def batches(arrays, size, order=None):
    """The rows of each batch; one without rows where there are none."""
    rows = np.arange(len(next(iter(arrays.values())))) if order is None else order
    return np.split(rows, range(size, len(rows), size))


def gather(arrays, rows):
    """Those rows of every array."""
    return {name: array[rows] for name, array in arrays.items()}


def predict(model, inputs, batch_size=None):
    """{output: array} in inference mode."""
    x = to_arrays(model, inputs, INPUTS)
    parts = [gather(x, rows) for rows in batches(x, batch_size or 2**62)]
    raws = [forward_backward(model, part, training=False)[1] for part in parts]
    found = [to_outputs(raw) for raw in raws]
    return {name: np.concatenate([each[name] for each in found]) for name in OUTPUTS}


RECORD = None


def record(values, names="", images=""):
    """Keeps named values while trace() runs, stage.0.conv from stage_0_conv."""
    for name in f"{names} {images}".split() if RECORD is not None else ():
        value = values[name] if name in values else values[re.sub(r"\W", "_", name)]
        RECORD[name] = np.moveaxis(value, -1, 1) if name in images.split() else value


def trace(model, inputs, targets=None, training=False, step=0):
    """{path: array} of every named value."""
    global RECORD
    found = RECORD = dict[str, np.ndarray]()
    try:
        raw = differentiate(model, inputs, None, None, step, training)[1]
    finally:
        RECORD = None
    return read(found | to_outputs(raw))


def differentiate(model, inputs, targets, weights, step, training=True):
    """forward_backward() on any arrays, running statistics left as they are."""
    x = to_arrays(model, inputs, INPUTS)
    y = None if targets is None else to_arrays(model, targets, TARGETS)
    return forward_backward(model, x, y, weights, step, training)


def loss_and_gradients(model, inputs, targets, sample_weights=None, step=0):
    """The total loss in training mode, and {path: gradient} before clipping."""
    loss, _, gradients = differentiate(model, inputs, targets, sample_weights, step)
    return float(loss), gradients


class Trainer:
    """Trains a model. Epoch, order, masks and rate are functions of the number of steps done."""

    def __init__(self, model, learning_rate=None):
        self.model, self.rate, self.steps = model, learning_rate, 0
        self.totals = {}
        self.paths = [path for path in model.parameters if path not in model.frozen]
        self.optimizer = Optimizer([model.parameters[path] for path in self.paths])

    def batch(self, inputs, targets):
        """A batch of arrays in the model's precision."""
        return to_arrays(self.model, inputs, INPUTS), to_arrays(self.model, targets, TARGETS)

    def advance(self, x, y, weights=None):
        """One step on a batch: (loss, what the model returned before it)."""
        loss, raw, found = forward_backward(self.model, x, y, weights, self.steps)
        gradients = list(found.values())
        self.optimizer.update(gradients, self.optimizer.scalars(self.steps, self.rate))
        self.steps += 1
        return loss, raw

    def score(self, x, y):
        """(loss, what the model returned) of a batch in inference mode."""
        raw = forward_backward(self.model, x, training=False)[1]
        return total_loss(self.model, raw, y), raw

    def step(self, inputs, targets, sample_weights=None):
        """One optimizer step on a batch; its loss."""
        return self.advance(*self.batch(inputs, targets), sample_weights)[0]

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

    def run(self, totals, act, x, y, parts, on_step=None, epoch=0):
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

    def evaluate(self, inputs, targets, batch_size=BATCH_SIZE):
        """{metric: value} in inference mode; the loss includes penalties."""
        x, y = self.batch(inputs, targets)
        return self.run({}, self.score, x, y, batches(x, batch_size))

    def slots(self):
        """{name: array} of the step and what the optimizer keeps for each parameter."""
        kept = {
            f"{Optimizer.kind}.{slot}/{path}": value
            for slot, values in self.optimizer.slots.items()
            for path, value in zip(self.paths, values, strict=True)
        }
        return {"step": np.array(self.steps), **kept}

    def state(self):
        """The optimizer's slots by parameter, and the step: flat and neutral."""
        return read(self.slots())

    def load_state(self, state):
        """Continues from a state(), whichever backend wrote it."""
        slots = self.slots()
        write(slots, state)
        self.steps, self.totals = int(slots["step"]), {}


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

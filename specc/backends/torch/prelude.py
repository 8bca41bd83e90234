"""The fixed part of generated PyTorch files: parameters, prediction, training and the command line.

A line that ends with ``#: feature`` is kept only in programs that have that feature.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

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
    clip_gradients,
    initial_parameters,
    metric_values,
    to_outputs,
    total_loss,
)
from specc.backends.prelude_arrays import Arrays
from specc.backends.prelude_shared import batch_order
from specc.backends.torch.prelude_layers import Dropout


def spec_path(path: str) -> str:
    """A module's path in the spec: an attribute whose name was taken has an underscore more."""
    return ".".join(part.removesuffix("_") for part in path.split("."))


def tensors_of(model: Any) -> Iterator[Any]:
    """(path, tensors, layout) of every parameter and running statistic of the spec."""
    for path, module in model.named_modules():
        path = spec_path(path)  #: renamed
        for name, (attributes, layout) in LAYOUTS.get(type(module), {}).items():
            tensors = [getattr(module, attribute, None) for attribute in attributes.split()]
            if tensors[0] is not None:
                if name.endswith("recurrent_bias") and not tensors[0].requires_grad:  #: fixed
                    continue  # one_bias() keeps it at 0  #: fixed
                yield f"{path}.{name}", tensors, layout


def read(places: Iterable[Any]) -> Arrays:
    """{name: a copy in the spec's layout} of (name, tensors, layout)."""
    found: Arrays = {}
    for name, tensors, axes in places:
        axes, gates = axes or ((), ())  #: gates
        array = torch.stack(tensors).squeeze(0).detach().cpu().numpy()
        array = array.transpose(axes) if axes else array
        if gates:  # equal blocks along the last axis  #: gates
            blocks = np.split(array, len(gates), axis=-1)  #: gates
            array = np.concatenate([blocks[gate] for gate in gates], axis=-1)  #: gates
        found[name] = np.asarray(array, order="C")
    return found


@torch.no_grad()
def write(places: Iterable[Any], arrays: Arrays) -> None:
    """The inverse of read(). Raises ValueError that lists what is missing, unknown or misshapen."""
    places = list(places)
    want = {name: array.shape for name, array in read(places).items()}
    have = {name: np.shape(array) for name, array in arrays.items()}
    if wrong := [name for name in want | have if want.get(name) != have.get(name)]:
        listed = "; ".join(f"{n}: wanted {want.get(n)}, given {have.get(n)}" for n in wrong)
        raise ValueError(f"arrays and their shapes do not match: {listed}")
    for name, tensors, axes in places:
        axes, gates = axes or ((), ())  #: gates
        array = np.asarray(arrays[name])
        if gates:  #: gates
            blocks = np.split(array, len(gates), axis=-1)  #: gates
            array = np.concatenate([blocks[i] for i in np.argsort(gates)], axis=-1)  #: gates
        array = array.transpose(np.argsort(axes)) if axes else array
        for tensor, part in zip(tensors, array if len(tensors) > 1 else [array], strict=True):
            tensor.copy_(torch.tensor(part))


def build(seed: int = SEED, dtype: str = DTYPE, device: str | None = None) -> Model:
    """The network with the spec's initial parameters."""
    model = Model().to(device=device, dtype=getattr(torch, dtype))
    model = model.to(memory_format=torch.channels_last)  #: images
    model.seed = seed
    set_parameters(model, initial_parameters(seed))
    for path, module in model.named_modules():  #: random
        path = spec_path(path)  #: renamed_random
        if isinstance(module, Dropout):  #: random
            module.seed(seed, path)  #: random
    model.compile()  #: compiled
    return model


def get_parameters(model: Any) -> Arrays:
    """{path: array} of parameters and running statistics, in the spec's layout."""
    return read(tensors_of(model))


def set_parameters(model: Any, parameters: Arrays) -> None:
    """The inverse of get_parameters. Raises ValueError when names or shapes do not match."""
    write(tensors_of(model), parameters)


def to_tensors(model: Any, arrays: Arrays, names: Any) -> dict[str, torch.Tensor]:
    """The named arrays as tensors of the model's precision, on its device."""
    like = next(model.parameters())
    types = dict.fromkeys(INTEGERS, torch.int64)
    types |= dict.fromkeys(BOOLEANS, torch.bool)  #: booleans
    tensors = {n: torch.as_tensor(arrays[n]) for n in names}
    return {n: t.to(like.device, types.get(n, like.dtype)) for n, t in tensors.items()}


@torch.inference_mode()
def predict(model: Any, inputs: Arrays, batch_size: int | None = None) -> Arrays:
    """{output: array} in inference mode."""
    model.eval()
    x = to_tensors(model, inputs, INPUTS).values()
    batches = zip(*(torch.split(each, batch_size or 2**62) for each in x), strict=True)
    found = [to_outputs(model(*batch)) for batch in batches]
    return {name: torch.cat([each[name] for each in found]).cpu().numpy() for name in OUTPUTS}


RECORD: Any = None


def record(module: nn.Module, values: Any, names: str = "", images: str = "") -> None:
    """Keeps named values of a forward pass while trace() runs; of images the channels go last."""
    for name, value in () if RECORD is None else values.items():
        if name in names.split():
            RECORD.append((module, name, value))
        elif name in images.split():
            RECORD.append((module, name, value.movedim(1, -1)))


@torch.compiler.set_stance("force_eager")  #: compiled
def trace(
    model: Any, inputs: Arrays, targets: Arrays | None = None, training: bool = False, step: int = 0
) -> Arrays:
    """{path: array} of every named value, in the spec's layout."""
    global RECORD
    x = to_tensors(model, inputs, INPUTS).values()
    statistics = [buffer.clone() for buffer in model.buffers()]  #: statistics
    calls: list[Any] = []
    RECORD = calls
    try:
        with torch.no_grad():
            outputs = to_outputs(model.train(training)(*x))  #: stepless
            outputs = to_outputs(model.train(training)(*x, step))  #: stepped
    finally:
        RECORD = None
        for buffer, value in zip(model.buffers(), statistics, strict=True):  #: statistics
            buffer.copy_(value)  #: statistics
    paths = {module: f"{path}." if path else "" for path, module in model.named_modules()}
    paths = {module: spec_path(path) for module, path in paths.items()}  #: renamed
    found = {paths[module] + name: value for module, name, value in calls}
    return {path: value.cpu().numpy().copy() for path, value in (found | outputs).items()}


def loss_and_gradients(
    model: Any,
    inputs: Arrays,
    targets: Arrays,
    sample_weights: np.ndarray | None = None,
    step: int = 0,
) -> tuple[float, Arrays]:
    """The total loss in training mode, and {path: gradient} before clipping."""
    trainer = Trainer(model)
    statistics = [buffer.clone() for buffer in model.buffers()]  #: statistics
    batch = trainer.batch(inputs, targets, sample_weights)
    loss, _, gradients = trainer.differentiate(step, *batch)
    for buffer, value in zip(model.buffers(), statistics, strict=True):  #: statistics
        buffer.copy_(value)  #: statistics
    return float(loss), read(trainer.named(gradients))


class Trainer:
    """Trains a model. Epoch, order, masks and rate are functions of the number of steps done."""

    def __init__(self, model: Any, learning_rate: float | None = None) -> None:
        self.model, self.rate, self.steps = model, learning_rate, 0
        self.totals: dict[str, Any] = {}
        self.trained = [each for each in tensors_of(model) if each[1][0].requires_grad]
        self.parameters = [tensor for _, tensors, _ in self.trained for tensor in tensors]
        self.optimizer = Optimizer(self.parameters)

    def named(self, values: Iterable[torch.Tensor], prefix: str = "") -> Iterator[Any]:
        """(name, tensors, layout) from a tensor for each of the parameters."""
        each = iter(values)
        for path, tensors, layout in self.trained:
            yield prefix + path, [next(each) for _ in tensors], layout

    def batch(self, inputs: Arrays, targets: Arrays, weights: Any = None) -> tuple[Any, ...]:
        """A batch of arrays as tensors on the model's device."""
        x, y = to_tensors(self.model, inputs, INPUTS), to_tensors(self.model, targets, TARGETS)
        return x, y, None if weights is None else torch.as_tensor(weights).to(self.parameters[0])

    def differentiate(self, step: int, x: Any, y: Any, weights: Any = None) -> tuple[Any, ...]:
        """(loss, what the model returned, gradients) of a batch in training mode."""
        for parameter in self.parameters:
            parameter.grad = None
        if not self.model.training:
            self.model.train()
        raw = self.model(*x.values())  #: stepless
        raw = self.model(*x.values(), step)  #: stepped
        loss = total_loss(self.model, raw, y, weights)
        loss.backward()
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        return loss.detach(), raw, gradients

    def advance(self, x: Any, y: Any, weights: Any = None) -> tuple[Any, Any]:
        """One step on a batch of tensors: (loss, what the model returned before it)."""
        loss, raw, gradients = self.differentiate(self.steps, x, y, weights)
        gradients = clip_gradients(gradients)  #: clip
        self.optimizer.update(gradients, self.optimizer.scalars(self.steps, self.rate))
        self.steps += 1
        return loss, raw

    def step(
        self, inputs: Arrays, targets: Arrays, sample_weights: np.ndarray | None = None
    ) -> Any:
        """One optimizer step on a batch; its loss, still on the device."""
        return self.advance(*self.batch(inputs, targets, sample_weights))[0]

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
        x, y, _ = self.batch(inputs, targets)
        count = len(next(iter(x.values())))
        per_epoch = -(-count // batch_size)
        history: dict[str, list[float]] = {}
        for epoch in range(self.steps // per_epoch, epochs):
            order = torch.from_numpy(batch_order(self.model.seed, epoch, count))  #: shuffle
            order = torch.arange(count)  #: ordered
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

    def run(
        self,
        totals: dict[str, Any],
        act: Callable[..., Any],
        x: Any,
        y: Any,
        batches: Any,
        on_step: Callable[..., None] | None = None,
        epoch: int = 0,
    ) -> dict[str, float]:
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
    def evaluate(
        self, inputs: Arrays, targets: Arrays, batch_size: int = BATCH_SIZE
    ) -> dict[str, float]:
        """{metric: value} in inference mode; the loss includes penalties."""
        self.model.eval()
        x, y, _ = self.batch(inputs, targets)
        rows = torch.split(torch.arange(len(next(iter(x.values())))), batch_size)
        return self.run({}, self.score, x, y, rows)

    def score(self, x: Any, y: Any) -> tuple[Any, Any]:
        """(loss, what the model returned) of a batch."""
        raw = self.model(*x.values())
        return total_loss(self.model, raw, y), raw

    def slots(self) -> Iterator[Any]:
        """(name, tensors, layout) of the step and what the optimizer keeps for each parameter."""
        yield "step", [torch.tensor(self.steps)], ()
        for slot, values in self.optimizer.slots.items():
            yield from self.named(values, f"{Optimizer.kind}.{slot}/")

    def state(self) -> Arrays:
        """The optimizer's slots in the spec's layout, and the step: flat and neutral."""
        return read(self.slots())

    def load_state(self, state: Arrays) -> None:
        """Continues from a state(), whichever backend wrote it."""
        slots = list(self.slots())
        write(slots, state)
        self.steps, self.totals = int(slots[0][1][0]), {}

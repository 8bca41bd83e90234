"""The fixed part of generated PyTorch files: parameters, prediction, training and the command line.

A line that ends with ``#: feature`` is kept only in programs that have that feature.
"""

from collections.abc import Callable, Iterator
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
    apply,
    clip_gradients,
    initial_parameters,
    metric_values,
    to_outputs,
    total_loss,
)
from specc.backends.prelude_arrays import Arrays, check_names, means, rows_of, slices
from specc.backends.prelude_shared import batch_order
from specc.backends.torch.prelude_layers import Dropout


def modules_of(model: Any) -> Iterator[tuple[str, nn.Module]]:
    """(path, module): an attribute whose name was taken has an underscore more than the spec's."""
    for path, module in model.named_modules():
        yield ".".join(part.removesuffix("_") for part in path.split(".")), module


def tensors_of(model: Any) -> Iterator[Any]:
    """(path, tensors, axes, gates) of every parameter and running statistic of the spec."""
    for path, module in modules_of(model):
        for name, (attributes, axes, gates) in LAYOUTS.get(type(module), {}).items():
            tensors = [getattr(module, attribute, None) for attribute in attributes]
            if tensors[0] is not None:
                yield f"{path}.{name}", tensors, axes, gates


def to_spec(tensors: list[torch.Tensor], axes: Any, gates: Any) -> np.ndarray:
    """A copy of PyTorch's arrays in the spec's layout."""
    array = np.stack([tensor.detach().cpu().numpy() for tensor in tensors])
    array = array if len(tensors) > 1 else array[0]
    array = array.transpose(axes) if axes else array
    if gates:  # equal blocks along the last axis  #: gates
        blocks = np.split(array, len(gates), axis=-1)  #: gates
        array = np.concatenate([blocks[gate] for gate in gates], axis=-1)  #: gates
    return np.ascontiguousarray(array)


def from_spec(array: np.ndarray, tensors: list[torch.Tensor], axes: Any, gates: Any) -> None:
    """Copies an array in the spec's layout into PyTorch's tensors."""
    if gates:  #: gates
        blocks = np.split(array, len(gates), axis=-1)  #: gates
        array = np.concatenate([blocks[i] for i in np.argsort(gates)], axis=-1)  #: gates
    array = array.transpose(np.argsort(axes)) if axes else array
    with torch.no_grad():
        for tensor, part in zip(tensors, array if len(tensors) > 1 else [array], strict=True):
            tensor.copy_(torch.tensor(part))


def build(seed: int = SEED, dtype: str = DTYPE, device: str | None = None) -> Model:
    """The network with the spec's initial parameters."""
    model = Model().to(device=device, dtype=getattr(torch, dtype))
    model = model.to(memory_format=torch.channels_last)  #: images
    model.seed = seed
    set_parameters(model, initial_parameters(seed))
    for path, module in modules_of(model):  #: random
        if isinstance(module, Dropout):  #: random
            module.seed(seed, path)  #: random
    return model


def get_parameters(model: Any) -> Arrays:
    """{path: array} of parameters and running statistics, in the spec's layout."""
    return {path: to_spec(*where) for path, *where in tensors_of(model)}


def set_parameters(model: Any, parameters: Arrays) -> None:
    """The inverse of get_parameters. Raises ValueError when names or shapes do not match."""
    check_names(get_parameters(model), parameters)
    for path, *where in tensors_of(model):
        from_spec(np.asarray(parameters[path]), *where)


def to_tensors(model: Any, arrays: Arrays, names: Any) -> dict[str, torch.Tensor]:
    """The named arrays as tensors of the model's precision, on its device."""
    like = next(model.parameters())
    types = dict.fromkeys(INTEGERS, torch.int64)
    types |= dict.fromkeys(BOOLEANS, torch.bool)  #: booleans
    return {
        name: torch.as_tensor(arrays[name], dtype=types.get(name, like.dtype), device=like.device)
        for name in names
    }


def predict(model: Any, inputs: Arrays, batch_size: int | None = None) -> Arrays:
    """{output: array} in inference mode."""
    model.eval()
    x = to_tensors(model, inputs, INPUTS)
    with torch.inference_mode():
        batches = [
            to_outputs(apply(model, rows_of(x, rows), 0)) for rows in slices(x, batch_size or 2**62)
        ]
    return {name: torch.cat([batch[name] for batch in batches]).cpu().numpy() for name in OUTPUTS}


RECORD: list[tuple[nn.Module, dict[str, torch.Tensor]]] | None = None


def record(module: nn.Module, values: dict[str, torch.Tensor]) -> None:
    """Keeps the named values of a forward pass while trace() runs; otherwise nothing."""
    if RECORD is not None:
        RECORD.append((module, values))


def trace(
    model: Any, inputs: Arrays, targets: Arrays | None = None, training: bool = False, step: int = 0
) -> Arrays:
    """{path: array} of every named value, in the spec's layout."""
    global RECORD
    model.train(training)
    statistics = [buffer.clone() for buffer in model.buffers()]  #: statistics
    RECORD = []
    try:
        with torch.no_grad():
            outputs = to_outputs(apply(model, to_tensors(model, inputs, INPUTS), step))
        calls = RECORD
    finally:
        RECORD = None
        for buffer, value in zip(model.buffers(), statistics, strict=True):  #: statistics
            buffer.copy_(value)  #: statistics
    paths = {id(module): path for path, module in modules_of(model)}
    found = {
        f"{paths[id(module)]}.{name}".lstrip("."): value
        for module, values in calls
        for name, value in values.items()
    }
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
    x, y, weights = trainer.batch(inputs, targets, sample_weights)
    loss, _, gradients = trainer.differentiate(x, y, weights, step)
    for buffer, value in zip(model.buffers(), statistics, strict=True):  #: statistics
        buffer.copy_(value)  #: statistics
    named = dict(zip(map(id, trainer.parameters), gradients, strict=True))
    return float(loss), {
        path: to_spec([named[id(tensor)] for tensor in tensors], *layout)
        for path, tensors, *layout in tensors_of(model)
        if id(tensors[0]) in named
    }


class Trainer:
    """Trains a model. Epoch, order, masks and rate are functions of the number of steps done."""

    def __init__(self, model: Any, learning_rate: float | None = None) -> None:
        self.model, self.rate, self.steps = model, learning_rate, 0
        found = [tensor for _, tensors, *_ in tensors_of(model) for tensor in tensors]
        self.parameters = [tensor for tensor in found if tensor.requires_grad]
        self.optimizer = Optimizer(self.parameters)

    def batch(self, inputs: Arrays, targets: Arrays, sample_weights: Any) -> list[Any]:
        """A batch of arrays as tensors on the model's device."""
        x, y = to_tensors(self.model, inputs, INPUTS), to_tensors(self.model, targets, TARGETS)
        if sample_weights is not None:
            sample_weights = torch.as_tensor(sample_weights).to(self.parameters[0])
        return [x, y, sample_weights]

    def differentiate(self, inputs: Any, targets: Any, weights: Any, step: int) -> tuple[Any, ...]:
        """(loss, what the model returned, gradients) of a batch in training mode."""
        self.model.train()
        raw = apply(self.model, inputs, step)
        loss = total_loss(self.model, raw, targets, weights)
        for parameter in self.parameters:
            parameter.grad = None
        loss.backward()
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        return loss.detach(), raw, gradients

    def advance(self, inputs: Any, targets: Any, weights: Any = None) -> tuple[Any, ...]:
        """One step on a batch of tensors: (loss, what the model returned before it)."""
        loss, raw, gradients = self.differentiate(inputs, targets, weights, self.steps)
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
        x, y, _ = self.batch(inputs, targets, None)
        count = len(next(iter(x.values())))
        per_epoch = -(-count // batch_size)
        history: dict[str, list[float]] = {}
        for epoch in range(self.steps // per_epoch, epochs):
            order = torch.from_numpy(batch_order(self.model.seed, epoch, count))  #: shuffle
            order = torch.arange(count)  #: ordered
            totals: dict[str, Any] = {}
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

    def evaluate(
        self, inputs: Arrays, targets: Arrays, batch_size: int = BATCH_SIZE
    ) -> dict[str, float]:
        """{metric: value} in inference mode; the loss includes penalties."""
        self.model.eval()
        x, y, _ = self.batch(inputs, targets, None)
        totals: dict[str, Any] = {}
        with torch.inference_mode():
            for rows in slices(x, batch_size):
                raw, expected = apply(self.model, rows_of(x, rows), 0), rows_of(y, rows)
                add_batch(totals, total_loss(self.model, raw, expected), raw, expected)
        return means(totals)

    def slots(self) -> Iterator[Any]:
        """(name, tensors, axes, gates) of what the optimizer keeps for each parameter."""
        index = {id(tensor): i for i, tensor in enumerate(self.parameters)}
        for slot, values in self.optimizer.slots.items():
            for path, tensors, *layout in tensors_of(self.model):
                if id(tensors[0]) in index:
                    held = [values[index[id(tensor)]] for tensor in tensors]
                    yield f"{Optimizer.kind}.{slot}/{path}", held, *layout

    def state(self) -> Arrays:
        """The optimizer's slots in the spec's layout, and the step: flat and neutral."""
        slots = {name: to_spec(*where) for name, *where in self.slots()}
        return {"step": np.array(self.steps), **slots}

    def load_state(self, state: Arrays) -> None:
        """Continues from a state(), whichever backend wrote it."""
        check_names(self.state(), state)
        self.steps = int(state["step"])
        for name, *where in self.slots():
            from_spec(state[name], *where)


def add_batch(totals: dict[str, Any], loss: Any, raw: Any, targets: Any) -> None:
    """Adds a batch's loss and metrics to the sums of its epoch, weighted by its size."""
    size = len(next(iter(targets.values())))
    values = {name: each.mean() for name, each in metric_values(raw, targets).items()}
    for name, value in {"loss": loss, **values}.items():
        totals[name] = totals.get(name, 0.0) + value.detach() * size
    totals["count"] = totals.get("count", 0) + size

"""The fixed part of generated PyTorch files: parameters, prediction, training and the command line.

A line that ends with ``#: feature`` is kept only in programs that have that feature.
"""

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from specc.backends.emitted import (
    BATCH_SIZE,
    DTYPE,
    EPOCHS,
    INPUTS,
    INTEGERS,
    LAYOUTS,
    NAME,
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
from specc.backends.prelude_shared import batch_order, layer_key

Arrays = dict[str, np.ndarray]


def tensors_of(model: nn.Module) -> Iterator[tuple[str, list[torch.Tensor], tuple, tuple]]:
    """(path, tensors, axes, gates) of every parameter and running statistic of the spec."""
    for path, module in model.named_modules():
        for name, (attributes, axes, gates) in LAYOUTS.get(type(module), {}).items():
            tensors = [getattr(module, attribute, None) for attribute in attributes]
            if tensors[0] is not None:
                yield f"{path}.{name}".replace("_.", "."), tensors, axes, gates


def to_spec(tensors: list[torch.Tensor], axes: tuple, gates: tuple) -> np.ndarray:
    """A copy of PyTorch's arrays in the spec's layout."""
    arrays = [tensor.detach().cpu().numpy() for tensor in tensors]
    array = np.stack(arrays) if len(arrays) > 1 else arrays[0].transpose(axes)
    if gates:  # equal blocks along the last axis, in the spec's order
        blocks = np.split(array, len(gates), axis=-1)
        array = np.concatenate([blocks[gate] for gate in gates], axis=-1)
    return np.array(array, order="C")


def from_spec(array: np.ndarray, tensors: list[torch.Tensor], axes: tuple, gates: tuple) -> None:
    """Copies an array in the spec's layout into PyTorch's tensors."""
    if gates:
        blocks = np.split(array, len(gates), axis=-1)
        array = np.concatenate([blocks[gates.index(i)] for i in range(len(gates))], axis=-1)
    parts = list(array) if len(tensors) > 1 else [array.transpose(np.argsort(axes))]
    with torch.no_grad():
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(torch.from_numpy(np.ascontiguousarray(part)))


def build(seed: int = SEED, dtype: str = DTYPE, device: str | None = None) -> Model:
    """The network with the spec's initial parameters."""
    model = Model().to(device=device, dtype=getattr(torch, dtype))
    set_parameters(model, initial_parameters(seed))
    for path, module in model.named_modules():  #: random
        if isinstance(module, Dropout):  #: random
            module.seed(seed, path)  #: random
    return model


def get_parameters(model: nn.Module) -> Arrays:
    """{path: array} of parameters and running statistics, in the spec's layout."""
    return {path: to_spec(*where) for path, *where in tensors_of(model)}


def set_parameters(model: nn.Module, parameters: Arrays) -> None:
    """The inverse of get_parameters. Raises ValueError when names or shapes do not match."""
    present = {path: where for path, *where in tensors_of(model)}
    problems = [f"missing {path}" for path in present.keys() - parameters.keys()]
    problems += [f"unknown {path}" for path in parameters.keys() - present.keys()]
    for path in present.keys() & parameters.keys():
        wanted, given = to_spec(*present[path]).shape, np.shape(parameters[path])
        if wanted != given:
            problems.append(f"{path} has shape {given}, not {wanted}")
    if problems:
        raise ValueError("; ".join(sorted(problems)))
    for path, where in present.items():
        from_spec(np.asarray(parameters[path]), *where)


def to_tensors(model: nn.Module, arrays: Arrays, names: Any) -> dict[str, torch.Tensor]:
    """The named arrays as tensors of the model's precision, on its device."""
    like = next(model.parameters())
    return {
        name: torch.as_tensor(
            arrays[name], dtype=torch.int64 if name in INTEGERS else like.dtype, device=like.device
        )
        for name in names
    }


def predict(model: nn.Module, inputs: Arrays, batch_size: int | None = None) -> Arrays:
    """{output: array} in inference mode."""
    model.eval()
    rows = len(next(iter(inputs.values())))
    batch_size = batch_size or max(rows, 1)
    batches = []
    with torch.inference_mode():
        for start in range(0, max(rows, 1), batch_size):
            part = {name: array[start : start + batch_size] for name, array in inputs.items()}
            batches.append(to_outputs(apply(model, to_tensors(model, part, INPUTS), 0)))
    return {name: torch.cat([batch[name] for batch in batches]).cpu().numpy() for name in OUTPUTS}


RECORD: list[tuple[nn.Module, dict[str, torch.Tensor]]] | None = None


def record(module: nn.Module, values: dict[str, torch.Tensor]) -> None:
    """Keeps the named values of a forward pass while trace() runs; otherwise nothing."""
    if RECORD is not None:
        RECORD.append((module, values))


def trace(
    model: nn.Module,
    inputs: Arrays,
    targets: Arrays | None = None,
    training: bool = False,
    step: int = 0,
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
    paths = {id(module): path for path, module in model.named_modules()}
    found = {
        f"{paths[id(module)]}.{name}".lstrip("."): value
        for module, values in calls
        for name, value in values.items()
    }
    return {path: value.cpu().numpy().copy() for path, value in (found | outputs).items()}


def loss_and_gradients(
    model: nn.Module,
    inputs: Arrays,
    targets: Arrays,
    sample_weights: np.ndarray | None = None,
    step: int = 0,
) -> tuple[float, Arrays]:
    """The total loss in training mode, and {path: gradient} before clipping."""
    trainer = Trainer(model)
    statistics = [buffer.clone() for buffer in model.buffers()]  #: statistics
    model.train()
    loss, _, gradients = trainer.differentiate(
        to_tensors(model, inputs, INPUTS),
        to_tensors(model, targets, TARGETS),
        trainer.weights(sample_weights),
        step,
    )
    for buffer, value in zip(model.buffers(), statistics, strict=True):  #: statistics
        buffer.copy_(value)  #: statistics
    by_tensor = dict(zip(map(id, trainer.parameters), gradients, strict=True))
    return float(loss), {
        path: to_spec([by_tensor[id(tensor)] for tensor in tensors], *layout)
        for path, tensors, *layout in tensors_of(model)
        if id(tensors[0]) in by_tensor
    }


class Trainer:
    """Trains a model. Epoch, order, masks and rate are functions of the number of steps done."""

    def __init__(
        self, model: nn.Module, learning_rate: float | None = None, seed: int = SEED
    ) -> None:
        self.model, self.rate, self.seed, self.steps = model, learning_rate, seed, 0
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = Optimizer(self.parameters)

    def weights(self, sample_weights: np.ndarray | None) -> torch.Tensor | None:
        like = self.parameters[0]
        if sample_weights is None:
            return None
        return torch.as_tensor(sample_weights, dtype=like.dtype, device=like.device)

    def differentiate(self, inputs: Any, targets: Any, weights: Any, step: int) -> tuple:
        """(loss, what the model returned, gradients) of a batch."""
        raw = apply(self.model, inputs, step)
        loss = total_loss(self.model, raw, targets, weights)
        gradients = torch.autograd.grad(
            loss, self.parameters, allow_unused=True, materialize_grads=True
        )
        return loss.detach(), raw, list(gradients)

    def advance(self, inputs: Any, targets: Any, weights: Any = None) -> tuple:
        """One step on a batch of tensors: (loss, what the model returned before it)."""
        self.model.train()
        loss, raw, gradients = self.differentiate(inputs, targets, weights, self.steps)
        gradients = clip_gradients(gradients)  #: clip
        self.optimizer.update(gradients, self.optimizer.scalars(self.steps, self.rate))
        self.steps += 1
        return loss, raw

    def step(
        self, inputs: Arrays, targets: Arrays, sample_weights: np.ndarray | None = None
    ) -> torch.Tensor:
        """One optimizer step on a batch; its loss, still on the device."""
        batch = to_tensors(self.model, inputs, INPUTS), to_tensors(self.model, targets, TARGETS)
        return self.advance(*batch, self.weights(sample_weights))[0]

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
        x, y = to_tensors(self.model, inputs, INPUTS), to_tensors(self.model, targets, TARGETS)
        count = len(next(iter(x.values())))
        per_epoch = -(-count // batch_size)
        history: dict[str, list[float]] = {}
        for epoch in range(self.steps // per_epoch, epochs):
            order = torch.from_numpy(batch_order(self.seed, epoch, count))  #: shuffle
            order = torch.arange(count)  #: ordered
            totals: dict[str, Any] = {}
            for rows in order.split(batch_size)[self.steps % per_epoch :]:
                batch = [{k: v[rows] for k, v in part.items()} for part in (x, y)]
                loss, raw = self.advance(*batch)
                add_batch(totals, loss, raw, batch[1])
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
        x, y = to_tensors(self.model, inputs, INPUTS), to_tensors(self.model, targets, TARGETS)
        totals: dict[str, Any] = {}
        with torch.inference_mode():
            for rows in torch.arange(len(next(iter(x.values())))).split(batch_size):
                batch = [{k: v[rows] for k, v in part.items()} for part in (x, y)]
                raw = apply(self.model, batch[0], 0)
                add_batch(totals, total_loss(self.model, raw, batch[1]), raw, batch[1])
        return means(totals)

    def state(self) -> Arrays:
        """The optimizer's slots in the spec's layout, and the step: flat and neutral."""
        index = {id(p): i for i, p in enumerate(self.parameters)}
        found: Arrays = {"step": np.array(self.steps)}
        for path, tensors, *layout in tensors_of(self.model):
            for slot, values in self.optimizer.slots.items():
                if id(tensors[0]) in index:
                    held = [values[index[id(tensor)]] for tensor in tensors]
                    found[f"{Optimizer.kind}.{slot}/{path}"] = to_spec(held, *layout)
        return found

    def load_state(self, state: Arrays) -> None:
        """Continues from a state(), whichever backend wrote it."""
        missing = self.state().keys() ^ state.keys()
        if missing:
            raise ValueError(f"missing or unknown in the state: {', '.join(sorted(missing))}")
        self.steps = int(state["step"])
        index = {id(p): i for i, p in enumerate(self.parameters)}
        for path, tensors, *layout in tensors_of(self.model):
            for slot, values in self.optimizer.slots.items():
                if id(tensors[0]) in index:
                    held = [values[index[id(tensor)]] for tensor in tensors]
                    from_spec(state[f"{Optimizer.kind}.{slot}/{path}"], held, *layout)


def add_batch(totals: dict[str, Any], loss: Any, raw: Any, targets: Any) -> None:
    """Adds a batch's loss and metrics to the sums of its epoch, weighted by its size."""
    size = len(next(iter(targets.values())))
    values = {name: each.mean() for name, each in metric_values(raw, targets).items()}
    for name, value in {"loss": loss, **values}.items():
        totals[name] = totals.get(name, 0.0) + value.detach() * size
    totals["count"] = totals.get("count", 0) + size


def means(totals: dict[str, Any]) -> dict[str, float]:
    """The epoch's means; reading them waits for the device."""
    count = totals.pop("count", 1)
    return {name: float(total) / count for name, total in totals.items()}


def save(model: nn.Module, path: str) -> None:
    """Writes parameters and statistics as safetensors, which every backend's load() reads."""
    from safetensors.numpy import save_file

    save_file(get_parameters(model), path, {"spec": NAME})


def load(path: str, device: str | None = None) -> Model:
    """The model whose parameters were saved at ``path``, in their precision."""
    from safetensors.numpy import load_file

    parameters = load_file(path)
    dtype = next(iter(parameters.values())).dtype.name
    model = build(dtype=dtype, device=device)
    set_parameters(model, parameters)
    return model


def main() -> None:
    """The command line: train, evaluate or predict with prepared arrays."""
    parser = argparse.ArgumentParser(description=f"{NAME} on PyTorch")
    parser.add_argument("action", choices=("train", "evaluate", "predict"))
    parser.add_argument("data", help="npz with arrays named part/name: train/..., test/...")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--weights", help="safetensors to start from")
    parser.add_argument("--out", help="where to write the weights or predictions")
    options = parser.parse_args()
    arrays = np.load(options.data)
    model = load(options.weights) if options.weights else build()

    def part(name: str, names: Any) -> Arrays:
        return {each: arrays[f"{name}/{each}"] for each in names}

    if options.action == "predict":
        outputs = predict(model, part("test", INPUTS), BATCH_SIZE)
        np.savez(options.out or "predictions.npz", **outputs)
        return
    trainer = Trainer(model)
    if options.action == "train":
        trainer.fit(
            part("train", INPUTS),
            part("train", TARGETS),
            epochs=options.epochs,
            on_epoch=lambda epoch, logs: print(f"epoch {epoch + 1}: {logs}", flush=True),
        )
        if options.out:
            save(model, options.out)
    if any(name.startswith("test/") for name in arrays):
        print("test:", trainer.evaluate(part("test", INPUTS), part("test", TARGETS)))


if __name__ == "__main__":
    main()

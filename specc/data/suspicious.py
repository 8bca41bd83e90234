"""What prepared data say that nobody would mean: warnings, which a spec silences by their names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specc.data.loading import Dataset
from specc.data.spec import DataSpec
from specc.diagnostics import Diagnostic, Note, Span
from specc.frontend.suspicious.flow import Flow
from specc.ir.graph import Configured, Loss, Program, Value

MAX_CLASSES = 1000
"""Among more classes, such as the words of a text, some are always missing."""
MAX_SCALE = 50.0
"""An input with larger values is usually scaled first."""
_SHOWN = 8
"""As many missing classes as a message lists."""
_RANGES = {
    "relu": (0.0, np.inf),
    "softplus": (0.0, np.inf),
    "sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
}
"""What the values of an activation lie between."""
_LEFT = 1e-3
"""The share of the highest rate at which a schedule has come to its end."""
_SCALING = frozenset({"batch_norm", "layer_norm", "group_norm"})


def suspicious_data(program: Program, dataset: Dataset) -> tuple[Diagnostic, ...]:
    """W1013 to W1017 for the prepared data of a program, without those that its spec silences."""
    data = program.data
    assert isinstance(data, DataSpec)
    found = [*_missing_classes(program, data, dataset), *_empty_parts(data, dataset)]
    found += [*_unscaled(program, data, dataset), *_unreachable(program, data, dataset)]
    found += _schedule(program, dataset)
    return tuple(each for each in found if each.name not in program.allow)


def _warning(
    code: str, message: str, span: Span | None, help_: str, notes: tuple[Note, ...] = ()
) -> Diagnostic:
    return Diagnostic(code, message, span, notes, help_, severity="warning")


def _missing_classes(program: Program, data: DataSpec, dataset: Dataset) -> Iterator[Diagnostic]:
    for loss in program.training.losses if program.training else ():
        name = loss.target.name
        present = _present(loss, dataset.train.targets[name])
        if present is None or present.all():
            continue
        missing = np.flatnonzero(~present)
        listed = ", ".join(map(str, missing[:_SHOWN])) + (", ..." if len(missing) > _SHOWN else "")
        classes = f"{len(missing)} of the {len(present)} classes"
        message = f"the training labels of '{name}' never show {classes}: {listed}"
        prediction = loss.prediction
        notes = (Note(f"'{prediction.name}' has {len(present)} classes", prediction.span),)
        help_ = "number the classes from 0, give the output as many as there are, or stratify"
        yield _warning("W1013", message, data.place("targets", name), help_, notes)


def _present(loss: Loss, labels: NDArray[Any]) -> NDArray[np.bool_] | None:
    """(classes,) which classes the labels show; None for what has no classes, or too many."""
    if loss.node.op == "sparse_categorical_crossentropy":
        classes = loss.prediction.type.shape[loss.node["axis"]]
        if not isinstance(classes, int) or classes > MAX_CLASSES:
            return None
        return np.isin(np.arange(classes), labels)
    if loss.node.op == "categorical_crossentropy":
        shares = np.moveaxis(labels, loss.node["axis"], -1)
        few = shares.shape[-1] <= MAX_CLASSES
        return (shares.reshape(-1, shares.shape[-1]).max(axis=0) > 0) if few else None
    if loss.node.op == "binary_crossentropy" and np.isin(labels, (0, 1)).all():
        return np.array([(labels == 0).any(), (labels == 1).any()])
    return None


def _empty_parts(data: DataSpec, dataset: Dataset) -> Iterator[Diagnostic]:
    for name, part in (("validation", dataset.validation), ("test", dataset.test)):
        share = data.split[name]
        if share and part is None:
            message = f"the {name} part is empty: a share of {share:g} is less than half a row"
            help_ = f"write a number of rows, e.g. {name}: 10, or a larger share"
            yield _warning("W1014", message, data.place("split", name), help_)


def _unscaled(program: Program, data: DataSpec, dataset: Dataset) -> Iterator[Diagnostic]:
    for value in program.inputs:
        if value.type.dtype != "float" or _is_normalized(program, value):
            continue
        array = dataset.train.inputs[value.name]
        largest = max(-float(array.min()), float(array.max())) if array.size else 0.0
        if largest > MAX_SCALE:
            message = f"the values of '{value.name}' reach {largest:.4g}: they are not scaled"
            help_ = f"e.g. prepare: {{{value.name}: [standardize]}}, or rescale: {largest:.4g}"
            yield _warning("W1015", message, data.place("inputs", value.name), help_)


def _is_normalized(program: Program, value: Value) -> bool:
    """Whether a normalization is the first layer with parameters after an input, or none is."""
    reached = {id(value)}
    for node in program.graph.nodes:
        if not reached & {id(each) for each in node.inputs}:
            continue
        if node.op in _SCALING:
            return True
        if node.parameters or node.bodies:
            return False
        reached |= {id(each) for each in node.outputs}
    return True


def _unreachable(program: Program, data: DataSpec, dataset: Dataset) -> Iterator[Diagnostic]:
    """Regressions whose last activation cannot give what the targets are."""
    for loss in program.training.losses if program.training else ():
        if "from_logits" in loss.node.attributes and loss.node["from_logits"]:
            continue
        last = Flow(program.graph).maker(loss.prediction)
        target = dataset.train.targets[loss.target.name]
        if last is None or last.op not in _RANGES or target.dtype.kind != "f" or not target.size:
            continue
        low, high = _RANGES[last.op]
        smallest, largest = float(target.min()), float(target.max())
        if low <= smallest and largest <= high:
            continue
        limits = f"never below {low:g}" if high == np.inf else f"between {low:g} and {high:g}"
        message = (
            f"the targets '{loss.target.name}' go from {smallest:.4g} to {largest:.4g}, but "
            f"'{loss.prediction.name}' is the output of {last.op}, {limits}"
        )
        notes = (Note(f"'{loss.prediction.name}' is computed here", last.span),)
        help_ = "leave the activation out, or scale the target in prepare"
        yield _warning("W1016", message, data.place("targets", loss.target.name), help_, notes)


def _schedule(program: Program, dataset: Dataset) -> Iterator[Diagnostic]:
    """A decay that is over long before the training, or a warm-up that is not over with it."""
    training = program.training
    rate = training.optimizer["learning_rate"] if training else None
    if training is None or not isinstance(rate, Configured):
        return
    steps = training.epochs * -(-len(dataset.train) // training.batch_size)
    warmup, end, left = _length(rate)
    message = ""
    if warmup >= steps:
        message = f"the warm-up takes {warmup} steps, but the training has {steps}"
    elif end is not None and left <= _LEFT and steps >= 2 * end:
        message = f"the learning rate has fallen to its end after {end} of {steps} steps"
    if message:
        help_ = f"{training.epochs} epochs are {steps} steps of {training.batch_size} rows"
        yield _warning("W1017", message, rate.span, help_)


def _length(rate: Configured) -> tuple[int, int | None, float]:
    """The steps of a schedule's warm-up, the step from which it stays where it is (None if it does
    not), and what is left then of its highest rate."""
    a = rate.attributes
    if rate.kind == "cosine":
        highest = a["warmup_target"] or a["initial_learning_rate"]
        left = a["alpha"] + a["minimum"] / highest if highest else 1.0
        end = a["warmup_steps"] + a["decay_steps"] if a["after_end"] == "stay" else None
        return a["warmup_steps"], end, left
    if rate.kind == "polynomial" and not a["cycle"] and a["initial_learning_rate"]:
        return 0, a["decay_steps"], a["end_learning_rate"] / a["initial_learning_rate"]
    return 0, None, 1.0

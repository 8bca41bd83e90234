"""Settings of training that no step gets far with."""

from __future__ import annotations

from collections.abc import Sequence

from specc.diagnostics import Note, Span
from specc.frontend.configure import Reporter
from specc.frontend.suspicious.flow import Flow
from specc.frontend.tree import Mapping
from specc.ir.graph import Configured, Training

_RATES = ("learning_rate", "initial_learning_rate", "warmup_target", "values")
"""Attributes of schedules that are learning rates."""


def check_steps(
    training: Training, flows: Sequence[Flow], tree: Mapping, reporter: Reporter
) -> None:
    """W1008 and W1011 for the training of a spec."""
    _check_rate(training.optimizer, tree, reporter)
    nodes = (node for flow in flows for node in flow.nodes)
    normalization = next((node for node in nodes if node.op == "batch_norm"), None)
    if training.batch_size == 1 and normalization is not None:
        message = "batch_norm over batches of one sample: the mean of a feature is the feature"
        place = _place(tree, "training", "batch_size")
        notes = (Note("batch_size is 1", place),) if place else ()
        help_ = "use larger batches, or layer_norm"
        reporter.warning("W1011", message, normalization.span, help_, notes)


def _check_rate(optimizer: Configured, tree: Mapping, reporter: Reporter) -> None:
    from specc.training.optimizers import OPTIMIZERS

    rate = _highest(optimizer["learning_rate"])
    low, high = OPTIMIZERS[optimizer.kind].usual_rates
    if low <= rate <= high:
        return
    where = "above" if rate > high else "below"
    usual = f"{low:g} to {high:g}".replace("e-0", "e-")
    message = f"the learning rate {rate:g} is far {where} those that {optimizer.kind} is used with"
    message += f", {usual}"
    if rate == 0:
        message = "the learning rate is 0: no step changes anything"
    # In the spec the optimizer may stand under another of its names.
    names = (optimizer.kind, *OPTIMIZERS[optimizer.kind].aliases)
    places = [_place(tree, "training", "optimizer", name, "learning_rate") for name in names]
    place = next((each for each in places if each), optimizer.span)
    default = OPTIMIZERS[optimizer.kind].defaults("keras").get("learning_rate")
    reporter.warning("W1008", message, place, f"its default is {default}" if default else "")


def _highest(rate: object) -> float:
    """The highest rate that a number or a schedule is known to reach."""
    if not isinstance(rate, Configured):
        return float(rate)  # type: ignore[arg-type]
    found: list[float] = []
    for name in _RATES:
        value = rate.attributes.get(name)
        if value is not None:
            found += map(float, value if isinstance(value, tuple | list) else (value,))
    return max(found)


def _place(tree: Mapping, *path: str) -> Span | None:
    """Where a value of the spec stands."""
    found: object = tree
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return getattr(found, "span", None)

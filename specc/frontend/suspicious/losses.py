"""Losses whose prediction is plainly not what they take it for."""

from __future__ import annotations

from specc.diagnostics import Note
from specc.frontend.configure import Reporter
from specc.frontend.suspicious.flow import Flow
from specc.ir.graph import Loss, Node, Training

_NO_PROBABILITIES = ("relu", "leaky_relu", "elu", "gelu", "tanh", "softplus")
"""Activations whose values are neither between 0 and 1 nor add up to it."""


def check_losses(training: Training, flow: Flow, reporter: Reporter) -> None:
    """W1002, W1003, W1004 and W1009 for the losses of a spec."""
    for loss in training.losses:
        last = flow.maker(loss.prediction)
        if last is None or last.bodies:
            continue
        _check_dropout(loss, last, flow, reporter)
        if "from_logits" in loss.node.attributes:
            _check_scale(loss, last, reporter)


def _check_dropout(loss: Loss, last: Node, flow: Flow, reporter: Reporter) -> None:
    before = flow.maker(last.inputs[0]) if last.op in ("softmax", "sigmoid") else last
    if before is not None and before.op == "dropout":
        message = f"this dropout changes what {loss.node.op} compares: nothing is learnt from it"
        notes = (Note(f"the loss of '{loss.prediction.name}'", loss.node.span),)
        help_ = "put it before the last layer with parameters"
        reporter.warning("W1009", message, before.span, help_, notes)


def _check_scale(loss: Loss, last: Node, reporter: Reporter) -> None:
    """Cross-entropies that take logits for probabilities, or the reverse."""
    kind, attributes = loss.node.op, loss.node.attributes
    binary = kind == "binary_crossentropy"
    notes = (Note(f"'{loss.prediction.name}' is computed here", last.span),)
    takes = f"{kind} takes '{loss.prediction.name}' for"
    if attributes["from_logits"]:
        if last.op in ("softmax", "sigmoid"):
            message = f"{takes} logits, but it is {_of(last)}"
            help_ = "remove from_logits, or the activation"
            reporter.warning("W1003", message, loss.node.span, help_, notes)
    elif last.parameters or last.op in _NO_PROBABILITIES:
        message = f"{takes} probabilities, but it is {_of(last)}"
        help_ = f"end with {'sigmoid' if binary else 'softmax'}, or set from_logits to true"
        reporter.warning("W1002", message, loss.node.span, help_, notes)
    elif last.op == ("softmax" if binary else "sigmoid"):
        what = "a probability for each value by itself" if binary else "one class out of several"
        other = "categorical_crossentropy" if binary else "binary_crossentropy"
        message = f"{kind} is about {what}, but '{loss.prediction.name}' is {_of(last)}"
        help_ = f"end with {'sigmoid' if binary else 'softmax'}, or use {other}"
        reporter.warning("W1004", message, loss.node.span, help_, notes)


def _of(node: Node) -> str:
    """What a value is, for messages."""
    return f"the output of {node.op}" + (" without an activation" if node.parameters else "")

"""Layers that make no sense beside their neighbours, or with their own attributes."""

from __future__ import annotations

from specc.diagnostics import Note
from specc.frontend.configure import Reporter
from specc.frontend.suspicious.flow import Flow
from specc.ir.graph import Node

MAX_DROPOUT = 0.8
"""A larger share of values is not dropped on purpose."""

_BIASED = ("dense", "conv1d", "conv2d", "depthwise_conv2d")
"""Layers that add a bias to each channel last of all."""
_SQUASHING = {
    "softmax": "between 0 and 1",
    "sigmoid": "between 0 and 1",
    "tanh": "between -1 and 1",
    "relu": "never below 0",
}
"""Activations after which neither softmax nor sigmoid can reach all probabilities, with the range
of their values."""


def check_layers(flow: Flow, reporter: Reporter) -> None:
    """W1005, W1006, W1010, W1012 and W1018 for the layers of a graph."""
    for node in flow.nodes:
        if node.op in ("softmax", "sigmoid"):
            _check_activation(node, flow, reporter)
        elif node.op == "dropout" and node["rate"] > MAX_DROPOUT:
            kept = f"{1 - node['rate']:.2g}"
            message = f"this dropout sets {node['rate']:g} of all values to 0 and keeps {kept}"
            help_ = f"if {node['rate']:g} is the share to keep, write rate: {kept}"
            reporter.warning("W1010", message, node.span, help_)
        if node.op == "dense":
            _check_linear(node, flow, reporter)
        if node.op in _BIASED and node.parameter("bias") is not None:
            _check_bias(node, flow, reporter)


def _check_bias(node: Node, flow: Flow, reporter: Reporter) -> None:
    """A constant for each channel, of which a normalization right after subtracts the mean."""
    made = node.outputs[0]
    after = flow.reader(made)
    if after is None or after.op != "batch_norm" or after.inputs[0] is not made:
        return
    if not after["trainable"] or len([each for each in after.inputs if each]) > 1:
        return  # frozen statistics, or a mask, leave a part of the bias
    first = node.attributes.get("layout") == "channels_first"
    channels = 1 if first else made.type.rank - 1
    if after["axis"] % made.type.rank == channels:
        message = f"the bias of this {node.op} changes nothing: batch_norm subtracts it again"
        notes = (Note("with the mean of each channel", after.span),)
        reporter.warning("W1018", message, node.span, "set use_bias to false", notes)


def _check_activation(node: Node, flow: Flow, reporter: Reporter) -> None:
    (value,) = node.inputs
    assert value is not None
    first = flow.maker(value)
    if first is not None and first.op in _SQUASHING:
        message = (
            f"{node.op} takes the output of {first.op}, whose values are {_SQUASHING[first.op]}"
        )
        notes = (Note(f"{first.op} is applied here", first.span),)
        reporter.warning("W1005", message, node.span, "remove one of the two", notes)
    elif node.op == "softmax" and value.type.shape[node["axis"]] == 1:
        message = f"softmax over one value is always 1: its input is {value.type}"
        reporter.warning("W1006", message, node.span, "use sigmoid, or more than one class")


def _check_linear(node: Node, flow: Flow, reporter: Reporter) -> None:
    """Two products of matrices in a row, the middle no narrower than an end."""
    made = node.outputs[0]
    after = flow.reader(made)
    value = node.inputs[0]
    if after is None or after.op != "dense" or after.layer == node.layer or value is None:
        return
    sizes = value.type.shape[-1], made.type.shape[-1], after.outputs[0].type.shape[-1]
    given, between, wanted = sizes
    if not (isinstance(given, int) and isinstance(between, int) and isinstance(wanted, int)):
        return
    if between >= min(given, wanted):
        message = (
            "dense follows dense without an activation: the two compute what one of them could"
        )
        notes = (Note("its output goes into the next one as it is", node.span),)
        reporter.warning("W1012", message, after.span, "add an activation between them", notes)

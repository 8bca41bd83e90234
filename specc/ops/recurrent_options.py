"""Ports and attributes of the recurrent layers."""

from __future__ import annotations

from specc.ir.graph import Node
from specc.ops.attributes import Attribute, Boolean, Choice, Integer
from specc.ops.base import Port, Site
from specc.ops.options import USE_BIAS, initializer, kernel_initializer, regularizer

INPUT = Port("input", rank=3, doc="(batch, time, features)")
MASK = Port("mask", "bool", 2, optional=True, doc="(batch, time), False at the steps to skip")
INITIAL_H = Port("initial_h", rank=2, optional=True, doc="(batch, units)", group="initial_state")
INITIAL_C = Port("initial_c", rank=2, optional=True, doc="(batch, units)", group="initial_state")
RECURRENT_BIAS = Attribute(
    "recurrent_bias",
    Boolean(),
    keras=False,
    pytorch=True,
    doc="A second bias, added in the recurrent product and trained apart, as PyTorch has.",
)
REFUSED = {
    "input_size": "specc infers the number of features; remove it",
    "hidden_size": "write units",
    "num_layers": "write one layer after another; all but the last with return_sequences: true",
    "batch_first": "recurrent data is always (batch, time, feature); remove it",
    "dropout": "put a dropout layer before it",
    "recurrent_dropout": "it has no counterpart that is the same on every backend",
    "merge_mode": "write merge",
    "stateful": "pass the state on: return_state: true, and initial_state where it goes in",
}


def recurrent_attributes(bias: str, *own: Attribute) -> tuple[Attribute, ...]:
    return (
        Attribute("units", Integer(1), doc="Size of the state, and of the output."),
        Attribute(
            "return_sequences",
            Boolean(),
            keras=False,
            pytorch=True,
            doc="An output at every step, as nn.LSTM gives, or the last one only, as Keras does.",
        ),
        Attribute(
            "return_state", Boolean(), False, "The last state of each direction as further outputs."
        ),
        Attribute(
            "go_backwards",
            Boolean(),
            False,
            "From the last step to the first; the outputs come in that order too, as in Keras.",
        ),
        Attribute(
            "bidirectional",
            Boolean(),
            False,
            "A second layer reads backwards; its parameters are named backward.kernel and so on. "
            "Its outputs stay at the time of their inputs; at masked steps the output is 0.",
        ),
        Attribute(
            "merge",
            Choice(("concat", "sum", "ave")),
            "concat",
            "How the outputs of both directions become one.",
        ),
        *own,
        USE_BIAS,
        kernel_initializer(),
        initializer("recurrent", "orthogonal", "fan_in_uniform"),
        initializer("bias", bias, "fan_in_uniform"),
        regularizer("kernel"),
        regularizer("recurrent"),
        regularizer("bias"),
    )


def prefixes(attributes: Site | Node) -> tuple[str, ...]:
    """What the parameters of each direction begin with."""
    return ("", "backward.") if attributes["bidirectional"] else ("",)

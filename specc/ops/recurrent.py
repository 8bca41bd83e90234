"""Recurrent layers over (batch, time, feature) sequences, in one direction or both."""

from __future__ import annotations

from typing import Any

from specc.ir.dims import BATCH
from specc.ir.graph import Node
from specc.ir.types import TensorType
from specc.ops.attributes import Attribute, Boolean, Choice
from specc.ops.base import BadSample, Form, Module, OpProblem, Sample, Site, Weight
from specc.ops.options import given
from specc.ops.recurrence import Recurrent, has_state, step_mask
from specc.ops.recurrent_options import (
    INITIAL_C,
    INITIAL_H,
    INPUT,
    MASK,
    RECURRENT_BIAS,
    REFUSED,
    prefixes,
    recurrent_attributes,
)

_BATCH_TIME = (BATCH, 5)
_SEQUENCE = TensorType("float", (*_BATCH_TIME, 3))
_STEPS = TensorType("bool", _BATCH_TIME)
_STATE = TensorType("float", (BATCH, 4))


class SimpleRnn(Recurrent):
    """A plain recurrent layer: ``h = activation(x @ kernel + h @ recurrent_kernel + bias)``.

    input: (batch, time, features); output: (batch, time, units) or (batch, units); kernel:
    (features, units); recurrent_kernel: (units, units); biases: (units,). At a masked step the
    state stays, and the output repeats the last one, 0 before the first.
    """

    kind = "simple_rnn"
    aliases = ("rnn",)
    gates = 1
    names = ("nn.RNN", "keras.layers.SimpleRNN")
    ports = (INPUT, INITIAL_H, MASK)
    refused = {**REFUSED, "nonlinearity": "write activation"}
    attributes = recurrent_attributes(
        "zeros",
        Attribute("activation", Choice(("tanh", "relu")), "tanh", "What bends each new state."),
        RECURRENT_BIAS,
    )
    samples = (
        Sample((_SEQUENCE, None, None), {"units": 4}),
        Sample((_SEQUENCE, _STATE, _STEPS), {"units": 4, "activation": "relu"}),
        Sample((_SEQUENCE, None, None), {"units": 4, "activation": "relu"}, "pytorch"),
        Sample(
            (_SEQUENCE, None, _STEPS),
            {"units": 4, "bidirectional": True, "merge": "sum", "return_state": True},
        ),
    )
    bad = (
        BadSample((_SEQUENCE, None, None), {"units": 4, "activation": "gelu"}, "one of tanh, relu"),
    )

    def torch_options(self, node: Node) -> dict[str, Any]:
        return given(nonlinearity=(node["activation"], "tanh"))

    def tensorflow_options(self, node: Node) -> dict[str, Any]:
        return given(activation=(node["activation"], "tanh"))

    def numpy_options(self, node: Node) -> list[str]:
        return [f"activation={node['activation']!r}"] if node["activation"] != "tanh" else []

    def _gradient_literals(self, node: Node, prefix: str) -> tuple[Any, ...]:
        return (node["activation"], *super()._gradient_literals(node, prefix))


class Lstm(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997), with a forget gate.

    input: (batch, time, features); output: (batch, time, units) or (batch, units); kernel:
    (features, 4 units); recurrent_kernel: (units, 4 units); biases: (4 units,), all with the
    input, forget, cell and output gates in this order. At a masked step the state stays, and the
    output repeats the last one, 0 before the first.
    """

    kind = "lstm"
    gates = 4
    states = ("h", "c")
    names = ("nn.LSTM", "keras.layers.LSTM")
    ports = (INPUT, INITIAL_H, INITIAL_C, MASK)
    refused = {
        **REFUSED,
        "activation": "an lstm's activations are tanh and sigmoid; remove it",
        "recurrent_activation": "an lstm's gates are sigmoids; remove it",
        "unit_forget_bias": "write bias_initializer: unit_forget_bias, or zeros",
    }
    attributes = recurrent_attributes("unit_forget_bias", RECURRENT_BIAS)
    samples = (
        Sample((_SEQUENCE, None, None, None), {"units": 4}),
        Sample((_SEQUENCE, None, None, None), {"units": 4}, "pytorch"),
        Sample((_SEQUENCE, None, None, _STEPS), {"units": 4, "return_sequences": True}),
        Sample(
            (_SEQUENCE, _STATE, _STATE, _STEPS),
            {"units": 4, "return_state": True, "go_backwards": True},
        ),
        Sample(
            (_SEQUENCE, None, None, None),
            {"units": 4, "bidirectional": True, "return_sequences": True, "use_bias": False},
        ),
        Sample(
            (_SEQUENCE, None, None, _STEPS),
            {"units": 4, "bidirectional": True, "return_state": True, "merge": "ave"},
            "pytorch",
        ),
    )
    bad = (
        BadSample(
            (TensorType("float", (BATCH, 5)), None, None, None), {"units": 4}, "time and features"
        ),
        BadSample(
            (_SEQUENCE, _STATE, TensorType("float", (BATCH, 3)), None), {"units": 4}, "'initial_c'"
        ),
        BadSample((_SEQUENCE, _STATE, None, None), {"units": 4}, "both initial_h and initial_c"),
        BadSample(
            (_SEQUENCE, None, None, None),
            {"units": 4, "bidirectional": True, "go_backwards": True},
            "reads both ways already",
        ),
        BadSample(
            (_SEQUENCE, _STATE, _STATE, None),
            {"units": 4, "bidirectional": True},
            "takes no initial state",
        ),
    )

    def _check_ports(self, site: Site, mask: TensorType, state: TensorType) -> None:
        if (site.inputs[1] is None) != (site.inputs[2] is None):
            raise OpProblem(
                "an lstm's initial state is both initial_h and initial_c",
                help="wire initial_state: [h, c]",
                port="initial_h",
            )
        super()._check_ports(site, mask, state)

    def torch_state(self, node: Node) -> str:
        return "({initial_h}.unsqueeze(0), {initial_c}.unsqueeze(0))"


class Gru(Recurrent):
    """A gated recurrent unit (Cho et al., 2014).

    input: (batch, time, features); output: (batch, time, units) or (batch, units); kernel:
    (features, 3 units); recurrent_kernel: (units, 3 units); bias: (2, 3 units), for the input and
    for the recurrent product, or (3 units,) without ``reset_after``; all with the update, reset
    and candidate gates in this order. At a masked step the state stays, and the output repeats the
    last one, 0 before the first.
    """

    kind = "gru"
    gates = 3
    names = ("nn.GRU", "keras.layers.GRU")
    ports = (INPUT, INITIAL_H, MASK)
    refused = {
        **REFUSED,
        "activation": "a gru's activations are tanh and sigmoid; remove it",
        "recurrent_activation": "a gru's gates are sigmoids; remove it",
    }
    attributes = recurrent_attributes(
        "zeros",
        Attribute(
            "reset_after",
            Boolean(),
            True,
            "The reset gate acts after the recurrent product, as in both frameworks by default, "
            "or on the state before it, as first published.",
        ),
    )
    samples = (
        Sample((_SEQUENCE, None, None), {"units": 4}),
        Sample((_SEQUENCE, _STATE, _STEPS), {"units": 4, "return_sequences": True}),
        Sample((_SEQUENCE, None, _STEPS), {"units": 4, "reset_after": False}),
        Sample((_SEQUENCE, None, None), {"units": 4, "bidirectional": True}, "pytorch"),
        Sample(
            (_SEQUENCE, None, _STEPS),
            {
                "units": 4,
                "bidirectional": True,
                "return_sequences": True,
                "return_state": True,
                "reset_after": False,
            },
        ),
    )
    bad = (BadSample((_SEQUENCE, _SEQUENCE, None), {"units": 4}, "at its input 'initial_h'"),)
    torch_gates = (1, 0, 2)

    def biases(self, attributes: Site | Node) -> dict[str, tuple[int, ...]]:
        if not attributes["use_bias"]:
            return {}
        width = 3 * attributes["units"]
        return {"bias": (2, width) if attributes["reset_after"] else (width,)}

    def function(self, node: Node) -> str:
        return "gru" if node["reset_after"] else "gru_reset_before"

    def torch_biases(self, prefix: str, suffix: str) -> tuple[Weight, ...]:
        both = (f"bias_ih{suffix}", f"bias_hh{suffix}")
        return (Weight(f"{prefix}bias", both, None, self.torch_gates),)

    def torch(self, node: Node) -> Form:
        if node["reset_after"]:
            return super().torch(node)
        keywords = given(
            bias=(node["use_bias"], True), bidirectional=(node["bidirectional"], False)
        )
        weights = tuple(
            Weight(prefix + name, (prefix.replace(".", "_") + name,))
            for prefix in prefixes(node)
            for name in self.direction_names(node)
        )
        arguments = (self.input_type(node).shape[-1], node["units"])
        module = Module("ResetBeforeGRU", arguments, keywords, weights)
        flip = ".flip(1)" if node["go_backwards"] else ""
        call = f"{{self}}({{input}}{flip}"
        if has_state(node):
            call += f", {self.torch_state(node)}"
        if step_mask(node) is not None:
            call += f", mask={{mask}}{flip}"
        return Form(self._torch_outputs(node, f"{call})"), module=module)

    def tensorflow_options(self, node: Node) -> dict[str, Any]:
        return given(reset_after=(node["reset_after"], True))


OPS = (Gru, Lstm, SimpleRnn)

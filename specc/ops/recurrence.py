"""What the recurrent layers share: directions, states, masks, and their forms on every backend."""

from __future__ import annotations

from typing import Any, ClassVar

from specc.ir.dims import Dim, product
from specc.ir.graph import Node, Parameter, Value
from specc.ir.types import TensorType
from specc.ops.advice import sequence_advice, state_advice
from specc.ops.base import Form, Module, Op, OpProblem, Site, Source, Weight, weight_parameter
from specc.ops.gradients import GradientBuilder
from specc.ops.options import given
from specc.ops.recurrent_options import REFUSED, prefixes

# Keras' loop over that many steps at most is written out in the graph: a training step takes three
# quarters of the time, and 100 steps take 3 seconds to trace.
UNROLLED_STEPS = 128


def step_mask(node: Node) -> Value | None:
    """What is wired to the last port: which steps count."""
    return node.inputs[-1]


def has_state(node: Node) -> bool:
    """Whether an initial state is wired."""
    return node.inputs[1] is not None


class Recurrent(Op):
    """Base of the recurrent layers: ``gates`` blocks of units side by side in every kernel."""

    family = "recurrent"
    refused = REFUSED
    gates: ClassVar[int]
    states: ClassVar[tuple[str, ...]] = ("h",)
    # The classes of torch and Keras.
    names: ClassVar[tuple[str, str]]

    # Checking ---------------------------------------------------------------------------------

    def output_names(self, site: Site) -> tuple[str, ...]:
        if not site["return_state"]:
            return ("output",)
        if not site["bidirectional"]:
            return ("output", *self.states)
        return ("output", *(f"{way}_{s}" for way in ("forward", "backward") for s in self.states))

    def infer(self, site: Site) -> tuple[TensorType, ...]:
        if site.input.rank != 3:
            raise OpProblem(
                f"{self.kind} needs 2 axes beside the batch, time and features; "
                f"this input is {site.input}",
                help=sequence_advice(site.input),
                port="input",
                about="rank",
            )
        site.static(-1, "the number of features")
        batch, time, _ = site.input.shape
        state = TensorType("float", (batch, site["units"]))
        self._check_ports(site, TensorType("bool", (batch, time)), state)
        if site["bidirectional"] and site["go_backwards"]:
            raise OpProblem(
                f"a bidirectional {self.kind} reads both ways already",
                help="remove go_backwards",
                attribute="go_backwards",
            )
        joined = site["bidirectional"] and site["merge"] == "concat"
        width = site["units"] * (2 if joined else 1)
        shape = (batch, time, width) if site["return_sequences"] else (batch, width)
        return (TensorType("float", shape), *[state] * (len(self.output_names(site)) - 1))

    def size_from(self, site: Site, axis: int) -> str | tuple[int, int] | None:
        if axis == 1 and site["return_sequences"]:
            return 0, 1
        joined = site["bidirectional"] and site["merge"] == "concat"
        return None if joined else "units"

    def _check_ports(self, site: Site, mask: TensorType, state: TensorType) -> None:
        for index, (port, found) in enumerate(zip(self.ports, site.inputs, strict=True)):
            wanted = mask if port.name == "mask" else state
            if index == 0 or found is None:
                continue
            if found.shape != wanted.shape:
                raise OpProblem(
                    f"{self.kind} needs {wanted} at its input '{port.name}', not {found}",
                    help=""
                    if wanted is mask
                    else state_advice(site.name(index), found, site["units"]),
                    port=port.name,
                    axes=((index, found.rank - 1),),
                )
            if wanted is state and site["bidirectional"]:
                raise OpProblem(
                    f"a bidirectional {self.kind} begins with zeros: it takes no initial state",
                    help=f"write two {self.kind} layers, the second with go_backwards: true",
                    port=port.name,
                )

    def passes_mask(self, site: Site) -> bool:
        return bool(site["return_sequences"])

    def parameters(self, site: Site) -> tuple[Parameter, ...]:
        features, units = site.static(-1, "the number of features"), site["units"]
        width = self.gates * units

        def weight(name: str, shape: tuple[int, ...], fan_in: int, group: str) -> Parameter:
            options = f"{group}_initializer", f"{group}_regularizer"
            # torch draws every array of a recurrent layer from U(-1 / sqrt(units), ...).
            if site[options[0]].kind == "fan_in_uniform":
                fan_in = units
            return weight_parameter(
                site,
                name,
                shape,
                fan_in=fan_in,
                fan_out=width,
                initializer=options[0],
                regularizer=options[1],
            )

        found = []
        for prefix in prefixes(site):
            found += [
                weight(f"{prefix}kernel", (features, width), features, "kernel"),
                weight(f"{prefix}recurrent_kernel", (units, width), units, "recurrent"),
            ]
            for name, shape in self.biases(site).items():
                found.append(weight(prefix + name, shape, width, "bias"))
        return tuple(found)

    def biases(self, attributes: Site | Node) -> dict[str, tuple[int, ...]]:
        """Name and shape of the biases of one direction."""
        if not attributes["use_bias"]:
            return {}
        shape = (self.gates * attributes["units"],)
        return dict.fromkeys(["bias", "recurrent_bias"][: 1 + attributes["recurrent_bias"]], shape)

    def direction_names(self, node: Node) -> tuple[str, ...]:
        """The parameters of one direction."""
        return ("kernel", "recurrent_kernel", *self.biases(node))

    def flops(self, node: Node) -> Dim:
        found = self.input_type(node)
        per_step = sum(2 * p.shape[0] * p.shape[1] for p in node.parameters if "kernel" in p.name)
        return product(found.shape[:2]) * per_step

    def input_type(self, node: Node) -> TensorType:
        source = node.inputs[0]
        assert source is not None
        return source.type

    # PyTorch ----------------------------------------------------------------------------------

    def torch(self, node: Node) -> Form:
        features = self.input_type(node).shape[-1]
        keywords = given(bias=(node["use_bias"], True)) | {"batch_first": True}
        keywords |= given(bidirectional=(node["bidirectional"], False)) | self.torch_options(node)
        one_bias = node["use_bias"] and not node.attributes.get("recurrent_bias", True)
        module = Module(
            self.names[0],
            (features, node["units"]),
            keywords,
            self._torch_weights(node),
            "one_bias({module})" if one_bias else "{module}",
        )
        return Form(self._torch_outputs(node, self.torch_call(node)), module=module)

    def torch_options(self, node: Node) -> dict[str, Any]:
        """Further keywords of the module."""
        return {}

    # Where torch keeps the blocks of its gates, in the order of the spec.
    torch_gates: ClassVar[tuple[int, ...] | None] = None

    def _torch_weights(self, node: Node) -> tuple[Weight, ...]:
        found = []
        for prefix, suffix in zip(prefixes(node), ("_l0", "_l0_reverse"), strict=False):
            gates = self.torch_gates
            found += [
                Weight(f"{prefix}kernel", (f"weight_ih{suffix}",), (1, 0), gates),
                Weight(f"{prefix}recurrent_kernel", (f"weight_hh{suffix}",), (1, 0), gates),
                *self.torch_biases(prefix, suffix),
            ]
        return tuple(found)

    def torch_biases(self, prefix: str, suffix: str) -> tuple[Weight, ...]:
        return (
            Weight(f"{prefix}bias", (f"bias_ih{suffix}",), None, self.torch_gates),
            Weight(f"{prefix}recurrent_bias", (f"bias_hh{suffix}",), None, self.torch_gates),
        )

    def torch_call(self, node: Node) -> str:
        """The call of the module: a template of (outputs, state), as nn.LSTM returns."""
        mask = step_mask(node)
        flip = ".flip(1)" if node["go_backwards"] else ""
        arguments = [f"{{input}}{flip}"]
        if mask is not None:
            arguments = ["{self}", *arguments, f"{{mask}}{flip}"]
        if has_state(node):
            arguments.append(self.torch_state(node))
        if mask is None:
            return f"{{self}}({', '.join(arguments)})"
        if node["return_state"]:
            arguments.append("with_state=True")
        return f"masked_rnn({', '.join(arguments)})"

    def torch_state(self, node: Node) -> str:
        return "{initial_h}.unsqueeze(0)"

    def _torch_outputs(self, node: Node, call: str) -> str:
        sequences, states = node["return_sequences"], node["return_state"]
        plain = not node["bidirectional"] or (sequences and node["merge"] == "concat")
        if plain and not states:
            return f"{call}[0]" if sequences else f"{call}[0][:, -1]"
        merge = f", {node['merge']!r}" if node["bidirectional"] else ""
        return f"recurrent_outputs({call}, {sequences}{merge}){'' if states else '[0]'}"

    # TensorFlow -------------------------------------------------------------------------------

    def tensorflow(self, node: Node) -> Form:
        sequence = node.inputs[0]
        assert sequence is not None
        steps, masked = sequence.type.shape[1], step_mask(node) is not None
        keywords = given(
            return_sequences=(node["return_sequences"], False),
            return_state=(node["return_state"], False),
            go_backwards=(node["go_backwards"], False),
            use_bias=(node["use_bias"], True),
            # Unrolled, a masked GRU of Keras repeats other outputs than its loop does.
            unroll=(isinstance(steps, int) and steps <= UNROLLED_STEPS and not masked, False),
        )
        keywords |= self.tensorflow_options(node)
        two = node["use_bias"] and node.attributes.get("recurrent_bias", False)
        wrap = "two_biases({module})" if two else "{module}"
        layer = self.names[1]
        places: tuple[str, ...] = ("cell",)
        module = Module(layer, (node["units"],), keywords, (), wrap)
        if node["bidirectional"]:
            listed = [str(node["units"])]
            listed += [f"{k}={v.value!r}" for k, v in keywords.items() if v.value != v.default]
            inner = Source(f"{layer}({', '.join(listed)})")
            merge = given(merge_mode=(node["merge"], "concat"))
            module = Module("keras.layers.Bidirectional", (inner,), merge, (), wrap)
            places = ("forward_layer.cell", "backward_layer.cell")
        weights = tuple(
            Weight(prefix + name, (f"{place}.{'input_bias' if two and name == 'bias' else name}",))
            for prefix, place in zip(prefixes(node), places, strict=True)
            for name in self.direction_names(node)
        )
        module = Module(module.type, module.arguments, module.keywords, weights, module.wrap)
        arguments = ["{input}"]
        initial = [f"{{initial_{each}}}" for each in self.states]
        if has_state(node):
            arguments.append(f"initial_state=[{', '.join(initial)}]")
        if step_mask(node) is not None:
            arguments.append("mask={mask}")
        return Form(f"{{self}}({', '.join(arguments)})", module=module)

    def tensorflow_options(self, node: Node) -> dict[str, Any]:
        """Further keywords of the Keras layer."""
        return {}

    # NumPy ------------------------------------------------------------------------------------

    def function(self, node: Node) -> str:
        """The kernel's name in the NumPy prelude."""
        return self.kind

    def saved(self, node: Node) -> tuple[tuple[str, TensorType], ...]:
        kept = TensorType("float", ())
        names = ("saved", "backward_saved") if node["bidirectional"] else ("saved",)
        return tuple((name, kept) for name in names)

    def numpy_options(self, node: Node) -> list[str]:
        """Further keyword arguments of the kernel."""
        return []

    def numpy(self, node: Node) -> Form:
        calls = [self._numpy_call(node, prefix) for prefix in prefixes(node)]
        sequences, states = node["return_sequences"], node["return_state"]
        if node["bidirectional"]:
            masked = ", {mask}" if step_mask(node) is not None else ""
            options = f"{node['merge']!r}, {sequences}, {states}{masked}"
            training = f"merge_directions({calls[0]}, {calls[1]}, {options})"
            inference = f"{training}[:-2]" if states else f"{training}[0]"
            return Form(training, saved=("saved", "backward_saved"), inference=inference)
        training = calls[0] if sequences else f"last_step({calls[0]})"
        inference = f"{training}[:-1]" if states else f"{training}[0]"
        if not states:
            training = f"{training}[:: {1 + len(self.states)}]"
        return Form(training, saved=("saved",), inference=inference)

    def _numpy_call(self, node: Node, prefix: str) -> str:
        flip = "[:, ::-1]" if node["go_backwards"] else ""
        name = prefix.replace(".", "_")
        arguments = [f"{{input}}{flip}"]
        arguments += [f"{{{name}{each}}}" for each in self.direction_names(node)]
        for port, state in zip(node.inputs[1:], self.states, strict=False):
            if port is not None:
                arguments.append(f"{state}0={{initial_{state}}}")
        if step_mask(node) is not None:
            arguments.append(f"mask={{mask}}{flip}")
        arguments += self.numpy_options(node)
        if prefix:
            arguments.append("reverse=True")
        return f"{self.function(node)}({', '.join(arguments)})"

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        mask = step_mask(node)
        if mask is not None and node["go_backwards"]:
            mask = g.expression("{0}[:, ::-1]", (mask,), mask.type, "mask")
        if not node["bidirectional"]:
            d_outputs, d_states = self._output_gradients(node, g, mask)
            self._direction(node, g, "", d_outputs, d_states, mask)
            return
        output, count = node.outputs[0], len(self.states)
        dy = g.of(output)
        sides: list[Value] | list[None] = [None, None]
        if dy is not None:
            shape = (*output.type.shape[:-1], node["units"])
            kinds = [TensorType("float", shape)] * 2
            masked = (mask,) if mask is not None and node["return_sequences"] else ()
            sides = g.call("split_directions", (dy, node["merge"], *masked), kinds, "d_direction")
        for prefix, side, first in zip(prefixes(node), sides, (1, 1 + count), strict=True):
            d_states = [g.of(value) for value in node.outputs[first : first + count]]
            d_states += [None] * (count - len(d_states))
            if not node["return_sequences"]:
                d_states[0] = _sum(g, side, d_states[0])
                side = None
            self._direction(node, g, prefix, side, d_states, mask)

    def _output_gradients(
        self, node: Node, g: GradientBuilder, mask: Value | None
    ) -> tuple[Value | None, list[Value | None]]:
        """Gradients of all outputs (or None) and of the last states, in one direction."""
        d_output = g.of(node.outputs[0])
        d_states = [g.of(value) for value in node.outputs[1:]]
        d_states += [None] * (len(self.states) - len(d_states))
        if node["return_sequences"] or d_output is None:
            return d_output, d_states
        if mask is not None and has_state(node):
            # Without a valid step the output is 0, whatever the initial state is.
            d_output = g.expression(
                "{0} * {1}.any(axis=1, keepdims=True)", (d_output, mask), d_output.type, "d_last"
            )
        d_states[0] = _sum(g, d_output, d_states[0])
        return None, d_states

    def _direction(
        self,
        node: Node,
        g: GradientBuilder,
        prefix: str,
        d_outputs: Value | None,
        d_states: list[Value | None],
        mask: Value | None,
    ) -> None:
        """Adds the gradients of one direction's parameters and of the layer's inputs."""
        x = node.inputs[0]
        assert x is not None
        parameters = {name: g.parameter(node, prefix + name) for name in self.direction_names(node)}
        saved = g.saved(node, "backward_saved" if prefix else "saved")
        kernels = parameters["kernel"], parameters["recurrent_kernel"]
        initial = node.inputs[1:-1]
        bias = parameters.get("bias")
        kinds = [
            x.type if g.wants(x) else None,
            *(each.type for each in kernels),
            bias.type if bias is not None else None,
            *(v.type if v is not None and g.wants(v) else None for v in initial),
        ]
        named = [x, *kernels, bias, *initial]
        results = g.call(
            f"{self.function(node)}_gradient",
            (d_outputs, *d_states, saved, *kernels, mask, *self._gradient_literals(node, prefix)),
            kinds,
            [f"d_{value.name}" if value is not None else "_" for value in named],
        )
        dx, d_kernel, d_recurrent, d_bias, *d_initial = results
        if node["go_backwards"] and g.wants(x):
            dx = g.expression("{0}[:, ::-1]", (dx,), x.type, f"d_{x.name}")
        g.add(x, dx)
        g.add(kernels[0], d_kernel)
        g.add(kernels[1], d_recurrent)
        for name in self.biases(node):  # a recurrent bias has the bias' gradient
            g.add(parameters[name], d_bias)
        for value, gradient in zip(initial, d_initial, strict=True):
            g.add(value, gradient)

    def _gradient_literals(self, node: Node, prefix: str) -> tuple[Any, ...]:
        return (True,) if prefix else ()


def _sum(g: GradientBuilder, first: Value | None, second: Value | None) -> Value | None:
    if first is None or second is None:
        return first if second is None else second
    return g.expression("{0} + {1}", (first, second), first.type, "d_state")

"""Writes the NumPy program: the forward pass, the losses and every gradient as explicit
statements.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace

from specc.backends.base import repeated_inputs, template_fields
from specc.backends.numpy.passes import PASSES
from specc.backends.numpy.statements import read_statements
from specc.backends.writer import Names, literal, render, words
from specc.ir.dims import BATCH, Dim
from specc.ir.graph import Loss, Node, Program, Value
from specc.ir.types import TensorType
from specc.ops.base import Form
from specc.ops.gradients import EXPRESSION, GradientBuilder
from specc.ops.registry import OPS
from specc.records import dataclass

RESERVED = frozenset(
    {
        "np",
        "math",
        "hashlib",
        "model",
        "p",
        "g",
        "path",
        "inputs",
        "targets",
        "step",
        "record",
        "training",
    }
)


# The decorator of a function that computes on threads of its own.
OWN_THREADS = "on_own_threads"
# Kernels whose parts take long enough to be shared out to threads.
_SHARED_OUT = re.compile(
    r"\b(conv2d|channel_norm|last_axis_norm|max_pool2d|scaled_dot_product_attention"
    r"|multi_head_attention|lstm)\("
)


def shares_out(lines: Iterable[str]) -> bool:
    """Whether one of these statements calls a kernel of many long parts."""
    return any(map(_SHARED_OUT.search, lines))


# What takes some of the results of a call.
_PART = re.compile(r"\)\[[^][()]*\]$")


@dataclass
class Statements:
    """Lines of one function, and the text that stands for each value."""

    names: Names
    lines: list[str] = field(default_factory=list)
    inlined: dict[int, str] = field(default_factory=dict)

    def text(self, value: Value) -> str:
        return self.inlined.get(id(value)) or self.names.of(value)

    def assign(self, target: str, expression: str, shape: str = "") -> None:
        comment = f"  # {shape}" if shape else ""
        self.lines.append(f"    {target} = {expression}{comment}")

    def section(self, title: str) -> None:
        self.lines += ["", f"    # {title}"]


class NumpyProgram:
    """The functions of a flat program whose images are channels last."""

    def __init__(
        self,
        program: Program,
        lower: Callable[[Node], Form],
        kernels: frozenset[str],
        until: str = "",
    ) -> None:
        self.program, self.lower, self.until = program, lower, until
        self.reserved = RESERVED | kernels
        self.graph = program.graph
        self.parameters = {
            path: Value(path, TensorType("float", parameter.shape))
            for path, parameter in self.graph.parameters()
        }
        self.losses = self._located_losses()
        self.trained = [path for path, p in self.graph.parameters() if p.trainable]
        self.saved = {
            f"{node.path}.{name}": Value(f"{node.path}.{name}", kind)
            for node in self.graph.nodes
            for name, kind in OPS[node.op].saved(node)
        }

    def _located_losses(self) -> tuple[Loss, ...]:
        """The losses on the values of this graph: inlining and layout have put others in their
        place.
        """
        program = self.program
        if program.training is None:
            return ()
        moved = dict(zip(map(id, program.head.inputs), self.graph.outputs, strict=True))
        located = []
        for loss in program.training.losses:
            prediction = moved[id(loss.prediction)]
            node = replace(loss.node, inputs=(prediction, *loss.node.inputs[1:]))
            mask = moved[id(loss.mask)] if loss.mask is not None else None
            located.append(replace(loss, node=node, prediction=prediction, mask=mask))
        return tuple(located)

    # The forward pass

    def forward(self) -> str:
        """``forward(model, inputs)``: what the outputs need, for a file without training."""
        body = self._begin()
        readers = _readers(self.graph.nodes, self.graph.outputs)
        for node in self.graph.nodes:
            self._statement(node, body, readers, training=False)
        self._record(body)
        body.lines.append(f"    return {self._results(body)}")
        lines = self._improved(body, [])
        return "\n".join(
            [
                *self._decorators(lines),
                "def forward(model, inputs):",
                '    """The forward pass in inference mode."""',
                *self._prologue(),
                *lines,
            ]
        )

    def _begin(self) -> Statements:
        body = Statements(Names(self.reserved | {"loss", "sample_weights"}))
        for path, value in self.parameters.items():
            body.inlined[id(value)] = f"p[{literal(path)}]"
        for value in self.program.inputs:
            body.assign(
                body.names.of(value), f"inputs[{literal(value.name)}]", value.type.comment()
            )
        return body

    def _prologue(self) -> list[str]:
        return ["    p = model.parameters"] if self.parameters else []

    def _decorators(self, lines: list[str]) -> list[str]:
        """A function of large kernels computes on threads of its own."""
        return [f"@{OWN_THREADS}"] if self.program.optimize and shares_out(lines) else []

    def _results(self, body: Statements) -> str:
        return ", ".join(body.text(value) for value in self.graph.outputs)

    def _statement(
        self, node: Node, body: Statements, readers: Mapping[int, int], training: bool
    ) -> None:
        """The node in inference mode, and in training mode where the function has both."""
        form = self.lower(node)
        differs = training and _differs(form)
        template = form.expression if training or not form.inference else form.inference
        texts = [template, *form.effects, form.inference] if differs else [template]
        for value in repeated_inputs(node, "".join(texts)):
            if id(value) in body.inlined:
                text = body.inlined.pop(id(value))
                body.assign(body.names.of(value), text, value.type.comment())
        fields = self._fields(node, form, body)
        expression = render(template, fields)
        saved = self._saved(node) if training and form.saved else []
        targets = [*node.outputs, *saved]
        lone = len(targets) == 1 and targets[0].internal and readers.get(id(targets[0])) == 1
        if lone and not differs:
            body.inlined[id(targets[0])] = expression
            return
        listed = ", ".join(body.names.of(value) for value in targets)
        shape = node.outputs[0].type.comment()
        if not differs:
            body.assign(listed, expression, shape)
            return
        outputs = ", ".join(body.names.of(value) for value in node.outputs)
        body.lines.append("    if not training:")
        body.assign(f"    {outputs}", render(form.inference, fields), shape)
        body.lines.append("    else:")
        body.assign(f"    {listed}", expression, shape)
        fields |= {v.name.rpartition(".")[2]: body.names.of(v) for v in saved}
        body.lines += [f"        {_effect(effect, fields)}" for effect in form.effects]

    def _fields(self, node: Node, form: Form, body: Statements) -> dict[str, str]:
        texts = [None if value is None else body.text(value) for value in node.inputs]
        fields = template_fields(node, form, texts)
        for parameter in node.parameters:
            value = self.parameters[f"{node.layer}.{parameter.name}"]
            fields[parameter.name.replace(".", "_")] = body.text(value)
        call = node.path.partition("@")[2] or "0"
        fields |= {"path": literal(node.layer), "call": call, "seed": "model.seed", "step": "step"}
        return fields

    def _saved(self, node: Node) -> list[Value]:
        return [self.saved[f"{node.path}.{name}"] for name, _ in OPS[node.op].saved(node)]

    def _record(self, body: Statements) -> None:
        """Shows trace() every named value."""
        outputs = [value for node in self.graph.nodes for value in node.outputs]
        values = [value for value in outputs if not value.internal]
        if not values:
            return
        called = {value.name: body.text(value) for value in values}
        flat = {name: re.sub(r"\W", "_", name) for name in called}  # as record() finds them
        other = {name for name, text in called.items() if text != flat[name]}
        other |= {name for name in called if flat[name] in other}
        given = ", ".join(f"{literal(name)}: {called[name]}" for name in called if name in other)
        scope = f"{{**locals(), {given}}}" if given else "locals()"
        plain = words([value.name for value in values if not value.axes])
        images = words([value.name for value in values if value.axes])
        texts = [scope, plain, f"images={images}" if images else ""]
        body.lines.append(f"    record({', '.join(text for text in texts if text)})")

    # Training

    def forward_backward(self) -> str:
        """``forward_backward(model, inputs, targets, sample_weights, step, training)``: loss, raw
        result, gradients; without targets the raw result alone.
        """
        gradients, roots, seeds = self._differentiate()
        backward = _live(gradients, roots)
        losses = [loss.node for loss in self.losses]
        readers = _readers([*self.graph.nodes, *losses, *backward], self.graph.outputs)
        body = self._begin()
        for node in self.graph.nodes:
            self._statement(node, body, readers, training=True)
        raw = self._results(body)
        if len(self.graph.outputs) > 1 or not raw.isidentifier():
            name = body.names.fresh("raw")
            body.assign(name, raw)
            raw = name
        self._record(body)
        body.lines += ["    if targets is None:", f"        return None, {raw}, None"]
        body.assign("loss", f"total_loss(model, {raw}, targets, sample_weights)")
        for loss, weights in zip(self.losses, seeds, strict=True):
            self._weights(loss, weights, body)
        body.section("Backward: d_x is the gradient of the loss with respect to x")
        body.lines.append("    g = {}")
        self._backward(body, backward, roots)
        body.lines.append(f"    return loss, {raw}, {{path: g[path] for path in p if path in g}}")
        lines = self._improved(body, backward)
        return "\n".join(
            [
                *self._decorators(lines),
                "def forward_backward(",
                "    model, inputs, targets=None, sample_weights=None, step=0, training=True",
                "):",
                '    """(loss, raw outputs, {path: gradient}); without targets raw outputs only.',
                "",
                "    training=False is inference mode.",
                '    """',
                *self._prologue(),
                *lines,
            ]
        )

    def _improved(self, body: Statements, backward: list[Node]) -> list[str]:
        """The body after the passes that make it fast, at the levels that ask for them, or after
        the one named ``until``.
        """
        if not self.program.optimize:
            return body.lines
        values = [v for node in (*self.graph.nodes, *backward) for v in node.outputs]
        large = {body.text(v) for v in (*values, *self.saved.values()) if _is_large(v)}
        large -= {body.text(v) for v in self.graph.outputs}
        statements = read_statements(body.lines, large)
        for each in PASSES:
            statements = each(statements)
            if each.__name__ == self.until:
                break
        return [statement.text for statement in statements]

    def _backward(self, body: Statements, backward: list[Node], roots: Mapping[str, Value]) -> None:
        """The statements of the backward pass; gradients of parameters go into ``g``."""
        made = {id(value) for node in backward for value in node.outputs}
        placed: set[int] = set()
        for path, value in roots.items():
            if id(value) in made and id(value) not in placed:
                placed.add(id(value))
                body.names.alias(value, f"g[{literal(path)}]")
        for node in backward:
            values = {str(i): body.text(v) for i, v in enumerate(node.inputs) if v is not None}
            listed = ", ".join(body.text(v) if v.name != "_" else "_" for v in node.outputs)
            shape = node.outputs[0].type.comment() if node.outputs[0].name != "_" else ""
            body.assign(listed, render(node["template"], values), shape)
        for path in self.trained:
            target = f"g[{literal(path)}]"
            text = body.text(roots[path]) if path in roots else f"np.zeros_like(p[{literal(path)}])"
            if text != target:
                body.assign(target, text)

    def _differentiate(self) -> tuple[list[Node], dict[str, Value], list[Value]]:
        """The backward nodes, each parameter's gradient, and the weights of each loss's values."""
        wanted = self._wanted()
        g = GradientBuilder(self.parameters, self.saved, wanted)
        seeds = []
        for index, loss in enumerate(self.losses):
            weights = Value(f"weights.{index}", loss.node.outputs[0].type)
            seeds.append(weights)
            g.seed(loss.node.outputs[0], weights)
            OPS[loss.node.op].gradient(loss.node, g)
        for node in reversed(self.graph.nodes):
            reached = any(g.of(value) is not None for value in node.outputs)
            if reached and (
                any(g.wants(v) for v in node.inputs) or any(p.trainable for p in node.parameters)
            ):
                OPS[node.op].gradient(node, g)
        for path, parameter in self.graph.parameters():
            value = self.parameters[path]
            if parameter.l2:
                template = f"{2 * parameter.l2!r} * {{0}}"
                g.add(value, g.expression(template, (value,), value.type, f"d_{path}"))
            if parameter.l1:
                template = f"{parameter.l1!r} * np.sign({{0}})"
                g.add(value, g.expression(template, (value,), value.type, f"d_{path}"))
        roots = {path: found for path in self.trained if (found := g.of(self.parameters[path]))}
        return g.nodes, roots, seeds

    def _wanted(self) -> set[int]:
        """Ids of the values that something trainable lies behind."""
        wanted = {id(self.parameters[path]) for path in self.trained}
        for node in self.graph.nodes:
            trains = any(p.trainable for p in node.parameters)
            if trains or any(id(value) in wanted for value in node.inputs):
                wanted |= {id(value) for value in node.outputs if value.type.dtype == "float"}
        return wanted

    def _weights(self, loss: Loss, weights: Value, body: Statements) -> None:
        """What each value of a loss counts in the total: where the backward pass begins."""
        target = body.names.fresh(loss.target.name)
        body.names.alias(loss.target, target)
        body.assign(target, f"targets[{literal(loss.target.name)}]", loss.target.type.comment())
        prediction = body.text(loss.prediction)
        shape = _positions(prediction, loss.prediction.type.shape, weights.type.shape)
        arguments = [shape, f"{prediction}.dtype", "sample_weights"]
        if loss.mask is not None:
            arguments.append(body.text(loss.mask))
        scale = f"{loss.weight!r} * " if loss.weight != 1.0 else ""
        name = body.names.fresh("weights")
        body.names.alias(weights, name)
        body.assign(name, f"{scale}value_weights({', '.join(arguments)})", weights.type.comment())


def _positions(prediction: str, shape: tuple[Dim, ...], positions: tuple[Dim, ...]) -> str:
    """The shape of a loss's values: the prediction's, as a rule without the axis of classes."""
    axis = len(positions)
    if positions == shape[:axis]:
        return f"{prediction}.shape[:{axis}]"
    axis = next(a for a in range(axis) if positions == shape[:a] + shape[a + 1 :])
    return f"{prediction}.shape[:{axis}] + {prediction}.shape[{axis + 1}:]"


def _is_large(value: Value) -> bool:
    """Whether it has more than a few hundred numbers per sample, as far as is known."""
    batch, *sizes = value.type.shape or (1,)
    known = [size for size in sizes if isinstance(size, int)]
    return batch == BATCH and (math.prod(known) >= 512 or len(known) < len(sizes))


def _differs(form: Form) -> bool:
    """Whether inference is another computation, and not only a part of what training gives."""
    part, whole = (_PART.sub(")", each) for each in (form.inference, form.expression))
    return bool(part) and part != whole


def _effect(template: str, fields: Mapping[str, str]) -> str:
    for name, text in fields.items():
        template = template.replace(f"{{{name}}}", text)
    return template


def _readers(nodes: list[Node] | tuple[Node, ...], outputs: tuple[Value, ...]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for value in [v for node in nodes for v in node.inputs] + list(outputs):
        if value is not None:
            counts[id(value)] = counts.get(id(value), 0) + 1
    return counts


def _live(nodes: list[Node], roots: Mapping[str, Value]) -> list[Node]:
    """The backward nodes that some parameter's gradient depends on."""
    needed = {id(value) for value in roots.values()}
    kept = []
    for node in reversed(nodes):
        if any(id(value) in needed for value in node.outputs):
            kept.append(node)
            needed |= {id(value) for value in node.inputs if value is not None}
    assert all(node.op == EXPRESSION for node in kept)
    return kept[::-1]

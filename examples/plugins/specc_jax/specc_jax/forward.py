"""Writes the network as one pure function."""

from __future__ import annotations

from collections.abc import Callable

from specc.backends.base import repeated_inputs, template_fields
from specc.backends.writer import Names, literal, render
from specc.ir.graph import Node, Program, Value
from specc.ops.base import Form
from specc.passes.layout import inverse

ARGUMENTS = frozenset({"parameters", "inputs", "training", "step", "seed", "record"})
HEAD = '''\
@jax.default_matmul_precision("highest")  # float32 stays float32 on GPUs and TPUs
def forward(parameters, inputs, training=False, step=0, seed=SEED, record=None):
    """(what the losses and outputs need, the running statistics after it): a pure function.

    A dictionary ``record`` takes every named value.
    """'''


class ForwardWriter:
    """Writes ``forward(parameters, inputs, ...)`` of a flat program, images channels last."""

    def __init__(
        self, program: Program, lower: Callable[[Node], Form], reserved: frozenset[str]
    ) -> None:
        self.program, self.lower = program, lower
        self.names = Names(reserved | ARGUMENTS)
        self.inlined: dict[int, str] = {}
        self.lines: list[str] = []
        self.updated: list[str] = []  # the paths of running statistics
        self.readers: dict[int, int] = {}
        reads = [v for node in program.graph.nodes for v in node.inputs]
        for value in [*reads, *program.graph.outputs]:
            if value is not None:
                self.readers[id(value)] = self.readers.get(id(value), 0) + 1

    def source(self) -> str:
        """The function's text."""
        for value in self.program.inputs:
            self._assign(
                self.names.of(value), f"inputs[{literal(value.name)}]", value.type.comment()
            )
        for node in self.program.graph.nodes:
            self._statement(node)
        self._record()
        raw = ", ".join(map(self._text, self.program.graph.outputs))
        if len(self.program.graph.outputs) > 1:
            raw = f"({raw})"
        statistics = ", ".join(f"{literal(path)}: p[{literal(path)}]" for path in self.updated)
        # Statistics change along the way, in a copy.
        start = "    p = dict(parameters)" if self.updated else "    p = parameters"
        end = f"    return {raw}, {{{statistics}}}"
        return "\n".join([HEAD, start, *self.lines, end])

    def _text(self, value: Value) -> str:
        return self.inlined.get(id(value)) or self.names.of(value)

    def _assign(self, target: str, expression: str, shape: str) -> None:
        self.lines.append(f"    {target} = {expression}  # {shape}")

    def _statement(self, node: Node) -> None:
        form = self.lower(node)
        for value in repeated_inputs(node, form.expression):
            if id(value) in self.inlined:
                text = self.inlined.pop(id(value))
                self._assign(self.names.of(value), text, value.type.comment())
        texts = [None if value is None else self._text(value) for value in node.inputs]
        arrays = {
            each.name: f"p[{literal(f'{node.layer}.{each.name}')}]" for each in node.parameters
        }
        fields = {
            **template_fields(node, form, texts),
            **{name.replace(".", "_"): text for name, text in arrays.items()},
            "path": literal(node.layer),
            "call": node.path.partition("@")[2] or "0",
            **{name: name for name in ("seed", "step", "training")},
        }
        expression = render(form.expression, fields)
        values = node.outputs
        lone = len(values) == 1 and values[0].internal and self.readers.get(id(values[0])) == 1
        if lone and not form.saved:
            self.inlined[id(values[0])] = expression
            return
        # Here what a form saves are the running statistics that it moves on.
        targets = [*map(self.names.of, values), *(arrays[name] for name in form.saved)]
        self.updated += [
            path for name in form.saved if (path := f"{node.layer}.{name}") not in self.updated
        ]
        self._assign(", ".join(targets), expression, values[0].type.comment())

    def _record(self) -> None:
        entries = []
        for node in self.program.graph.nodes:
            for value in node.outputs:
                if not value.internal:
                    text = self._text(value)
                    if value.axes:
                        text = f"{text}.transpose{inverse(value.axes)}"
                    entries.append(f"{literal(value.name)}: {text}")
        if entries:
            self.lines.append("    if record is not None:")
            self.lines.append(f"        record.update({{{', '.join(entries)}}})")

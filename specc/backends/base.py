"""What a backend is. Backends are found through the entry-point group ``specc.backends``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar

from specc.backends.writer import literal
from specc.diagnostics import Diagnostic, SpecError
from specc.ir.graph import Node, Program, Value
from specc.ops.base import Form
from specc.ops.registry import OPS


class Backend(ABC):
    """A target of the compiler. A plug-in subclasses it and names the class in its entry point."""

    name: ClassVar[str]
    title: ClassVar[str]
    # What must be installed to run (not to write) its files, with the pip requirement.
    requires: ClassVar[Mapping[str, str]] = {}
    # Forms of ops that the backend brings itself; they come before the op's own.
    table: ClassVar[Mapping[str, Callable[[Node], Form]]] = {}

    @abstractmethod
    def emit(self, program: Program, only: str = "all") -> str:
        """The source of a program after the passes. ``only`` is "all" or "model"."""

    def lower(self, node: Node) -> Form:
        """The form of a node: the backend's own, else the op's."""
        own = self.table.get(node.op)
        lowering = own or OPS[node.op].lowering(self.name)
        form = lowering(node) if lowering is not None else None
        if form is None:
            raise SpecError(
                Diagnostic(
                    "E0901",
                    f"the backend '{self.name}' cannot express '{node.op}' as it is used here",
                    node.span,
                    help="choose another backend, or give it a form of this operation",
                )
            )
        return form


def template_fields(node: Node, form: Form, texts: Sequence[str | None]) -> dict[str, str]:
    """What a form's template may name: its values, and the ports of the node.

    ``texts`` are the expressions of the node's inputs, None where an optional one is not wired. An
    op with any number of inputs has them as ``inputs``, and as ``input0``, ``input1`` ...
    """
    ports = OPS[node.op].ports
    fields = {name: literal(value) for name, value in form.values.items()}
    if ports and ports[0].many:
        fields |= {f"input{index}": text for index, text in enumerate(texts) if text}
        fields["inputs"] = ", ".join(text for text in texts if text)
    else:
        fields |= {port.name: text or "None" for port, text in zip(ports, texts, strict=True)}
    return fields


def repeated_inputs(node: Node, template: str) -> Iterator[Value]:
    """The inputs that a template names more than once: what computes them must not be repeated."""
    ports = OPS[node.op].ports
    many = ports and ports[0].many
    for index, value in enumerate(node.inputs):
        name = f"input{index}" if many else ports[index].name
        if value is not None and template.count(f"{{{name}}}") > 1:
            yield value

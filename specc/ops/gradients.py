"""Reverse-mode differentiation in the IR: each op's gradient rule adds nodes, nothing is recorded
at run time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from specc.ir.graph import Node, Value
from specc.ir.types import TensorType

EXPRESSION = "expression"


class GradientBuilder:
    """Collects the nodes of the backward pass.

    ``parameters`` and ``saved`` are the values that stand for a layer's arrays and for what its
    forward pass kept.
    """

    def __init__(
        self, parameters: dict[str, Value], saved: dict[str, Value], wanted: set[int]
    ) -> None:
        self.nodes: list[Node] = []
        self._parameters = parameters
        self._saved = saved
        self._wanted = wanted
        self._gradients: dict[int, Value] = {}
        self._counts: dict[str, int] = {}

    def wants(self, value: Value | None) -> bool:
        """Whether anything trainable lies behind ``value``."""
        return value is not None and id(value) in self._wanted

    def of(self, value: Value) -> Value | None:
        """The gradient of the loss with respect to ``value``, as far as it has been added up."""
        return self._gradients.get(id(value))

    def seed(self, value: Value, gradient: Value) -> None:
        """Where differentiation begins: ``gradient`` is known from outside."""
        self._gradients[id(value)] = gradient

    def parameter(self, node: Node, name: str) -> Value:
        return self._parameters[f"{node.layer}.{name}"]

    def saved(self, node: Node, name: str) -> Value:
        return self._saved[f"{node.path}.{name}"]

    def expression(
        self, template: str, values: Sequence[Value], type: TensorType, name: str = ""
    ) -> Value:
        """A node that computes ``template``, a NumPy expression over ``{0}``, ``{1}`` ..."""
        result = Value(self._fresh(name or "d"), type)
        attributes = {"template": template}
        self.nodes.append(Node(EXPRESSION, result.name, tuple(values), (result,), attributes))
        return result

    def call(
        self,
        function: str,
        arguments: Sequence[Any],
        types: Sequence[TensorType | None],
        name: str | Sequence[str],
    ) -> list[Value]:
        """A node that calls a kernel of the prelude with values and literals.

        A type of None is a result that is not used; ``name`` is that of all results or of each.
        """
        names = [name] * len(types) if isinstance(name, str) else name
        values = [argument for argument in arguments if isinstance(argument, Value)]
        slots = iter(range(len(values)))
        texts = [f"{{{next(slots)}}}" if isinstance(a, Value) else repr(a) for a in arguments]
        results = tuple(
            Value(self._fresh(each) if type else "_", type or TensorType("float", ()))
            for each, type in zip(names, types, strict=True)
        )
        attributes = {"template": f"{function}({', '.join(texts)})"}
        self.nodes.append(Node(EXPRESSION, results[0].name, tuple(values), results, attributes))
        return list(results)

    def add(self, value: Value | None, gradient: Value) -> None:
        """Adds ``gradient`` to what has reached ``value`` so far."""
        if value is None or not self.wants(value):
            return
        present = self._gradients.get(id(value))
        if present is not None:
            gradient = self.expression(
                "{0} + {1}", (present, gradient), value.type, f"d_{value.name}"
            )
        self._gradients[id(value)] = gradient

    def add_parameter(self, node: Node, name: str, gradient: Value) -> None:
        self.add(self.parameter(node, name), gradient)

    def _fresh(self, name: str) -> str:
        count = self._counts[name] = self._counts.get(name, 0) + 1
        return name if count == 1 else f"{name}.{count}"

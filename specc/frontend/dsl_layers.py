"""Chains, steps, repeats and blocks of the language: the statements that become layers."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from specc.diagnostics import Span
from specc.frontend.dsl_values import Values
from specc.frontend.expression_reader import subtree
from specc.frontend.tree import Mapping, Scalar, Sequence, Tree
from specc.records import dataclass

if TYPE_CHECKING:
    from lark import Token
    from lark import Tree as ParseTree


@dataclass
class Body:
    """The statements of one scope (the spec, a block, a repeat), gathered as its sections."""

    values: Values
    # Layers that a step may call again: those declared, and those with a name above the step.
    callable: frozenset[str] = frozenset()
    inputs: list[Tree] = field(default_factory=list)
    shared: list[tuple[Scalar, Tree]] = field(default_factory=list)
    layers: list[Tree] = field(default_factory=list)
    outputs: list[Tree] = field(default_factory=list)

    def read_all(self, statements: list[ParseTree[Token]]) -> None:
        self.callable |= {str(s.children[0]) for s in statements if s.data == "layer"}
        for statement in statements:
            match statement.data:
                case "body_inputs":
                    self.inputs += map(self.values.leaf, statement.children)
                case "output":
                    self.outputs += map(self.values.leaf, statement.children)
                case "layer":
                    self._layer(statement)
                case "binding":
                    self._binding(statement)

    def sections(self, span: Span) -> list[tuple[Scalar, Tree]]:
        """The sections that are not empty, in the order in which YAML writes them."""
        shared = Mapping(self.values.unique(self.shared), span)
        found: list[tuple[str, Tree, object]] = [
            ("inputs", Sequence(tuple(self.inputs), span), self.inputs),
            ("shared", shared, self.shared),
            ("layers", Sequence(tuple(self.layers), span), self.layers),
            ("outputs", Sequence(tuple(self.outputs), span), self.outputs),
        ]
        return [(Scalar(name, span), tree) for name, tree, given in found if given]

    def _layer(self, statement: ParseTree[Token]) -> None:
        name = self.values.leaf(statement.children[0])
        call = subtree(statement, 1)
        kind = self.values.leaf(call.children[0])
        signature = self.values.signatures("layers", str(kind.value))
        attributes = self.values.arguments(call, signature)
        self.shared.append((name, Mapping(((kind, attributes),), self.values.span(call))))

    def _binding(self, statement: ParseTree[Token]) -> None:
        chain = subtree(statement, 1)
        steps = [subtree(chain, i) for i in range(1, len(chain.children))]
        span = self.values.span(statement)
        if not steps:
            message = "a value alone computes nothing"
            help_text = "pass it on to a layer: x | dense(10)"
            self.values.report("E0209", message, span, help_text)
            return
        source = self._head(subtree(chain, 0))
        targets: list[Tree] = []
        if statement.children[0] is not None:
            targets = [self.values.leaf(t) for t in subtree(statement, 0).children]
        for index, step in enumerate(steps):
            is_last = index == len(steps) - 1
            # The first layer of a chain owns the statement's beginning, so comments above it are
            # the layer's.
            start = span.start if index == 0 else self.values.span(step).start
            place = Span(span.source, start, self.values.span(step).end)
            item = self._step(
                step, place, source if index == 0 else None, targets if is_last else []
            )
            self.layers.append(item)

    def _head(self, head: ParseTree[Token]) -> Tree:
        """What a chain starts with, in the form of YAML's ``from``."""
        if head.data == "reference":
            return self.values.leaf(head.children[0])
        span = self.values.span(head)
        ports = [subtree(head, i) for i in range(len(head.children))]
        if all(port.data == "port" and port.children[0] is None for port in ports):
            return Sequence(tuple(self.values.leaf(p.children[1]) for p in ports), span)
        entries: list[tuple[Scalar, Tree]] = []
        for port in ports:
            wires = [self.values.leaf(token) for token in port.children[1:]]
            wire = (
                wires[0] if port.data == "port" else Sequence(tuple(wires), self.values.span(port))
            )
            if port.children[0] is not None:
                key = self.values.leaf(port.children[0])
            elif not entries:
                key = Scalar("input", wires[0].span)
            else:
                message = "only the first value of a chain's start can go without a name"
                self.values.report("E0207", message, wires[0].span, "write port=value")
                continue
            entries.append((key, wire))
        return Mapping(self.values.unique(entries), span)

    def _step(
        self, step: ParseTree[Token], span: Span, source: Tree | None, targets: list[Tree]
    ) -> Tree:
        call = subtree(step, 0)
        name = None if step.children[1] is None else self.values.leaf(step.children[1])
        if len(targets) == 1 and name is None:
            assert isinstance(targets[0], Scalar)
            name, targets = targets[0], []
        entries: list[tuple[Scalar, Tree]] = (
            [] if name is None else [(Scalar("name", name.span), name)]
        )
        entries += self._repeat(call) if call.data == "repeat" else self._call(call)
        if name is not None:
            self.callable |= {str(name.value)}
        if source is not None:
            entries.append((Scalar("from", source.span), source))
        if targets:
            place = Span(span.source, targets[0].span.start, targets[-1].span.end)
            entries.append((Scalar("outputs", place), Sequence(tuple(targets), place)))
        kind, attributes = entries[0]
        if len(entries) == 1 and isinstance(attributes, Mapping) and not attributes.entries:
            return Scalar(kind.value, kind.span)
        return Mapping(tuple(entries), span)

    def _call(self, call: ParseTree[Token]) -> list[tuple[Scalar, Tree]]:
        kind = self.values.leaf(call.children[0])
        name = str(kind.value)
        if name in self.callable:
            if call.children[1] is not None:
                message = f"'{name}' is a layer defined above, which has its attributes already"
                self.values.report("E0210", message, self.values.span(call), f"write | {name}")
            return [(Scalar("layer", kind.span), kind)]
        if name in self.values.blocks:
            arguments = self.values.arguments(call, None, names=self.values.blocks[name])
            use = (Scalar("use", kind.span), kind)
            given = (Scalar("with", arguments.span), arguments)
            return [use, given] if arguments.entries else [use]
        return [(kind, self.values.arguments(call, self.values.signatures("layers", name)))]

    def _repeat(self, node: ParseTree[Token]) -> list[tuple[Scalar, Tree]]:
        span = self.values.span(node)
        times, index, body = subtree(node, 0), node.children[1], subtree(node, 2)
        entries: list[tuple[Scalar, Tree]] = [
            (Scalar("times", self.values.span(times)), self.values.value(times))
        ]
        if index is not None:
            leaf = self.values.leaf(index)
            entries.append((Scalar("index", leaf.span), leaf))
        inner = Body(self.values, self.callable)
        inner.read_all(statements_of(body))
        entries += inner.sections(self.values.span(body))
        keyword = Span(span.source, span.start, span.start + len("repeat"))
        return [(Scalar("repeat", keyword), Mapping(tuple(entries), span))]


def statements_of(body: ParseTree[Token]) -> list[ParseTree[Token]]:
    """The statements or entries of a body, without the line ends between them."""
    return [subtree(body, i) for i, child in enumerate(body.children) if not isinstance(child, str)]


def read_block(statement: ParseTree[Token], values: Values) -> tuple[Scalar, Mapping]:
    """The name and the body of a ``block`` statement."""
    name = values.leaf(statement.children[0])
    body = subtree(statement, 2)
    entries: list[tuple[Scalar, Tree]] = []
    if statement.children[1] is not None:
        formals = subtree(statement, 1)
        parameters = [formal(subtree(formals, i), values) for i in range(len(formals.children))]
        span = values.span(formals)
        entries.append((Scalar("parameters", span), Mapping(values.unique(parameters), span)))
    inner = Body(values)
    inner.read_all(statements_of(body))
    entries += inner.sections(values.span(body))
    return name, Mapping(tuple(entries), values.span(statement))


def formal(node: ParseTree[Token], values: Values) -> tuple[Scalar, Tree]:
    """A parameter with its default, null where there is none."""
    name = values.leaf(node.children[0])
    if node.children[1] is None:
        return name, Scalar(None, name.span)
    return name, values.value(subtree(node, 1))

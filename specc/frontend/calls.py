"""Layers that are ops: what is called, with which attributes, and the nodes that come of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from specc.diagnostics import Note, SpecError, did_you_mean
from specc.frontend.advice import type_advice
from specc.frontend.items import SPECIAL, Item
from specc.frontend.limits import check_sizes
from specc.frontend.origins import Made, attribute_span
from specc.frontend.scope import Scope, SharedLayer
from specc.frontend.tree import Scalar
from specc.frontend.wiring import Wires
from specc.ir.graph import Configured, Node, Parameter, Value
from specc.ir.types import TensorType
from specc.ops.activations import ACTIVATIONS
from specc.ops.attributes import AttributeProblem
from specc.ops.base import Op, OpProblem, Site
from specc.ops.options import ACTIVATION
from specc.ops.registry import ALIASES, find, visible
from specc.records import dataclass
from specc.tracing import phase

if TYPE_CHECKING:
    from specc.frontend.layers import GraphBuilder


@dataclass(frozen=True)
class _Inferred:
    """What one call of an op is: its outputs, its parameters and its inline activation."""

    types: tuple[TensorType, ...]
    parameters: tuple[Parameter, ...]
    activation: Configured | None


class Calls:
    """Builds calls of ops. What is wrong is reported and raised as an empty SpecError."""

    def __init__(self, graphs: GraphBuilder) -> None:
        self.graphs = graphs
        self.reporter = graphs.reporter

    def declare(self, name: str, item: Item, scope: Scope) -> None:
        """A layer declared by itself, to be called by name later."""
        wiring = item.name or item.source or item.outputs
        if wiring is not None:
            message = "a shared layer is declared with its attributes alone"
            help_ = f"names and inputs stand where it is called: {{layer: {name}, from: ...}}"
            self.reporter.error("E0402", message, wiring.span, help_)
            raise SpecError(())
        if name in scope.values:
            self.graphs.naming.taken(name, item.span, scope)
        op = self._find_op(item, scope)
        attributes = self._attributes(op, item, scope)
        scope.layers[name] = SharedLayer(name, op, attributes, item.span)
        scope.spans[name] = item.span

    def op(self, item: Item, scope: Scope) -> None:
        """A layer that is called where it stands."""
        op = self._find_op(item, scope)
        path = self.graphs.naming.path(item, op.kind, scope)
        try:
            attributes = self._attributes(op, item, scope)
        except SpecError:
            # Wiring mistakes of the same layer are shown together with those of its attributes.
            self.graphs.wiring.wires(item, op.ports, scope, str(item.kind.value))
            raise
        wires = self.graphs.wiring.wires(item, op.ports, scope, str(item.kind.value))
        layer = scope.layers[path] = SharedLayer(path, op, attributes, item.span)
        self._call(layer, item, path, wires, scope)

    def shared(self, item: Item, scope: Scope) -> None:
        """``layer: embed``: one more call of a layer that has a name."""
        layer = self._find_layer(item, scope)
        wires = self.graphs.wiring.wires(item, layer.op.ports, scope, f"layer '{layer.name}'")
        path = layer.name if layer.calls == 0 else f"{layer.name}@{layer.calls}"
        if item.name is not None:
            self.graphs.naming.path(item, "", scope)
        self._call(layer, item, path, wires, scope)

    def _find_op(self, item: Item, scope: Scope) -> Op:
        kind, blocks = str(item.kind.value), self.graphs.blocks
        op = find(kind)
        if op is not None and not op.internal:
            return op
        if kind in SPECIAL:
            message = f"'{kind}' is not a layer that can be declared to be called several times"
            help_ = "declare an op; a block is used by its name"
            self.reporter.error("E0412", message, item.span, help_)
            raise SpecError(())
        if item.in_language:
            help_ = self.reporter.suggest(kind, [*visible(), *blocks, *scope.layers])
        elif kind in blocks:
            help_ = f"'{kind}' is a block; write use: {kind}"
        else:
            help_ = did_you_mean(kind, [*visible(), *SPECIAL, *blocks])
        help_ = self._translated(kind) or help_ or "`specc ops` lists all layers"
        self.reporter.error("E0412", f"there is no layer '{kind}'", item.span, help_)
        raise SpecError(())

    def _translated(self, kind: str) -> str:
        """What another tool's layer is called here, or how to do without it."""
        from specc.frontend.foreign import translated

        return translated(kind, "layer", (*visible(), *ALIASES))

    def _find_layer(self, item: Item, scope: Scope) -> SharedLayer:
        if not isinstance(item.attributes, Scalar) or not isinstance(item.attributes.value, str):
            message = "layer takes the name of a layer, which is called again"
            place = (item.attributes or item.kind).span
            self.reporter.error("E0413", message, place, "e.g. layer: embed")
            raise SpecError(())
        name = item.attributes.value
        if name in scope.broken:
            raise SpecError(())
        if name in scope.layers:
            return scope.layers[name]
        if name in scope.later and name not in scope.values:
            self.graphs.wiring.too_early(name, item.span, scope.later[name])
        help_ = self.reporter.suggest(name, scope.layers)
        help_ = help_ or "name one above, or declare it in shared"
        if name in self.graphs.blocks:
            help_ = f"'{name}' is a block; write use: {name}"
        self.reporter.error("E0413", f"there is no layer named '{name}'", item.span, help_)
        raise SpecError(())

    def _attributes(self, op: Op, item: Item, scope: Scope) -> dict[str, Any]:
        values = self.graphs.configurator.attributes(
            op.attributes,
            item.attributes,
            scope.environment,
            what=str(item.kind.value),
            place=item.span,
            refused=op.refused,
        )
        if values is None:
            raise SpecError(())
        if op.layout == "image":
            values["layout"] = self.graphs.layout
        return op.complete(values)

    def _call(self, layer: SharedLayer, item: Item, path: str, wires: Wires, scope: Scope) -> None:
        op, masks = layer.op, self.graphs.masks
        masks.wire(op, wires, self._site(layer, wires))
        site = self._site(layer, wires)
        with phase("infer"):
            found = self._infer(op, site, wires, item)
        self._check_shared(layer, site, found.parameters, item, wires)
        self._check_initializers(op, found.parameters, item)
        check_sizes(op, found.types, found.parameters, item, self.reporter)
        self.graphs.budget.build(item, scope, len(wires))
        layer.calls += 1
        values = tuple(
            Value(path if index == 0 else f"{path}.{name}", kind, item.span)
            for index, (name, kind) in enumerate(
                zip(op.output_names(site), found.types, strict=True)
            )
        )
        made = Made(values[0], op, site, item, wires)
        self.graphs.advisor.origins.record(made, values)
        raw = values
        if found.activation is not None:
            raw = (_preactivation(values[0], found.activation), *values[1:])
        node = Node(
            op.kind,
            path,
            tuple(wires),
            raw,
            layer.attributes,
            layer.parameters,
            layer.name,
            item.span,
        )
        scope.nodes.extend(masks.filled(op, node))
        if found.activation is not None:
            scope.nodes.append(_activation_node(found.activation, path, raw[0], values[0]))
        scope.nodes.extend(masks.pass_on(op, site, path, wires, values[0]))
        self.graphs.naming.bind_outputs(item, path, values, scope)

    def _site(self, layer: SharedLayer, wires: Wires) -> Site:
        types = tuple(wire.type if wire else None for wire in wires)
        names = tuple(wire.name if wire else "" for wire in wires)
        return Site(types, layer.attributes, self.graphs.conventions, names)

    def _infer(self, op: Op, site: Site, wires: Wires, item: Item) -> _Inferred:
        try:
            self._check_ports(op, wires, item)
            inferred = op.infer(site)
            types = inferred if isinstance(inferred, tuple) else (inferred,)
            activation = _inline_activation(op, site)
            if activation is not None:
                row = ACTIVATIONS[activation.kind]
                row.infer(Site((types[0],), activation.attributes, site.conventions))
            return _Inferred(types, op.parameters(site), activation)
        except OpProblem as problem:
            self._report(op, problem, item, wires)
            raise SpecError(()) from None

    def _report(self, op: Op, problem: OpProblem, item: Item, wires: Wires) -> None:
        """Reports a layer that cannot work on its inputs, with where those come from."""
        span = attribute_span(item, op, problem.attribute) or item.span
        advisor, first = self.graphs.advisor, wires[0] if wires else None
        advice, notes = advisor.on_layer(problem, first, item.in_language)
        beside = attribute_span(item, op, problem.beside)
        if beside is not None:
            notes = (*notes, Note(f"with this {problem.beside}", beside))
        axes = problem.axes
        if problem.about == "rank" and first is not None and first.type.rank > 1:
            axes = ((0, first.type.rank - 1),)
        notes = (*advisor.notes(wires, axes), *notes)
        places = {note.span: note for note in notes}  # the last one says most of its place
        help_ = advice or problem.help
        self.reporter.error(problem.code, problem.message, span, help_, tuple(places.values()))

    def _check_ports(self, op: Op, wires: Wires, item: Item) -> None:
        """Whether the values have the types that the ports take. Raises OpProblem."""
        ports = op.ports * len(wires) if op.ports and op.ports[0].many else op.ports
        for port, value in zip(ports, wires, strict=True):
            if value is None or port.dtype in ("any", value.type.dtype):
                continue
            raise OpProblem(
                f"{op.kind} takes {port.dtype} values at its input '{port.name}', but "
                f"'{value.name}' is {value.type}",
                help=type_advice(value, port.dtype, self.graphs.advisor.origins, item.in_language),
                port=port.name,
                code="E0602",
            )

    def _check_shared(
        self,
        layer: SharedLayer,
        site: Site,
        parameters: tuple[Parameter, ...],
        item: Item,
        wires: Wires,
    ) -> None:
        """Whether a layer that is called again has the same parameters; the first call fixes
        them."""
        if not layer.calls:
            layer.parameters, layer.input, layer.source = parameters, site.inputs[0], wires[0]
        elif [p.shape for p in parameters] != [p.shape for p in layer.parameters]:
            self.reporter.error(
                "E0604",
                f"layer '{layer.name}' cannot be shared between inputs {layer.input} and "
                f"{site.input}: its parameters would have other shapes",
                item.span,
                "bring the inputs to one size first, or use two layers",
                (
                    Note(f"'{layer.name}' is declared here", layer.span),
                    *self.graphs.advisor.notes((layer.source, wires[0])),
                ),
            )
            raise SpecError(())

    def _check_initializers(self, op: Op, parameters: tuple[Parameter, ...], item: Item) -> None:
        """Whether the initializers can fill the parameters."""
        from specc.training.initializers import INITIALIZERS

        good = True
        for parameter in parameters:
            chosen = parameter.initializer
            try:
                INITIALIZERS[chosen.kind].check_parameter(op.kind, parameter.shape)
            except AttributeProblem as problem:
                message = f"'{parameter.name}' of {op.kind}: {problem.message}"
                place = chosen.span or item.span
                self.reporter.error("E0503", message, place, problem.suggestion)
                good = False
        if not good:
            raise SpecError(())


def _inline_activation(op: Op, site: Site) -> Configured | None:
    """The activation that stands among the attributes, which becomes a node of its own."""
    declared = op.attribute("activation")
    inline = declared is not None and declared.kind is ACTIVATION
    return site["activation"] if inline else None


def _preactivation(value: Value, activation: Configured) -> Value:
    """What the layer computes before its inline activation."""
    kind = "logits" if activation.kind in ("softmax", "sigmoid") else "preactivation"
    return replace(value, name=f"{value.name}.{kind}", internal=True)


def _activation_node(activation: Configured, path: str, given: Value, made: Value) -> Node:
    kind, name = activation.kind, f"{path}.{activation.kind}"
    return Node(kind, name, (given,), (made,), activation.attributes, (), name, made.span)

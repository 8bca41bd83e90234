"""Uses of blocks and repeats: a body becomes a graph, and its use a node that calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from specc.diagnostics import Note, SpecError, did_you_mean
from specc.frontend.arguments import block_arguments
from specc.frontend.configure import Environment, plain
from specc.frontend.declarations import check_body, check_parameter, input_names
from specc.frontend.items import Item, read_item
from specc.frontend.limits import MAX_NESTING, values_in
from specc.frontend.scope import Scope, count_of
from specc.frontend.tree import Mapping, Scalar, Sequence
from specc.frontend.wiring import Wires
from specc.ir.graph import Graph, Node, Value
from specc.ops.base import Port
from specc.records import dataclass
from specc.tracing import phase

if TYPE_CHECKING:
    from specc.frontend.layers import GraphBuilder


_MAX_SEARCHED = 200
"""As many bodies whose use is wrong are searched for mistakes of their own."""


@dataclass(frozen=True)
class _Body:
    """A graph that can be called. The masks of its own ``outputs`` follow them; ``size`` is the
    number of its layers, those inside of other bodies counted each time."""

    graph: Graph
    outputs: int
    size: int


class Bodies:
    """Builds uses of blocks and repeats. What is wrong is reported and raised as an empty
    SpecError."""

    def __init__(self, graphs: GraphBuilder) -> None:
        self.graphs = graphs
        self.reporter = graphs.reporter
        self.used: set[str] = set()  # the blocks that something uses
        self._bodies: dict[Any, _Body | None] = {}  # None where there are mistakes
        self._searched: set[Any] = set()
        self._active: list[str] = []
        self._values: dict[int, int] = {}  # of a block's text, by the id of its tree

    def use(self, item: Item, scope: Scope) -> None:
        """``use: tower``: the block's graph, called once."""
        name, block = self._block(item)
        path = self.graphs.naming.path(item, name, scope)
        arguments, good = block_arguments(item, block, name, scope.environment, self.reporter)
        try:
            wires = self.graphs.wiring.wires(item, _ports(block), scope, f"block '{name}'")
            if not good:
                raise SpecError(())
        except SpecError:
            self._search(item, name, block, arguments)
            raise
        body = self._body(item, name, block, arguments, wires)
        self._call("call", item, path, wires, [body], scope)

    def repeat(self, item: Item, scope: Scope) -> None:
        """One graph for each pass, its inputs the outputs of the one before."""
        tree = self._repeat_tree(item)
        times = self._times(tree, item, scope)
        path = self.graphs.naming.path(item, "repeat", scope)
        ports = _ports(tree)
        index_tree = tree.get("index")
        index = str(index_tree.value) if isinstance(index_tree, Scalar) else None
        try:
            wires = self.graphs.wiring.wires(item, ports, scope, "repeat")
        except SpecError:
            first = {**scope.environment, **({index: 0} if index else {})}
            self._search(item, "repeat", tree, first)
            raise
        current, bodies, size = wires, [], 0
        for iteration in range(times):
            environment = {**scope.environment, **({index: iteration} if index else {})}
            body = self._iteration(item, tree, environment, current)
            bodies.append(body)
            current = [*body.graph.outputs[: body.outputs]]
            if len(current) != len(ports):
                self.reporter.error(
                    "E0420",
                    f"repeat feeds {count_of(len(ports), 'input')} by position from one pass to "
                    f"the next, but its body gives {len(current)}",
                    item.span,
                    "name as many outputs as inputs",
                )
                raise SpecError(())
            size += body.size
            if size > self.graphs.budget.layers:
                break  # the call refuses it
        self._call("repeat", item, path, wires, bodies, scope)

    # What is used

    def _block(self, item: Item) -> tuple[str, Mapping]:
        tree, blocks = item.attributes, self.graphs.blocks
        if not isinstance(tree, Scalar) or not isinstance(tree.value, str):
            place = (tree or item.kind).span
            self.reporter.error("E0415", "use takes the name of a block", place, "e.g. use: tower")
            raise SpecError(())
        name = tree.value
        if name not in blocks:
            help_ = did_you_mean(name, blocks) or "blocks are declared in the section blocks"
            self.reporter.error("E0415", f"there is no block '{name}'", tree.span, help_)
            raise SpecError(())
        self.used.add(name)
        block = blocks[name]
        if block is None:
            raise SpecError(())
        parameters = block.get("parameters")
        if isinstance(parameters, Mapping):
            self.graphs.budget.read(len(parameters.entries), item)
        return name, block

    def _repeat_tree(self, item: Item) -> Mapping:
        """What is repeated, its form checked."""
        body, form = item.attributes, "repeat: {times: 2, layers: [...]}"
        choices = ("times", "index", "layers", "inputs", "outputs")
        for key in (key for key, _ in body.entries) if isinstance(body, Mapping) else ():
            if key.value not in (*choices, "shared"):
                help_ = did_you_mean(str(key.value), choices)
                message = f"repeat has no attribute '{key.value}'"
                self.reporter.error("E0501", message, key.span, help_)
                raise SpecError(())
        layers = body.get("layers") if isinstance(body, Mapping) else None
        if not isinstance(body, Mapping) or layers is None:
            self.reporter.error("E0418", "repeat needs times and layers", item.span, form)
            raise SpecError(())
        check_body(body, "repeat", item.span, self.reporter)
        index = body.get("index")
        if index is not None and not (isinstance(index, Scalar) and isinstance(index.value, str)):
            message = "the index of a repeat is a name, which its expressions read"
            self.reporter.error("E0403", message, index.span, "e.g. index: i")
            raise SpecError(())
        if isinstance(index, Scalar):
            check_parameter(index, self.reporter)
        return body

    def _times(self, body: Mapping, item: Item, scope: Scope) -> int:
        tree = body.get("times")
        times = plain(tree, scope.environment) if tree is not None else None
        most = self.graphs.budget.layers
        if isinstance(times, bool) or not isinstance(times, int) or not 1 <= times <= most:
            self.reporter.error(
                "E0419",
                f"repeat needs 'times', an integer from 1 to {most}",
                tree.span if tree else item.span,
                "e.g. repeat(2)" if item.in_language else "e.g. times: 2",
            )
            raise SpecError(())
        return times

    def _iteration(
        self, item: Item, tree: Mapping, environment: Environment, wires: Wires
    ) -> _Body:
        """The body of one pass. What is repeated may be one use of a block: then it is that
        block's."""
        layers = tree.get("layers")
        if isinstance(layers, Sequence) and len(layers.items) == 1:
            only = read_item(layers.items[0], self.reporter)
            if only is not None and only.kind.value == "use" and only.name is None:
                name, block = self._block(only)
                if _is_block(tree, only, name, block):
                    arguments, good = block_arguments(only, block, name, environment, self.reporter)
                    if not good:
                        self._search(only, name, block, arguments)
                        raise SpecError(())
                    return self._body(only, name, block, arguments, wires)
        return self._body(item, "repeat", tree, environment, wires)

    # Bodies to graphs

    def _search(self, item: Item, name: str, block: Mapping, arguments: Environment) -> None:
        """Reports what is wrong with a body whatever its inputs are, where a use of it is wrong."""
        key = id(block), repr(sorted(arguments.items(), key=lambda each: each[0]))
        around = self._active if name != "repeat" else ()
        deep = len(self._active) >= MAX_NESTING or len(self._searched) >= _MAX_SEARCHED
        if deep or key in self._searched or name in around:
            return
        self._searched.add(key)
        scope = Scope(arguments, inner=True, values=dict.fromkeys(input_names(block)))
        scope.previous = (None,) * len(scope.values)
        self._active.append(name)
        self.reporter.uses.append(Note(f"in this use of '{name}'", item.span))
        try:
            self.graphs.declarations(block.get("shared"), scope)
            self.graphs.layers(block.get("layers"), scope)
            self.graphs.outputs(block.get("outputs"), scope)
        except SpecError as error:
            self.reporter.extend(error)
        finally:
            self._active.pop()
            self.reporter.uses.pop()

    def _body(
        self, item: Item, name: str, block: Mapping, arguments: Environment, wires: Wires
    ) -> _Body:
        """A block for these arguments and input types; the same ones share a graph."""
        masks = [self.graphs.masks.of(wire) for wire in wires]
        given = repr(sorted(arguments.items(), key=lambda each: each[0]))
        self.graphs.budget.read(1 + len(given) // 16, item)
        key = (
            id(block),
            given,
            tuple(wire.type for wire in wires if wire is not None),
            tuple(mask is not None for mask in masks),
        )
        if key not in self._bodies:
            if name in self._active and name != "repeat":
                chain = " -> ".join([*self._active, name])
                self.reporter.error("E0421", f"block '{name}' uses itself ({chain})", item.span)
                raise SpecError(())
            if len(self._active) >= MAX_NESTING:
                message = f"blocks and repeats stand more than {MAX_NESTING} deep within each other"
                self.reporter.error("E0430", message, item.span, "put the inner ones side by side")
                raise SpecError(())
            if id(block) not in self._values:
                self._values[id(block)] = values_in(block)
            self.graphs.budget.read(self._values[id(block)], item)
            self._active.append(name)
            self.reporter.uses.append(Note(f"in this use of '{name}'", item.span))
            try:
                with phase("expand"):
                    self._bodies[key] = self._built(name, block, arguments, wires, masks)
            finally:
                self._active.pop()
                self.reporter.uses.pop()
        body = self._bodies[key]
        if body is None:
            raise SpecError(())
        return body

    def _built(
        self, name: str, block: Mapping, arguments: Environment, wires: Wires, masks: Wires
    ) -> _Body | None:
        """A block's layers as a graph; None if there are mistakes in them. The masks of its inputs
        follow them, and so do those of its outputs."""
        graphs, scope = self.graphs, Scope(arguments, inner=True)
        inputs: list[Value] = []
        extra: list[Value] = []
        for port, wire, mask in zip(input_names(block), wires, masks, strict=True):
            assert wire is not None
            value = Value(port, wire.type, wire.span)
            graphs.advisor.origins.inside(value, wire)
            inputs.append(value)
            scope.values[port] = value
            if mask is not None:
                extra.append(Value(f"{port}.mask", mask.type, internal=True))
                graphs.masks.set(value, extra[-1])
        scope.previous = tuple(inputs)
        errors = self.reporter.errors
        graphs.declarations(block.get("shared"), scope)
        graphs.layers(block.get("layers"), scope)
        outputs = graphs.outputs(block.get("outputs"), scope)
        if self.reporter.errors > errors or None in outputs:
            return None
        found = tuple(value for value in outputs if value is not None)
        out_masks = tuple(mask for each in found if (mask := graphs.masks.of(each)) is not None)
        graphs.naming.check_unused(scope, set(input_names(block)))
        nodes = tuple(scope.nodes)
        graph = Graph(name, (*inputs, *extra), (*found, *out_masks), nodes, arguments)
        return _Body(graph, len(found), scope.size)

    def _call(
        self, op: str, item: Item, path: str, wires: Wires, bodies: list[_Body], scope: Scope
    ) -> None:
        """The node that calls bodies, and its outputs with their masks."""
        self.graphs.budget.use(sum(body.size for body in bodies), item, scope)
        last, count, masks = bodies[-1].graph, bodies[-1].outputs, self.graphs.masks
        if not count:
            help_ = "name what it gives: outputs: [...]"
            self.reporter.error("E0429", f"block '{last.name}' has no outputs", item.span, help_)
            raise SpecError(())
        values = tuple(
            Value(path if index == 0 else f"{path}.{value.name}", value.type, item.span)
            for index, value in enumerate(last.outputs[:count])
        )
        made = list(values)
        for index, (value, inner) in enumerate(zip(values, last.outputs, strict=False)):
            mask = masks.of(inner)
            if mask is not None:
                made.append(Value(f"{path}.{index}.mask", mask.type, item.span, internal=True))
                masks.set(value, made[-1])
        given = tuple(mask for wire in wires if (mask := masks.of(wire)) is not None)
        graphs = tuple(body.graph for body in bodies)
        scope.nodes.append(
            Node(op, path, (*wires, *given), tuple(made), {}, (), path, item.span, graphs)
        )
        self.graphs.naming.bind_outputs(item, path, values, scope)


def _ports(body: Mapping) -> tuple[Port, ...]:
    return tuple(Port(each, dtype="any") for each in input_names(body))


def _is_block(body: Mapping, use: Item, name: str, block: Mapping) -> bool:
    """Whether a body that uses a block hands it its inputs as they are, and out its outputs."""
    inputs = input_names(body)
    items = use.source.items if isinstance(use.source, Sequence) else (use.source,)
    given = [each.value for each in items if isinstance(each, Scalar)]
    outputs = body.get("outputs")
    results = outputs.items if isinstance(outputs, Sequence) else (outputs,)
    return (
        len(input_names(block)) == len(inputs)
        and (len(inputs) == 1 if use.source is None else given == inputs)
        and use.outputs is None
        and (outputs is None or [getattr(each, "value", None) for each in results] == [name])
    )

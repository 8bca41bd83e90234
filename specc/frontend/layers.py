"""From the layers of a spec or block to a graph: wiring, paths, attributes, shapes and masks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from specc.diagnostics import Note, Span, SpecError, did_you_mean, nearest
from specc.frontend.configure import Configurator, Environment, Reporter, plain
from specc.frontend.declarations import check_body, check_name, check_parameter, input_names
from specc.frontend.tree import Mapping, Scalar, Sequence, Tree
from specc.ir.graph import Configured, Graph, Node, Parameter, Value
from specc.ir.types import TensorType
from specc.ops.activations import ACTIVATIONS
from specc.ops.attributes import AttributeProblem
from specc.ops.base import Op, OpProblem, Port, Site
from specc.ops.options import ACTIVATION
from specc.ops.registry import find, visible

MAX_LAYERS = 10_000
"""As many layers as a network has at most, those of its blocks and repeats counted each time."""
MAX_ELEMENTS = 2**40
"""As many numbers as a parameter, or a value for one sample, has at most."""
_RESERVED = ("name", "from", "outputs")
_SPECIAL = ("use", "repeat", "layer")


@dataclass
class Scope:
    """The names of one graph while it is built. A value of None is one whose layer is wrong."""

    environment: Environment
    values: dict[str, Value | None] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    previous: tuple[Value | None, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    layers: dict[str, SharedLayer] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    # The names of layers that are still to come, for those who take them too early.
    later: dict[str, Span] = field(default_factory=dict)
    # Whether a section that defines names is wrong: then no name is reported as unknown.
    incomplete: bool = False
    # Shared layers whose declaration is wrong.
    broken: set[str] = field(default_factory=set)


@dataclass
class SharedLayer:
    """A layer that may be called several times; its parameters are known from the first call."""

    name: str
    op: Op
    attributes: dict[str, Any]
    span: Span
    calls: int = 0
    parameters: tuple[Parameter, ...] = ()
    input: TensorType | None = None


@dataclass(frozen=True)
class Item:
    """A layer as written: its kind, its attributes and its wiring."""

    kind: Scalar
    attributes: Tree | None
    name: Scalar | None = None
    source: Tree | None = None
    outputs: Tree | None = None
    extra: Tree | None = None

    @property
    def in_language(self) -> bool:
        """Whether it is written in the language, for help that shows what to write."""
        return self.kind.span.source.name.endswith(".specc")

    @property
    def span(self) -> Span:
        """What to underline: the op, or the name of the block or layer that is used."""
        named = self.kind.value in ("use", "layer") and isinstance(self.attributes, Scalar)
        return self.attributes.span if named and self.attributes else self.kind.span


class GraphBuilder:
    """Builds graphs. ``masks`` (keras) maps the id of a value to the mask of its padded steps."""

    def __init__(
        self, reporter: Reporter, conventions: str, layout: str, blocks: dict[str, Mapping | None]
    ) -> None:
        self.reporter = reporter
        self.conventions, self.layout, self.blocks = conventions, layout, blocks
        self.configurator = Configurator(reporter, conventions)
        self.masks: dict[int, Value] = {}
        self.used_blocks: set[str] = set()
        self._graphs: dict[Any, Graph | None] = {}
        self._active: list[str] = []
        self._sizes: dict[int, int] = {}  # id of a graph -> how many layers it has
        self._built = 0
        self._keep: list[Value] = []  # ids in ``masks`` stay valid as long as their values live

    # Layers

    def layers(self, tree: Tree | None, scope: Scope) -> None:
        """Builds every item of a list of layers into the scope."""
        if tree is None:
            return
        if not isinstance(tree, Sequence):
            help_ = "e.g. layers: [{dense: 32}]"
            self.reporter.error("E0401", "layers is a list, each item one layer", tree.span, help_)
            scope.incomplete, scope.previous = True, (None,)
            return
        items = [(each, self._item(each)) for each in tree.items]
        for _, item in items:
            for name in self._own_names(item) if item else ():
                scope.later.setdefault(str(name.value), name.span)
        for each, item in items:
            if self._built > MAX_LAYERS:
                scope.incomplete, scope.previous = True, (None,)
                return
            if item is None:
                self._poison_name(each, scope)
                continue
            try:
                self._layer(item, scope)
            except SpecError as error:
                self.reporter.extend(error)
                self._poison(item, scope)

    def _item(self, tree: Tree) -> Item | None:
        if isinstance(tree, Scalar) and isinstance(tree.value, str):
            return Item(tree, None)
        if not isinstance(tree, Mapping):
            message = "a layer is a name or a mapping with its kind as key"
            self.reporter.error("E0402", message, tree.span, "e.g. relu, or dense: {units: 10}")
            return None
        kinds = [(k, v) for k, v in tree.entries if k.value not in (*_RESERVED, "with")]
        if len(kinds) != 1:
            listed = ", ".join(f"'{key.value}'" for key, _ in kinds)
            if not kinds:
                message, help_ = "this layer has no kind", "add one, e.g. dense: {units: 10}"
            else:
                known = [key for key, _ in kinds if find(str(key.value)) or key.value in _SPECIAL]
                odd = [key for key, _ in kinds if key not in known]
                message = f"a layer has one kind, but this one has {listed}"
                help_ = "start a new list item for each layer"
                if len(known) == 1 and odd:
                    message = f"'{odd[0].value}' is not part of a layer"
                    help_ = f"attributes go inside {known[0].value}: {{...}}"
                    self.reporter.error("E0402", message, odd[0].span, help_)
                    return None
            self.reporter.error("E0402", message, kinds[1][0].span if kinds else tree.span, help_)
            return None
        kind, attributes = kinds[0]
        name = tree.get("name")
        if name is not None and not (isinstance(name, Scalar) and isinstance(name.value, str)):
            help_ = "use letters, digits and underscores, starting with a letter"
            self.reporter.error("E0403", "a layer's name is a word", name.span, help_)
            name = None
        with_ = tree.key("with")
        if with_ is not None and kind.value != "use":
            message = "'with' gives a block its parameters, and this is no use of a block"
            help_ = f"attributes go inside {kind.value}: {{...}}"
            self.reporter.error("E0402", message, with_.span, help_)
            return None
        outputs = tree.get("outputs")
        for each in outputs.items if isinstance(outputs, Sequence) else (outputs,):
            plain_name = isinstance(each, Scalar) and isinstance(each.value, str | None)
            if each is not None and not plain_name:
                message = "outputs is a list of names for what the layer gives"
                self.reporter.error("E0406", message, each.span, "e.g. outputs: [sequence, state]")
                return None
        return Item(kind, attributes, name, tree.get("from"), outputs, tree.get("with"))

    def _layer(self, item: Item, scope: Scope) -> None:
        kind = str(item.kind.value)
        if kind == "use":
            self._use(item, scope)
        elif kind == "repeat":
            self._repeat(item, scope)
        elif kind == "layer":
            self._shared(item, scope)
        else:
            self._op(item, scope)

    def _poison(self, item: Item, scope: Scope) -> None:
        """Names of a wrong layer stay known, so that what depends on them is not reported again."""
        names = [str(each.value) for each in self._own_names(item)]
        if item.name is None:
            names.append(self._default_path(item, scope))
        for name in names:
            scope.values.setdefault(name, None)
            scope.used.add(name)
        scope.previous = (None,)

    def _poison_name(self, tree: Tree, scope: Scope) -> None:
        """The same for what is no layer at all, as far as it has a name."""
        name = tree.get("name") if isinstance(tree, Mapping) else None
        if isinstance(name, Scalar):
            scope.values.setdefault(str(name.value), None)
        scope.previous = (None,)

    def _default_path(self, item: Item, scope: Scope) -> str:
        """What an unnamed layer is called, or would be if it were right."""
        op = find(str(item.kind.value))
        name = op.kind if op is not None else str(item.kind.value)
        if name == "use" and isinstance(item.attributes, Scalar):
            name = str(item.attributes.value)
        count = scope.counts.get(name, 0)
        return f"{name}_{count}" if count > 1 else name

    def _output_names(self, item: Item) -> list[Scalar]:
        if isinstance(item.outputs, Sequence):
            return [each for each in item.outputs.items if isinstance(each, Scalar)]
        return [item.outputs] if isinstance(item.outputs, Scalar) else []

    def _own_names(self, item: Item) -> list[Scalar]:
        """The names that the spec writes for a layer and its outputs."""
        return [*([item.name] if item.name else []), *self._output_names(item)]

    def _path(self, item: Item, default: str, scope: Scope) -> str:
        """The layer's path in its scope; a name that is taken is refused."""
        if item.name is None:
            count = scope.counts[default] = scope.counts.get(default, 0) + 1
            path = default if count == 1 else f"{default}_{count}"
            return path if path not in scope.values else self._path(item, default, scope)
        name = str(item.name.value)
        check_name(name, item.name.span, self.reporter)
        if name in scope.values or name in scope.layers:
            self._taken(name, item.name.span, scope)
        return name

    def _taken(self, name: str, span: Span, scope: Scope) -> None:
        """Reports a name that something has already."""
        first = scope.spans.get(name)
        notes = (Note(f"'{name}' is first defined here", first),) if first else ()
        message = f"the name '{name}' is used twice"
        self.reporter.error("E0404", message, span, "choose another name", notes)
        raise SpecError(())

    # Wiring

    def value(self, tree: Tree, scope: Scope, what: str = "value") -> Value | None:
        """The value that a name stands for. Raises when there is none of that name."""
        if not isinstance(tree, Scalar) or not isinstance(tree.value, str):
            help_ = f"write the name of a {what}, without expressions"
            self.reporter.error("E0406", f"a {what} is given by its name", tree.span, help_)
            raise SpecError(())
        if tree.value not in scope.values:
            if scope.incomplete:
                raise SpecError(())
            if tree.value in scope.later:
                self._too_early(tree.value, tree.span, scope.later[tree.value])
            help_ = did_you_mean(tree.value, [n for n in scope.values if n.isidentifier()])
            if what == "target" and not scope.values:
                help_ = f"declare it, e.g. targets: {{{tree.value}: {{shape: [3]}}}}"
            elif tree.value in self.blocks:
                help_ = f"'{tree.value}' is a block; write use: {tree.value}"
            elif self._active and nearest(tree.value, scope.values) is None:
                known = ", ".join(f"'{name}'" for name in scope.values)
                help_ = f"a block sees its own inputs and layers only, here {known}"
            self.reporter.error("E0407", f"there is no {what} '{tree.value}'", tree.span, help_)
            raise SpecError(())
        scope.used.add(tree.value)
        return scope.values[tree.value]

    def _too_early(self, name: str, span: Span, defined: Span) -> None:
        self.reporter.error(
            "E0407",
            f"'{name}' is taken before it is computed",
            span,
            "a layer stands below those whose values it takes; a network has no cycles",
            (Note(f"'{name}' is computed here", defined),),
        )
        raise SpecError(())

    def _wires(
        self, item: Item, ports: tuple[Port, ...], scope: Scope, what: str
    ) -> list[Value | None]:
        """The inputs by port. Raises SpecError(()), empty, when one of them is wrong already."""
        if item.source is None:
            if len(scope.previous) != 1:
                count = "no" if not scope.previous else str(len(scope.previous))
                self.reporter.error(
                    "E0408",
                    f"{what} needs 'from': there are {count} previous outputs to take",
                    item.span,
                    "name the value(s) it takes, e.g. from: x",
                )
                raise SpecError(())
            given: list[tuple[str, Value | None]] = [("", scope.previous[0])]
        elif isinstance(item.source, Mapping):
            given = []
            for key, tree in item.source.entries:
                names = self._port_names(key, tree, ports, what)
                values = tree.items if isinstance(tree, Sequence) else (tree,)
                given += [
                    (name, self.value(each, scope))
                    for name, each in zip(names, values, strict=True)
                ]
        elif isinstance(item.source, Sequence):
            given = [("", self.value(each, scope)) for each in item.source.items]
        else:
            given = [("", self.value(item.source, scope))]
        if any(value is None for _, value in given):
            raise SpecError(())
        return self._assign(item, ports, given, what)

    def _port_names(self, key: Scalar, tree: Tree, ports: tuple[Port, ...], what: str) -> list[str]:
        """The port of each value that is wired under ``key``, a port or a group of ports."""
        name, count = str(key.value), len(tree.items) if isinstance(tree, Sequence) else 1
        members = [port.name for port in ports if name in (port.name, port.group)]
        if name == "input" and ports and not members:
            # What stands first is the input, whatever the port is called: (q, value=m).
            members = [ports[0].name]
        if not members:
            names = [port.name for port in ports] + [port.group for port in ports if port.group]
            self.reporter.error(
                "E0409", f"{what} has no input '{key.value}'", key.span, did_you_mean(name, names)
            )
            raise SpecError(())
        if any(port.many for port in ports):
            return members * count
        if count != len(members):
            listed = f" ({', '.join(members)})" if len(members) > 1 else ""
            self.reporter.error(
                "E0410",
                f"'{name}' of {what} takes {_count(len(members), 'value')}{listed}, "
                f"but {count} {'is' if count == 1 else 'are'} wired in",
                tree.span,
            )
            raise SpecError(())
        return members

    def _assign(
        self, item: Item, ports: tuple[Port, ...], given: list[tuple[str, Value | None]], what: str
    ) -> list[Value | None]:
        if any(port.many for port in ports):
            return [value for _, value in given]
        wires: list[list[Value | None]] = [[] for _ in ports]
        position = 0
        for name, value in given:
            index = next((i for i, port in enumerate(ports) if port.name == name), None)
            if index is None:
                index, position = position, position + 1
            if index >= len(ports):
                self.reporter.error(
                    "E0410",
                    f"{what} takes {_count(len(ports), 'input')}, but {len(given)} are wired in",
                    (item.source or item.kind).span,
                    "add or concatenate them first" if len(ports) == 1 else "",
                )
                raise SpecError(())
            wires[index].append(value)
        missing = [p.name for p, w in zip(ports, wires, strict=True) if not w and not p.optional]
        if missing:
            self.reporter.error(
                "E0411",
                f"{what} has no value for its input '{missing[0]}'",
                item.span,
                f"wire one: ({missing[0]}=...)"
                if item.in_language
                else f"wire one: from: {{{missing[0]}: ...}}",
            )
            raise SpecError(())
        return [wire[0] if wire else None for wire in wires]

    # Ops

    def _find_op(self, item: Item, scope: Scope) -> Op:
        op = find(str(item.kind.value))
        if op is not None and not op.internal:
            return op
        kind = str(item.kind.value)
        if kind in _SPECIAL:
            message = f"'{kind}' is not a layer that can be declared to be called several times"
            help_ = "declare an op; a block is used by its name"
            self.reporter.error("E0412", message, item.span, help_)
            raise SpecError(())
        if item.in_language:
            help_ = did_you_mean(kind, [*visible(), *self.blocks, *scope.layers])
        elif kind in self.blocks:
            help_ = f"'{kind}' is a block; write use: {kind}"
        else:
            help_ = did_you_mean(kind, [*visible(), *_SPECIAL, *self.blocks])
        help_ = help_ or "`specc ops` lists all layers"
        self.reporter.error("E0412", f"there is no layer '{kind}'", item.span, help_)
        raise SpecError(())

    def declare(self, name: str, item: Item, scope: Scope) -> None:
        """A layer declared by itself, to be called by name later."""
        wiring = item.name or item.source or item.outputs
        if wiring is not None:
            message = "a shared layer is declared with its attributes alone"
            help_ = f"names and inputs stand where it is called: {{layer: {name}, from: ...}}"
            self.reporter.error("E0402", message, wiring.span, help_)
            raise SpecError(())
        if name in scope.values:
            self._taken(name, item.span, scope)
        op = self._find_op(item, scope)
        attributes = self._attributes(op, item, scope)
        scope.layers[name] = SharedLayer(name, op, attributes, item.span)
        scope.spans[name] = item.span

    def _attributes(self, op: Op, item: Item, scope: Scope) -> dict[str, Any]:
        values = self.configurator.attributes(
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
            values["layout"] = self.layout
        return op.complete(values)

    def _op(self, item: Item, scope: Scope) -> None:
        op = self._find_op(item, scope)
        path = self._path(item, op.kind, scope)
        try:
            attributes = self._attributes(op, item, scope)
        finally:
            # Wiring mistakes of the same layer are shown together with those of its attributes.
            wires = self._wires(item, op.ports, scope, str(item.kind.value))
        shared = SharedLayer(path, op, attributes, item.span)
        scope.layers[path] = shared
        self._call(shared, item, path, wires, scope)

    def _shared(self, item: Item, scope: Scope) -> None:
        if not isinstance(item.attributes, Scalar) or not isinstance(item.attributes.value, str):
            message = "layer takes the name of a layer, which is called again"
            place = (item.attributes or item.kind).span
            self.reporter.error("E0413", message, place, "e.g. layer: embed")
            raise SpecError(())
        name = item.attributes.value
        if name in scope.broken:
            raise SpecError(())
        shared = scope.layers.get(name)
        if shared is None:
            if name in scope.later and name not in scope.values:
                self._too_early(name, item.span, scope.later[name])
            help_ = did_you_mean(name, scope.layers) or "name one above, or declare it in shared"
            if name in self.blocks:
                help_ = f"'{name}' is a block; write use: {name}"
            self.reporter.error("E0413", f"there is no layer named '{name}'", item.span, help_)
            raise SpecError(())
        wires = self._wires(item, shared.op.ports, scope, f"layer '{name}'")
        path = shared.name if shared.calls == 0 else f"{shared.name}@{shared.calls}"
        if item.name is not None:
            self._path(item, "", scope)
        self._call(shared, item, path, wires, scope)

    def _call(
        self, layer: SharedLayer, item: Item, path: str, wires: list[Value | None], scope: Scope
    ) -> None:
        op = layer.op
        given = tuple(wire.type if wire else None for wire in wires)
        self._wire_mask(op, wires, Site(given, layer.attributes, self.conventions))
        site = Site(tuple(w.type if w else None for w in wires), layer.attributes, self.conventions)
        try:
            self._check_ports(op, wires, item)
            inferred = op.infer(site)
            types = inferred if isinstance(inferred, tuple) else (inferred,)
            activation = self._inline_activation(op, layer.attributes)
            if activation is not None:
                row = ACTIVATIONS[activation.kind]
                row.infer(Site((types[0],), activation.attributes, self.conventions))
            parameters = op.parameters(site)
        except OpProblem as problem:
            self._op_problem(problem, op, item, wires)
            raise SpecError(()) from None
        self._check_shared(layer, site, parameters, item)
        self._check_parameters(op, parameters, item)
        self._check_sizes(op, types, parameters, item)
        self._count(1, item)
        layer.calls += 1
        names = op.output_names(site)
        values = tuple(
            Value(path if index == 0 else f"{path}.{name}", kind, item.span)
            for index, (name, kind) in enumerate(zip(names, types, strict=True))
        )
        raw = values
        if activation is not None:
            raw = (self._preactivation(values[0], activation), *values[1:])
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
        masks = tuple(self.masks.get(id(wire)) if wire else None for wire in wires)
        masked = self.conventions == "keras" and any(masks)
        scope.nodes.extend(op.fill_masked(node, masks) if masked else (node,))
        if activation is not None:
            name = f"{path}.{activation.kind}"
            scope.nodes.append(
                Node(
                    activation.kind,
                    name,
                    (raw[0],),
                    (values[0],),
                    activation.attributes,
                    (),
                    name,
                    item.span,
                )
            )
        self._pass_mask(op, site, path, wires, values, scope)
        self._bind(item, path, values, scope)

    def _preactivation(self, value: Value, activation: Configured) -> Value:
        """What the layer computes before its inline activation."""
        kind = "logits" if activation.kind in ("softmax", "sigmoid") else "preactivation"
        return replace(value, name=f"{value.name}.{kind}", internal=True)

    def _check_shared(
        self, layer: SharedLayer, site: Site, parameters: tuple[Parameter, ...], item: Item
    ) -> None:
        if layer.calls and [p.shape for p in parameters] != [p.shape for p in layer.parameters]:
            self.reporter.error(
                "E0604",
                f"layer '{layer.name}' cannot be shared between inputs {layer.input} and "
                f"{site.input}: its parameters would have other shapes",
                item.span,
                notes=(Note(f"'{layer.name}' is declared here", layer.span),),
            )
            raise SpecError(())
        if not layer.calls:
            layer.parameters, layer.input = parameters, site.inputs[0]

    def _check_parameters(self, op: Op, parameters: tuple[Parameter, ...], item: Item) -> None:
        """Whether the initializers can fill the parameters."""
        from specc.training.initializers import INITIALIZERS

        good = True
        for parameter in parameters:
            chosen = parameter.initializer
            try:
                INITIALIZERS[chosen.kind].check_shape(parameter.shape)
            except AttributeProblem as problem:
                message = f"'{parameter.name}' of {op.kind}: {problem.message}"
                place = chosen.span or item.span
                self.reporter.error("E0503", message, place, problem.suggestion)
                good = False
        if not good:
            raise SpecError(())

    def _check_sizes(
        self, op: Op, types: tuple[TensorType, ...], parameters: tuple[Parameter, ...], item: Item
    ) -> None:
        """Refuses what no machine can hold; named sizes count as one."""
        shapes = [("its output", kind.shape) for kind in types]
        shapes += [(f"its parameter '{each.name}'", each.shape) for each in parameters]
        for what, shape in shapes:
            elements = math.prod(size for size in shape if isinstance(size, int))
            if elements > MAX_ELEMENTS:
                message = f"{what} would have {elements:,} numbers"
                help_ = "make the layer or its input smaller"
                self.reporter.error("E0605", f"{op.kind}: {message}", item.span, help_)
                raise SpecError(())

    def _count(self, layers: int, item: Item) -> None:
        """Counts layers as they are built, so that blocks in blocks cannot grow without bound."""
        self._built += layers
        if self._built > MAX_LAYERS:
            message = f"blocks and repeats make more than {MAX_LAYERS:,} layers here"
            self.reporter.error("E0430", message, item.span, "repeat less often")
            raise SpecError(())

    def _inline_activation(self, op: Op, attributes: dict[str, Any]) -> Configured | None:
        declared = op.attribute("activation")
        inline = declared is not None and declared.kind is ACTIVATION
        return attributes["activation"] if inline else None

    def _check_ports(self, op: Op, wires: list[Value | None], item: Item) -> None:
        ports = op.ports * len(wires) if op.ports and op.ports[0].many else op.ports
        for port, value in zip(ports, wires, strict=True):
            if value is None or port.dtype in ("any", value.type.dtype):
                continue
            hint = ""
            if port.dtype == "float" and value.type.dtype == "int":
                hint = "integers go through an embedding or one_hot first"
            raise OpProblem(
                f"{op.kind} takes {port.dtype} values at its input '{port.name}', but "
                f"'{value.name}' is {value.type}",
                help=hint,
                port=port.name,
                code="E0602",
            )

    def _op_problem(
        self, problem: OpProblem, op: Op, item: Item, wires: list[Value | None]
    ) -> None:
        span = item.span
        if problem.attribute and isinstance(item.attributes, Mapping):
            key = item.attributes.key(problem.attribute)
            tree = item.attributes.get(problem.attribute)
            span = tree.span if tree is not None else key.span if key is not None else span
        notes = tuple(
            Note(f"'{value.name}' is {value.type}", value.span)
            for value in wires
            if value is not None and value.span is not None and not value.internal
        )
        self.reporter.error(problem.code, problem.message, span, problem.help, notes)

    # Masks

    def _wire_mask(self, op: Op, wires: list[Value | None], site: Site) -> None:
        """Keras: the mask of a layer's input goes into its port ``mask``, unless one is wired."""
        index = next((i for i, port in enumerate(op.ports) if port.name == "mask"), None)
        if self.conventions == "keras" and index is not None and wires[index] is None:
            wires[index] = self.masks.get(id(wires[op.masked_port(site)]))

    def _pass_mask(
        self,
        op: Op,
        site: Site,
        path: str,
        wires: list[Value | None],
        values: tuple[Value, ...],
        scope: Scope,
    ) -> None:
        if self.conventions != "keras":
            return
        made = op.make_mask(site, path, tuple(wires))
        if made is not None:
            scope.nodes.append(made)
            self.set_mask(values[0], made.outputs[0])
            return
        known = [mask for w in wires if w is not None and (mask := self.masks.get(id(w)))]
        if op.ports and op.ports[0].many:
            inputs = tuple(wire for wire in wires if wire is not None)
            masks = tuple(self.masks.get(id(value)) for value in inputs)
            joined = op.join_masks(site, path, inputs, masks) if known else ()
            scope.nodes.extend(joined)
            if joined:
                self.set_mask(values[0], joined[-1].outputs[0])
            return
        explicit = next(
            (w for p, w in zip(op.ports, wires, strict=False) if p.name == "mask" and w), None
        )
        mask = explicit or (known[0] if known else None)
        if op.mask_of is not None:
            mask = self.masks.get(id(wires[op.mask_of]))
        if mask is not None and op.passes_mask(site):
            self.set_mask(values[0], mask)

    def set_mask(self, value: Value, mask: Value) -> None:
        self.masks[id(value)] = mask
        self._keep.append(value)

    # Binding

    def _bind(self, item: Item, path: str, values: tuple[Value, ...], scope: Scope) -> None:
        names = self._output_names(item)
        if names and len(names) != len(values):
            assert item.outputs is not None
            others = ", ".join(value.name.removeprefix(f"{path}.") for value in values[1:])
            self.reporter.error(
                "E0414",
                f"{item.kind.value} has {_count(len(values), 'output')}, "
                f"but {_count(len(names), 'name')} {'is' if len(names) == 1 else 'are'} given",
                item.outputs.span,
                f"it gives its output, {others}" if others else "",
            )
            raise SpecError(())
        for name, value in zip(names, values, strict=False):
            self.bind(str(name.value), value, name.span, scope)
        named = item.name is not None
        if str(path) not in scope.values:
            scope.values[path] = values[0]
            scope.spans[path] = item.name.span if item.name else item.span
        if named and str(item.name.value) not in scope.values:  # type: ignore[union-attr]
            scope.values[str(item.name.value)] = values[0]  # type: ignore[union-attr]
        if not named:
            scope.used.add(path)
        scope.previous = values

    def bind(self, name: str, value: Value | None, span: Span, scope: Scope) -> None:
        """Gives a value a name; a name that is taken is refused."""
        check_name(name, span, self.reporter)
        if name in scope.values:
            self._taken(name, span, scope)
        scope.values[name] = value
        scope.spans[name] = span

    # Blocks and repeats

    def _use(self, item: Item, scope: Scope) -> None:
        name, block = self._block(item)
        path = self._path(item, name, scope)
        arguments = self._arguments(item, block, name, scope)
        ports = tuple(Port(each, dtype="any") for each in input_names(block))
        wires = self._wires(item, ports, scope, f"block '{name}'")
        graph = self._body(item, name, block, arguments, wires)
        self._finish_call("call", item, path, wires, (graph,), scope)

    def _block(self, item: Item) -> tuple[str, Mapping]:
        tree = item.attributes
        if not isinstance(tree, Scalar) or not isinstance(tree.value, str):
            place = (tree or item.kind).span
            self.reporter.error("E0415", "use takes the name of a block", place, "e.g. use: tower")
            raise SpecError(())
        name = tree.value
        if name not in self.blocks:
            self.reporter.error(
                "E0415",
                f"there is no block '{name}'",
                tree.span,
                did_you_mean(name, self.blocks) or "blocks are declared in the section blocks",
            )
            raise SpecError(())
        self.used_blocks.add(name)
        block = self.blocks[name]
        if block is None:
            raise SpecError(())
        return name, block

    def _arguments(self, item: Item, block: Mapping, name: str, scope: Scope) -> dict[str, Any]:
        declared = block.get("parameters")
        entries = declared.entries if isinstance(declared, Mapping) else ()
        extra = item.extra
        nothing = extra is None or (isinstance(extra, Scalar) and extra.value is None)
        if extra is not None and not nothing and not isinstance(extra, Mapping):
            message = "'with' is a mapping of the block's parameters"
            self.reporter.error("E0416", message, extra.span, "e.g. with: {width: 64}")
            raise SpecError(())
        given = extra.entries if isinstance(extra, Mapping) else ()
        names = [str(key.value) for key, _ in entries]
        good = True
        for key, _ in given:
            if key.value not in names:
                help_ = did_you_mean(str(key.value), names)
                self.reporter.error(
                    "E0416", f"block '{name}' has no parameter '{key.value}'", key.span, help_
                )
                good = False
        written = {str(key.value): tree for key, tree in given}
        values: dict[str, Any] = {}
        for key, default in entries:
            each = str(key.value)
            if each in written:
                values[each] = plain(written[each], scope.environment)
            elif isinstance(default, Scalar) and default.value is None:
                note = Note(f"'{each}' has no default", key.span)
                self.reporter.error(
                    "E0417",
                    f"block '{name}' needs '{each}'",
                    item.span,
                    f"add {each}=..." if item.in_language else f"add with: {{{each}: ...}}",
                    (note,),
                )
                good = False
            else:
                values[each] = plain(default, values)
        if not good:
            raise SpecError(())
        return values

    def _repeat(self, item: Item, scope: Scope) -> None:
        body = self._repeat_body(item)
        times_tree = body.get("times")
        times = plain(times_tree, scope.environment) if times_tree is not None else None
        if isinstance(times, bool) or not isinstance(times, int) or not 1 <= times <= MAX_LAYERS:
            self.reporter.error(
                "E0419",
                f"repeat needs 'times', an integer from 1 to {MAX_LAYERS}",
                times_tree.span if times_tree else item.span,
                "e.g. repeat(2)" if item.in_language else "e.g. times: 2",
            )
            raise SpecError(())
        path = self._path(item, "repeat", scope)
        ports = tuple(Port(each, dtype="any") for each in input_names(body))
        wires = self._wires(item, ports, scope, "repeat")
        index_tree = body.get("index")
        index = str(index_tree.value) if isinstance(index_tree, Scalar) else None
        current, graphs = list(wires), []
        for iteration in range(times):
            environment = {**scope.environment, **({index: iteration} if index else {})}
            graph = self._iteration(item, body, environment, current)
            graphs.append(graph)
            current = [value for value in graph.outputs if not _is_mask(value)]
            if len(current) != len(ports):
                self.reporter.error(
                    "E0420",
                    f"repeat feeds {_count(len(ports), 'input')} by position from one pass to the "
                    f"next, but its body gives {len(current)}",
                    item.span,
                    "name as many outputs as inputs",
                )
                raise SpecError(())
            if sum(self._sizes[id(each)] for each in graphs) > MAX_LAYERS:
                self._count(MAX_LAYERS + 1, item)
        self._finish_call("repeat", item, path, wires, tuple(graphs), scope)

    def _repeat_body(self, item: Item) -> Mapping:
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

    def _iteration(
        self, item: Item, body: Mapping, environment: Environment, wires: list[Value | None]
    ) -> Graph:
        """The graph of one pass. A body that is one use of a block is that block's graph."""
        layers = body.get("layers")
        if isinstance(layers, Sequence) and len(layers.items) == 1:
            only = self._item(layers.items[0])
            if only is not None and only.kind.value == "use" and only.name is None:
                name, block = self._block(only)
                if self._is_block(body, only, name, block):
                    scope = Scope(environment)
                    arguments = self._arguments(only, block, name, scope)
                    return self._body(only, name, block, arguments, wires)
        return self._body(item, "repeat", body, environment, wires)

    def _is_block(self, body: Mapping, use: Item, name: str, block: Mapping) -> bool:
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

    def _body(
        self,
        item: Item,
        name: str,
        block: Mapping,
        arguments: Environment,
        wires: list[Value | None],
    ) -> Graph:
        """The graph of a block for these arguments and input types; the same ones share a graph."""
        masks = [self.masks.get(id(wire)) for wire in wires]
        key = (
            id(block),
            repr(sorted(arguments.items(), key=lambda each: each[0])),
            tuple(wire.type for wire in wires if wire is not None),
            tuple(mask is not None for mask in masks),
        )
        if key not in self._graphs:
            if name in self._active and name != "repeat":
                chain = " -> ".join([*self._active, name])
                self.reporter.error("E0421", f"block '{name}' uses itself ({chain})", item.span)
                raise SpecError(())
            self._active.append(name)
            self.reporter.uses.append(Note(f"in this use of '{name}'", item.span))
            try:
                self._graphs[key] = self._build_body(name, block, arguments, wires, masks)
            finally:
                self._active.pop()
                self.reporter.uses.pop()
        graph = self._graphs[key]
        if graph is None:
            raise SpecError(())
        return graph

    def _build_body(
        self,
        name: str,
        block: Mapping,
        arguments: Environment,
        wires: list[Value | None],
        masks: list[Value | None],
    ) -> Graph | None:
        scope = Scope(arguments)
        inputs: list[Value] = []
        extra: list[Value] = []
        for port, wire, mask in zip(input_names(block), wires, masks, strict=True):
            assert wire is not None
            value = Value(port, wire.type, wire.span)
            inputs.append(value)
            scope.values[port] = value
            if mask is not None:
                extra.append(Value(f"{port}.mask", mask.type, internal=True))
                self.set_mask(value, extra[-1])
        scope.previous = tuple(inputs)
        errors = len(self.reporter.diagnostics)
        self.declarations(block.get("shared"), scope)
        self.layers(block.get("layers"), scope)
        outputs = self.outputs(block.get("outputs"), scope)
        if (
            any(d.severity == "error" for d in self.reporter.diagnostics[errors:])
            or None in outputs
        ):
            return None
        found = tuple(value for value in outputs if value is not None)
        out_masks = tuple(m for value in found if (m := self.masks.get(id(value))) is not None)
        self.check_unused(scope, set(input_names(block)))
        nodes = tuple(scope.nodes)
        graph = Graph(name, (*inputs, *extra), (*found, *out_masks), nodes, arguments)
        self._sizes[id(graph)] = sum(
            sum(self._sizes[id(body)] for body in node.bodies) if node.bodies else 1
            for node in nodes
        )
        return graph

    def outputs(self, tree: Tree | None, scope: Scope) -> tuple[Value | None, ...]:
        """The values that a body gives; without ``outputs``, those of its last layer."""
        if tree is None:
            return scope.previous
        try:
            items: Iterable[Tree] = tree.items if isinstance(tree, Sequence) else (tree,)
            return tuple(self.value(each, scope) for each in items)
        except SpecError as error:
            self.reporter.extend(error)
            return (None,)

    def declarations(self, tree: Tree | None, scope: Scope) -> None:
        """Shared layers: ``shared: {embed: {dense: {units: 32}}}``."""
        for key, each in tree.entries if isinstance(tree, Mapping) else ():
            name, item = str(key.value), self._item(each)
            scope.broken.add(name)
            if item is not None:
                try:
                    check_name(name, key.span, self.reporter)
                    self.declare(name, item, scope)
                    scope.spans[name] = key.span
                    scope.broken.remove(name)
                except SpecError as error:
                    self.reporter.extend(error)

    def _finish_call(
        self,
        op: str,
        item: Item,
        path: str,
        wires: list[Value | None],
        bodies: tuple[Graph, ...],
        scope: Scope,
    ) -> None:
        if sum(self._sizes[id(body)] for body in bodies) > MAX_LAYERS:
            self._count(MAX_LAYERS + 1, item)
        last = bodies[-1]
        masks = tuple(m for wire in wires if (m := self.masks.get(id(wire))) is not None)
        hidden = [value for value in last.outputs if _is_mask(value)]
        count = len(last.outputs) - len(hidden)
        if not count:
            self.reporter.error(
                "E0429",
                f"block '{last.name}' has no outputs",
                item.span,
                "name what it gives: outputs: [...]",
            )
            raise SpecError(())
        made = tuple(
            Value(
                path if index == 0 else f"{path}.{value.name}",
                value.type,
                item.span,
                internal=index >= count,
            )
            for index, value in enumerate(last.outputs)
        )
        scope.nodes.append(Node(op, path, (*wires, *masks), made, {}, (), path, item.span, bodies))
        visible_values, mask_values = made[:count], made[count:]
        masked = [v for v in last.outputs[:count] if self.masks.get(id(v)) is not None]
        for value, mask in zip(
            (v for v, inner in zip(visible_values, last.outputs, strict=False) if inner in masked),
            mask_values,
            strict=False,
        ):
            self.set_mask(value, mask)
        self._bind(item, path, visible_values, scope)

    def check_unused(self, scope: Scope, inputs: set[str]) -> None:
        """Warns of named values that nothing reads, and of shared layers that nothing calls."""
        for name, layer in scope.layers.items():
            if not layer.calls:
                message = f"the shared layer '{name}' is never used"
                self.reporter.warning("W1001", message, scope.spans.get(name) or layer.span)
        read = {id(value) for node in scope.nodes for value in node.inputs}
        read |= {id(value) for value in scope.previous}
        for name, value in scope.values.items():
            if value is None or name in scope.used or id(value) in read:
                continue
            what = "input" if name in inputs else "value"
            self.reporter.warning(
                "W1001", f"the {what} '{name}' is never used", scope.spans.get(name) or value.span
            )


def _is_mask(value: Value) -> bool:
    """Whether an output of a body is the mask that goes with another one."""
    return value.internal and value.type.dtype == "bool"


def _count(number: int, noun: str) -> str:
    """A number of things: ``2 inputs``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"

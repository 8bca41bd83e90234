"""Writes networks as classes of layer objects: one class per block, as PyTorch and Keras users do.

A block is specialised for each use (its sizes are known), and the uses of a block that differ in
numbers only share
one class: what differs becomes an argument of its constructor.
"""

from __future__ import annotations

from abc import ABC
from collections import Counter
from collections.abc import Callable
from dataclasses import field, replace
from functools import cached_property
from typing import Any, ClassVar

from specc.backends.base import repeated_inputs, template_fields
from specc.backends.writer import Names, class_name, literal, mangle, render, words
from specc.ir.dims import Dim
from specc.ir.graph import Graph, Node, Program, Value, node_bodies
from specc.ops.base import Default, Form, Module, Weight
from specc.records import dataclass


@dataclass
class Slot:
    """A value in a constructor call. ``omit`` is the framework's default, at which it is not
    written.
    """

    value: Any
    keyword: str = ""
    omit: Any = None


@dataclass
class Construction:
    """One layer object in a constructor: ``self.attribute = type(slots)``."""

    attribute: str
    type: str
    slots: list[Slot]
    wrap: str = "{module}"
    # For blocks: the graphs of each iteration of a repeat, or the one of a call.
    children: tuple[Graph, ...] = ()
    repeat: bool = False
    # How many of the slots belong to each child.
    counts: list[int] = field(default_factory=list)


@dataclass
class Line:
    """One statement of the forward pass, and the value whose shape its comment shows."""

    target: str
    expression: str
    value: Value | None = None
    # For a repeat: the attribute that is looped over and the call in the loop's body.
    loop: tuple[str, str] | None = None


@dataclass
class Skeleton:
    """One specialised graph, lowered. Graphs of one block with equal keys share a class."""

    graph: Graph
    inputs: list[str]
    constructions: list[Construction]
    lines: list[Line]
    record: str
    results: list[str]
    needs: list[str]

    def key(self) -> str:
        made = [
            (c.attribute, c.type, [(s.keyword, s.omit) for s in c.slots], c.wrap, len(c.children))
            for c in self.constructions
        ]
        lines = [(line.target, line.expression, line.loop) for line in self.lines]
        return repr((self.inputs, made, lines, self.record, self.results, self.needs))


@dataclass
class BlockClass:
    """A class of the generated file and the graphs that it serves, with each one's constructor
    arguments.
    """

    name: str
    members: list[Skeleton] = field(default_factory=list)
    arguments: dict[str, list[Any]] = field(default_factory=dict)
    places: dict[int, int] = field(default_factory=dict)  # of a member, by the id of its graph

    def add(self, member: Skeleton) -> None:
        self.places[id(member.graph)] = len(self.members)
        self.members.append(member)

    def of(self, graph: Graph) -> list[tuple[str, Any]]:
        index = self.places[id(graph)]
        return [(name, values[index]) for name, values in self.arguments.items()]

    @cached_property
    def shapes(self) -> dict[int, list[tuple[Dim, ...]]]:
        """The shape of each value in every member, by the value's id in the first one."""
        values = zip(*(_values(member.graph) for member in self.members), strict=True)
        return {id(each[0]): [value.type.shape for value in each] for each in values}


class ModuleEmitter(ABC):
    """Base of the class-writing emitters; a backend fills in the class attributes."""

    reserved_attributes: ClassVar[frozenset[str]] = frozenset()
    reserved_names: ClassVar[frozenset[str]] = frozenset()
    base: ClassVar[str]
    block_base: str
    method: ClassVar[str]
    container: ClassVar[str]  # "nn.ModuleList({items})"
    context: ClassVar[dict[str, str]] = {}  # name -> its declaration in the signature

    def __init__(self, program: Program, lower: Callable[[Node], Form]) -> None:
        self.program, self.lower = program, lower
        self.weights: dict[str, dict[str, Weight]] = {}
        self.where: dict[str, tuple[str, ...]] = {}  # parameter path -> expressions on ``model``
        self.tensors: dict[str, int] = {}  # parameter path -> how many framework tensors hold it
        self.prelude: set[str] = set()
        self.several_places = False  # whether layers of one kind keep a parameter in several
        self._skeletons: dict[int, Skeleton] = {}
        self._class_of: dict[int, BlockClass] = {}
        self.classes: list[BlockClass] = []

    def emit(self) -> str:
        """The source of all classes, blocks first."""
        main = self._skeleton(self.program.graph)
        self._group(main)
        for each in self.classes:
            self._unify(each)
        self._locate(self.program.graph, "", "model")
        return "\n\n\n".join(self._class_source(each) for each in self.classes)

    @property
    def renamed(self) -> bool:
        """Whether some attribute is not called as the spec calls it."""
        made = [c for each in self._skeletons.values() for c in each.constructions]
        return any(construction.attribute.endswith("_") for construction in made)

    @property
    def main(self) -> Skeleton:
        return self._skeletons[id(self.program.graph)]

    @property
    def main_class(self) -> str:
        return self.classes[-1].name

    # Lowering

    def _skeleton(self, graph: Graph) -> Skeleton:
        """The graph's lowered form; made once for a graph that is used often."""
        if id(graph) in self._skeletons:
            return self._skeletons[id(graph)]
        names = Names(self.reserved_names | set(self.context))
        result = Skeleton(graph, [names.of(v) for v in graph.inputs], [], [], "", [], [])
        inlined: dict[int, str] = {}
        readers = _reader_counts(graph)
        made: set[str] = set()
        calls = Counter(node.layer for node in graph.nodes)
        for node in graph.nodes:
            if calls[node.layer] > 1:  # one module for inputs of several sizes
                node = replace(node, attributes={**node.attributes, "shared": True})
            if node.bodies:
                self._call(node, result, names, inlined)
            else:
                self._node(node, result, names, inlined, readers, made)
        result.results = [inlined.get(id(v)) or names.of(v) for v in graph.outputs]
        result.record = self._record(graph, names)
        self._skeletons[id(graph)] = result
        return result

    def _node(
        self,
        node: Node,
        result: Skeleton,
        names: Names,
        inlined: dict[int, str],
        readers: dict[int, int],
        made: set[str],
    ) -> None:
        form = self.lower(node)
        attribute = mangle(node.layer, self.reserved_attributes)
        if form.module is not None and node.layer not in made:
            made.add(node.layer)
            result.constructions.append(self._construction(attribute, form.module))
            self._note_weights(node, form.module)
        template = self.template(node, form)
        for value in repeated_inputs(node, template):
            if id(value) in inlined:
                result.lines.append(Line(names.of(value), inlined.pop(id(value)), value))
        texts = [None if v is None else inlined.get(id(v)) or names.of(v) for v in node.inputs]
        fields = template_fields(node, form, texts) | {"self": f"self.{attribute}"}
        fields |= {name: name for name in form.needs}
        result.needs += [name for name in form.needs if name not in result.needs]
        expression = render(template, fields)
        targets = node.outputs
        inlines = len(targets) == 1 and targets[0].internal and readers.get(id(targets[0]), 0) == 1
        if inlines:
            inlined[id(targets[0])] = expression
            return
        target = ", ".join(names.of(value) for value in targets)
        result.lines.append(Line(target, expression, targets[0]))

    def template(self, node: Node, form: Form) -> str:
        """The template of a node's expression, which a framework may want wrapped."""
        return form.expression

    def _construction(self, attribute: str, module: Module) -> Construction:
        slots = [Slot(value) for value in module.arguments]
        for name, value in module.keywords.items():
            given, omit = (
                (value.value, value.default) if isinstance(value, Default) else (value, None)
            )
            slots.append(Slot(given, name, omit))
        return Construction(attribute, module.type, slots, module.wrap)

    def _note_weights(self, node: Node, module: Module) -> None:
        present = {parameter.name for parameter in node.parameters}
        table = self.weights.setdefault(module.type, {}) if present else {}
        for weight in module.weights:
            if weight.parameter not in present:
                continue
            known = table.setdefault(weight.parameter, weight)
            if known != weight:  # the same kind of layer keeps it elsewhere if it is made otherwise
                places = dict.fromkeys((*known.attributes, *weight.attributes))
                table[weight.parameter] = replace(known, attributes=tuple(sorted(places)))
                self.several_places = True

    def _call(self, node: Node, result: Skeleton, names: Names, inlined: dict[int, str]) -> None:
        children = [self._skeleton(body) for body in node.bodies]
        attribute = mangle(node.layer, self.reserved_attributes)
        repeat = node.op == "repeat"
        result.constructions.append(
            Construction(attribute, node.bodies[0].name, [], children=node.bodies, repeat=repeat)
        )
        needs = [name for name in self.context if any(name in child.needs for child in children)]
        result.needs += [name for name in needs if name not in result.needs]
        given = [inlined.get(id(v)) or names.of(v) for v in node.inputs if v is not None]
        targets = [names.of(value) for value in node.outputs]
        if not repeat:
            call = f"self.{attribute}({', '.join(given + self.passed(needs))})"
            result.lines.append(Line(", ".join(targets), call, node.outputs[0]))
            return
        if any(len(body.inputs) != len(node.bodies[-1].outputs) for body in node.bodies):
            self._passes(node, result, names, given, needs)
            return
        block = names.fresh("block")
        result.lines.append(Line(", ".join(targets), ", ".join(given)))
        call = f"{block}({', '.join(targets + self.passed(needs))})"
        loop = (f"for {block} in self.{attribute}:", call)
        result.lines.append(Line(", ".join(targets), "", node.outputs[0], loop))

    def _passes(
        self, node: Node, result: Skeleton, names: Names, given: list[str], needs: list[str]
    ) -> None:
        """A repeat whose passes differ in what they hand on, since a mask begins or ends on the
        way: each is called by itself."""
        attribute = mangle(node.layer, self.reserved_attributes)
        targets = [names.of(value) for value in node.outputs]
        for index, body in enumerate(node.bodies):
            call = f"self.{attribute}[{index}]({', '.join(given + self.passed(needs))})"
            extra = [names.fresh("mask") for _ in body.outputs[len(targets) :]]
            given = (targets + extra)[: len(body.outputs)]
            result.lines.append(Line(", ".join(given), call, node.outputs[0]))

    def passed(self, needs: list[str]) -> list[str]:
        """What the call of a block hands on of its surroundings."""
        return needs

    def _record(self, graph: Graph, names: Names) -> str:
        """The call that shows trace() each value that a layer of this graph computes.

        What a block gives is recorded inside of it.
        """
        nodes = [node for node in graph.nodes if not node.bodies]
        values = [value for node in nodes for value in node.outputs if not value.internal]
        if not values:
            return ""
        renamed = [
            f"{literal(value.name)}: {name}"
            for value in values
            if (name := names.of(value)) != value.name
        ]
        scope = f"{{**locals(), {', '.join(renamed)}}}" if renamed else "locals()"
        plain = words([value.name for value in values if not value.axes])
        images = words([value.name for value in values if value.axes])
        given = [scope, plain, f"images={images}" if images else ""]
        return f"record(self, {', '.join(text for text in given if text)})"

    # Classes

    def _group(self, skeleton: Skeleton) -> None:
        """Finds the class of a graph, children first."""
        if id(skeleton.graph) in self._class_of:
            return
        for construction in skeleton.constructions:
            for child in construction.children:
                self._group(self._skeletons[id(child)])
            if construction.children:
                names = {self._class_of[id(child)].name for child in construction.children}
                construction.type = ",".join(sorted(names))
        own = skeleton.graph.name
        key = skeleton.key()
        for each in self.classes:
            same = each.members[0].graph.name == skeleton.graph.name
            if same and each.members[0].key() == key:
                each.add(skeleton)
                self._class_of[id(skeleton.graph)] = each
                return
        taken = {each.name for each in self.classes} | self.reserved_names
        name = class_name(self.program.name if own == "main" else own, taken)
        made = BlockClass(name)
        made.add(skeleton)
        self.classes.append(made)
        self._class_of[id(skeleton.graph)] = made

    def _unify(self, block: BlockClass) -> None:
        """Fills in the arguments of child blocks, then makes what differs between members an
        argument.
        """
        for member in block.members:
            for construction in member.constructions:
                for child in construction.children:
                    given = self._class_of[id(child)].of(child)
                    construction.counts.append(len(given))
                    construction.slots += [Slot(value, name) for name, value in given]
        first = block.members[0]
        for place, construction in enumerate(first.constructions):
            for index, slot in enumerate(construction.slots):
                values = [m.constructions[place].slots[index].value for m in block.members]
                if any(value != values[0] for value in values):
                    name = self._argument_name(block, values, slot, construction)
                    block.arguments.setdefault(name, values)
        for argument, values in block.arguments.items():
            assert len(values) == len(block.members), argument

    def _argument_name(
        self, block: BlockClass, values: list[Any], slot: Slot, construction: Construction
    ) -> str:
        for name, known in block.arguments.items():
            if known == values:
                return name
        taken = set(block.arguments)
        # What a constructor refers to: layers, classes of blocks.
        names = Names(self.reserved_names | {each.name for each in self.classes} | taken)
        first = block.members[0].graph
        for name in first.arguments:
            if [m.graph.arguments.get(name) for m in block.members] == values and name not in taken:
                return names.fresh(str(name))
        shapes = [m.graph.inputs[0].type.shape for m in block.members if first.inputs]
        for sizes in list(zip(*shapes, strict=False))[1:]:  # the axes that all of them have
            if list(sizes) == values and "in_channels" not in taken:
                return "in_channels"
        return names.fresh(f"{construction.attribute}_{slot.keyword or 'size'}")

    def _class_source(self, block: BlockClass) -> str:
        main = block.members[0].graph.name == "main"
        first = block.members[0]
        arguments = "".join(
            f", {name}: {self._annotation(v)}" for name, v in block.arguments.items()
        )
        lines = [f"class {block.name}({self.base if main else self.block_base}):"]
        lines += self.class_head(block, main)
        lines.append(f"    def __init__(self{arguments}):")
        lines.append("        super().__init__()")
        for place, construction in enumerate(first.constructions):
            text = self._construction_source(block, place, construction)
            lines.append(f"        self.{construction.attribute} = {text}")
        context = "".join(f", {self.context[name]}" for name in self.context if name in first.needs)
        lines += ["", f"    def {self.method}(self, {', '.join(first.inputs)}{context}):"]
        for value, name in zip(first.graph.inputs, first.inputs, strict=True):
            lines.append(f"        # {name}: {self._shape(block, value)}")
        return "\n".join([*lines, *self._body_source(block)])

    def _body_source(self, block: BlockClass) -> list[str]:
        """The statements of the forward pass."""
        first = block.members[0]
        lines = [text for line in first.lines for text in self._line_source(block, line)]
        results = ", ".join(first.results)
        if first.record:
            lines.append(f"        {first.record}")
        elif lines and lines[-1].startswith(f"        {results} = "):
            # What nothing else reads is returned without a name.
            return [*lines[:-1], lines[-1].replace(f"{results} =", "return", 1)]
        return [*lines, f"        return {results}"]

    def class_head(self, block: BlockClass, main: bool) -> list[str]:
        """Lines right below the class statement."""
        what = (
            f'"""The network {self.program.name}."""'
            if main
            else f'"""The block {block.members[0].graph.name}."""'
        )
        return [f"    {what}", ""]

    def _annotation(self, values: list[Any]) -> str:
        kinds = {type(value).__name__ for value in values}
        return kinds.pop() if len(kinds) == 1 else "object"

    def _construction_source(
        self, block: BlockClass, place: int, construction: Construction
    ) -> str:
        slots = self._slot_texts(block, place)
        if not construction.children:
            call = f"{construction.type}({', '.join(text for text in slots if text)})"
            return construction.wrap.replace("{module}", call)
        calls = []
        for child, count in zip(construction.children, construction.counts, strict=True):
            given, slots = slots[:count], slots[count:]
            name = self._class_of[id(child)].name
            calls.append(f"{name}({', '.join(text for text in given if text)})")
        if not construction.repeat:
            return calls[0]
        if len(set(calls)) == 1 and len(calls) > 1:
            return self.container.replace("{items}", f"[{calls[0]} for _ in range({len(calls)})]")
        return self.container.replace("{items}", f"[{', '.join(calls)}]")

    def _slot_texts(self, block: BlockClass, place: int) -> list[str]:
        texts = []
        for index, slot in enumerate(block.members[0].constructions[place].slots):
            values = [m.constructions[place].slots[index].value for m in block.members]
            name = next((n for n, known in block.arguments.items() if known == values), None)
            constant = all(value == values[0] for value in values)
            if constant and slot.keyword and slot.omit is not None and values[0] == slot.omit:
                texts.append("")
                continue
            text = literal(values[0]) if constant else str(name)
            texts.append(f"{slot.keyword}={text}" if slot.keyword else text)
        return texts

    def _line_source(self, block: BlockClass, line: Line) -> list[str]:
        shape = ""
        if line.value is not None:
            shape = f"  # {self._shape(block, line.value)}"
        if line.loop is not None:
            head, call = line.loop
            return [f"        {head}", f"            {line.target} = {call}{shape}"]
        if line.target == line.expression:
            return []
        return [f"        {line.target} = {line.expression}{shape}"]

    def _shape(self, block: BlockClass, value: Value) -> str:
        """The shape for a comment; sizes that differ between the uses of a block by the argument
        they equal.
        """
        shapes = block.shapes[id(value)]
        if len(set(map(len, shapes))) > 1:
            return f"({shapes[0][0]}, ...)"
        dims = [
            self._dim(block, [shape[axis] for shape in shapes]) for axis in range(len(shapes[0]))
        ]
        return f"({', '.join(dims)}{',' if len(dims) == 1 else ''})"

    def _dim(self, block: BlockClass, sizes: list[Dim]) -> str:
        if all(size == sizes[0] for size in sizes):
            return str(sizes[0])
        return next((name for name, known in block.arguments.items() if known == sizes), "...")

    # Where parameters are

    def _locate(self, graph: Graph, prefix: str, model: str) -> None:
        """Notes the expression of every parameter, for penalties."""
        for node in graph.nodes:
            attribute = mangle(node.layer, self.reserved_attributes)
            for index, (child, body) in enumerate(node_bodies(node)):
                item = f"[{index}]" if node.op == "repeat" else ""
                self._locate(body, f"{prefix}{child}.", f"{model}.{attribute}{item}")
            if node.parameters:
                module = self.lower(node).module
                for weight in module.weights if module else ():
                    path = f"{prefix}{node.layer}.{weight.parameter}"
                    self.where[path] = tuple(
                        f"{model}.{attribute}.{part}" for part in weight.attributes
                    )
                    self.tensors[path] = len(weight.attributes)

    def trained(self) -> list[str]:
        """The path of every tensor that is trained, in the order of the graph."""
        return [
            path
            for path, parameter in self.program.graph.parameters()
            if parameter.trainable
            for _ in range(self.tensors[path])
        ]


def _values(graph: Graph) -> list[Value]:
    return [*graph.inputs, *(value for node in graph.nodes for value in node.outputs)]


def _reader_counts(graph: Graph) -> dict[int, int]:
    counts: dict[int, int] = {}
    reads = [value for node in graph.nodes for value in node.inputs] + list(graph.outputs)
    for value in reads:
        if value is not None:
            counts[id(value)] = counts.get(id(value), 0) + 1
    return counts

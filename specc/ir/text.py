"""The text form of graphs: what ``specc show`` prints and what tests of passes are written in.

    graph main(image: float[28, 28, 1]) {
      conv: float[26, 26, 32] = conv2d(image) {filters=32} [kernel(3, 3, 1, 32), bias(32)]
      out: float[26, 26, 32] = relu(conv)
      return out
    }

A value's type leaves out the batch; ``float[!3, 4]`` has none. ``x: float[8, 8, 3] ~(0, 3, 1, 2)``
lies in memory in another order than the spec's, ``x!`` is the compiler's own. ``layer@op`` names
the layer of the parameters where it is not the node's path, ``as path`` the path where it is not
the output's name. Attributes are Python literals; choices from registries are not written.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

from specc.ir.dims import BATCH, Dim, symbol
from specc.ir.graph import Graph, Initializer, Node, Parameter, Program, Value
from specc.ir.types import TensorType
from specc.syntax import evaluate, parse

_ZEROS = Initializer("zeros")


class IrSyntaxError(ValueError):
    """A text that is not a graph; the message names the line."""


def program_text(program: Program) -> str:
    """The graphs of a program: blocks first, then the network, its head, and the losses."""
    parts = [print_graphs(program.graph)]
    if program.head.nodes:
        parts.append(_print_graph(program.head, {}))
    for loss in program.training.losses if program.training else ():
        parts.append(f"loss {_print_node(loss.node, {})}")
    return "\n\n".join(parts) + "\n"


def print_graphs(graph: Graph) -> str:
    """A graph and before it every graph that it uses, each once."""
    names: dict[int, str] = {}
    order: list[Graph] = []
    _collect(graph, names, order)
    return "\n\n".join(_print_graph(each, names) for each in order)


def _collect(graph: Graph, names: dict[int, str], order: list[Graph]) -> None:
    if id(graph) in names:
        return
    for node in graph.nodes:
        for body in node.bodies:
            _collect(body, names, order)
    taken = set(names.values())
    name, count = graph.name, 1
    while name in taken:
        count += 1
        name = f"{graph.name}.{count}"
    names[id(graph)] = name
    order.append(graph)


def _print_graph(graph: Graph, names: Mapping[int, str]) -> str:
    inputs = ", ".join(_print_value(value) for value in graph.inputs)
    lines = [f"graph {names.get(id(graph), graph.name)}({inputs}) {{"]
    lines += [f"  {_print_node(node, names)}" for node in graph.nodes]
    lines += [f"  return {', '.join(value.name for value in graph.outputs)}", "}"]
    return "\n".join(lines)


def _print_value(value: Value) -> str:
    kind = value.type
    batched = bool(kind.shape) and kind.shape[0] == BATCH
    sizes = ", ".join(map(str, kind.shape[1:] if batched else kind.shape))
    order = f" ~{value.axes}" if value.axes else ""
    own = "!" if value.internal else ""
    return f"{value.name}{own}: {kind.dtype}[{'' if batched else '!'}{sizes}]{order}"


def _print_node(node: Node, names: Mapping[int, str]) -> str:
    outputs = ", ".join(_print_value(value) for value in node.outputs)
    op = node.op
    if node.bodies:
        op += f"<{', '.join(names[id(body)] for body in node.bodies)}>"
    layer = f"{node.layer}@" if node.layer and node.layer != node.path else ""
    inputs = ", ".join(value.name if value else "_" for value in node.inputs)
    plain = {k: v for k, v in node.attributes.items() if _is_plain(v)}
    attributes = ", ".join(f"{name}={value!r}" for name, value in plain.items())
    parameters = ", ".join(_print_parameter(each) for each in node.parameters)
    text = f"{outputs} = {layer}{op}({inputs})"
    if node.path != node.outputs[0].name:
        text += f" as {node.path}"
    return (
        text + (f" {{{attributes}}}" if plain else "") + (f" [{parameters}]" if parameters else "")
    )


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _print_parameter(parameter: Parameter) -> str:
    sizes = ", ".join(map(str, parameter.shape))
    return f"{parameter.name}({sizes}){'' if parameter.trainable else '*'}"


# Reading

_HEAD = re.compile(r"graph (?P<name>[\w.]+)\((?P<inputs>.*)\) \{$")
_VALUE = re.compile(
    r"(?P<name>[\w.@]+)(?P<own>!?): (?P<dtype>\w+)\[(?P<bare>!?)(?P<sizes>[^\]]*)\]"
    r"(?: ~(?P<axes>\([^)]*\)))?"
)
_NODE = re.compile(
    r"(?P<outputs>.+?) = (?:(?P<layer>[\w.]+)@)?(?P<op>\w+)(?:<(?P<bodies>[^>]*)>)?"
    r"\((?P<inputs>[^)]*)\)"
    r"(?: as (?P<path>[\w.@]+))?(?: \{(?P<attributes>.*?)\})?(?: \[(?P<parameters>.*)\])?$"
)
_PARAMETER = re.compile(r"(?P<name>[\w.]+)\((?P<sizes>[^)]*)\)(?P<fixed>\*?)")


def parse_graph(text: str) -> Graph:
    """The last graph of a text, which may use the ones before it. Raises IrSyntaxError."""
    known: dict[str, Graph] = {}
    graph: Graph | None = None
    lines = iter(enumerate(text.strip().splitlines(), 1))
    for number, line in lines:
        if not line.strip():
            continue
        head = _HEAD.match(line.strip())
        if head is None:
            raise IrSyntaxError(f"line {number}: expected 'graph name(inputs) {{', found {line!r}")
        graph = _parse_body(head, lines, known)
        known[graph.name] = graph
    if graph is None:
        raise IrSyntaxError("the text has no graph")
    return graph


def _parse_body(
    head: re.Match[str], lines: Iterator[tuple[int, str]], known: Mapping[str, Graph]
) -> Graph:
    inputs = tuple(_parse_values(head["inputs"]))
    values = {value.name: value for value in inputs}
    nodes: list[Node] = []
    outputs: tuple[Value, ...] = ()
    for number, raw in lines:
        line = raw.strip()
        try:
            if line == "}":
                return Graph(head["name"], inputs, outputs, tuple(nodes))
            if line.startswith("return "):
                outputs = tuple(values[name.strip()] for name in line[7:].split(","))
                continue
            node = _parse_node(line, values, known)
        except KeyError as error:
            raise IrSyntaxError(f"line {number}: {error} is not defined above") from error
        if node is None:
            raise IrSyntaxError(f"line {number}: not a node: {line!r}")
        nodes.append(node)
        values.update({value.name: value for value in node.outputs})
    raise IrSyntaxError(f"graph {head['name']} has no '}}'")


def _parse_values(text: str) -> Iterator[Value]:
    for match in _VALUE.finditer(text):
        sizes = [each.strip() for each in match["sizes"].split(",") if each.strip()]
        shape: tuple[Dim, ...] = tuple(int(s) if s.isdecimal() else symbol(s) for s in sizes)
        kind = TensorType(match["dtype"], shape if match["bare"] else (BATCH, *shape))
        axes = evaluate(match["axes"]) if match["axes"] else None
        yield Value(match["name"], kind, axes=axes, internal=bool(match["own"]))


def _parse_node(line: str, values: Mapping[str, Value], known: Mapping[str, Graph]) -> Node | None:
    match = _NODE.match(line)
    if match is None:
        return None
    outputs = tuple(_parse_values(match["outputs"]))
    names = [name.strip() for name in match["inputs"].split(",") if name.strip()]
    call = parse(f"f({match['attributes'] or ''})", mode="eval").body
    assert isinstance(call, ast.Call)
    attributes = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    path = match["path"] or outputs[0].name
    return Node(
        match["op"],
        path,
        tuple(None if name == "_" else values[name] for name in names),
        outputs,
        attributes,
        tuple(_parse_parameters(match["parameters"] or "")),
        match["layer"] or path,
        bodies=tuple(known[b.strip()] for b in (match["bodies"] or "").split(",") if b.strip()),
    )


def _parse_parameters(text: str) -> Iterator[Parameter]:
    for match in _PARAMETER.finditer(text):
        shape = tuple(int(size) for size in match["sizes"].split(",") if size.strip())
        yield Parameter(match["name"], shape, _ZEROS, trainable=not match["fixed"])

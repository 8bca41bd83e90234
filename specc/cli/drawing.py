"""A program as boxes and arrows, and as Mermaid and DOT text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from specc.ir.graph import Graph, Node, Program, Value, node_bodies
from specc.page.figures import kind_of


@dataclass(frozen=True)
class Box:
    """An input, an output or a layer; ``note`` says its kind and what comes out."""

    name: str
    note: str
    role: str


@dataclass
class Drawing:
    """Boxes in topological order and arrows between their positions, with the shape that flows."""

    title: str
    boxes: list[Box] = field(default_factory=list)
    arrows: list[tuple[int, int, str]] = field(default_factory=list)

    def add(self, box: Box, sources: Sequence[tuple[int, str]] = ()) -> int:
        self.boxes.append(box)
        target = len(self.boxes) - 1
        self.arrows += [(source, target, shape) for source, shape in sources]
        return target


def draw(program: Program, expand: bool = False) -> Drawing:
    """The network of a program; with ``expand`` the insides of blocks and repeats."""
    drawing = Drawing(program.name)
    # Which box a value comes out of. Values are compared by identity, as the graph does.
    origin: dict[int, int] = {}
    for value in program.graph.inputs:
        origin[id(value)] = drawing.add(Box(value.name, str(value.type), "input"))
    _add_nodes(drawing, program.graph, "", origin, expand)
    for name, value in program.outputs.items():
        if id(value) in origin:
            drawing.add(Box(name, str(value.type), "output"), [_arrow(origin, value)])
    return drawing


def _add_nodes(
    drawing: Drawing, graph: Graph, prefix: str, origin: dict[int, int], expand: bool
) -> None:
    for node in graph.nodes:
        if expand and node.bodies:
            _add_bodies(drawing, node, prefix, origin)
            continue
        arrows = [_arrow(origin, v) for v in node.inputs if v is not None and id(v) in origin]
        note = f"{kind_of(node)} → {', '.join(str(value.type) for value in node.outputs)}"
        box = drawing.add(
            Box(f"{prefix}{node.path}", note, "block" if node.bodies else "layer"), arrows
        )
        origin.update({id(value): box for value in node.outputs})


def _add_bodies(drawing: Drawing, node: Node, prefix: str, origin: dict[int, int]) -> None:
    """The graphs inside: a repeat feeds each one's outputs to the next by position."""
    flowing: tuple[Value | None, ...] = node.inputs
    for path, body in node_bodies(node):
        for inner, source in zip(body.inputs, flowing, strict=False):
            if source is not None and id(source) in origin:
                origin[id(inner)] = origin[id(source)]
        _add_nodes(drawing, body, f"{prefix}{path}.", origin, expand=True)
        flowing = body.outputs
    for outer, source in zip(node.outputs, flowing, strict=False):
        if source is not None and id(source) in origin:
            origin[id(outer)] = origin[id(source)]


def _arrow(origin: dict[int, int], value: Value) -> tuple[int, str]:
    return origin[id(value)], str(value.type)


def to_mermaid(drawing: Drawing) -> str:
    """A flowchart that GitHub and most editors render."""
    shapes = {"input": ("([", "])"), "output": ("([", "])"), "block": ("[[", "]]")}
    lines = ["flowchart TD"]
    for index, box in enumerate(drawing.boxes):
        left, right = shapes.get(box.role, ("[", "]"))
        lines.append(f'  n{index}{left}"{_mermaid(box.name)}<br/>{_mermaid(box.note)}"{right}')
    lines += [f"  n{source} --> n{target}" for source, target, _ in drawing.arrows]
    return "\n".join(lines) + "\n"


def _mermaid(text: str) -> str:
    return text.replace("&", "#amp;").replace('"', "#quot;").replace("<", "#lt;")


def to_dot(drawing: Drawing) -> str:
    """The language of Graphviz."""
    styles = {
        "input": ', shape=oval, fillcolor="#e3f1fb"',
        "output": ', shape=oval, fillcolor="#e2f5ec"',
        "block": ', peripheries=2, fillcolor="#fff4dd"',
    }
    lines = [
        f"digraph {_quoted(drawing.title)} {{",
        '  node [shape=box, style="rounded,filled", fillcolor=white, fontname="Helvetica"];',
    ]
    for index, box in enumerate(drawing.boxes):
        label = _quoted(f"{box.name}\n{box.note}")
        lines.append(f"  n{index} [label={label}{styles.get(box.role, '')}];")
    lines += [f"  n{source} -> n{target};" for source, target, _ in drawing.arrows]
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'

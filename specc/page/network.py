"""A program as the data of its page: graphs, what each layer is and costs, where it is written."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from specc.diagnostics import Span
from specc.frontend.tree import Mapping as TreeMapping
from specc.frontend.tree import Scalar, Sequence, Tree
from specc.ir.dims import BATCH
from specc.ir.graph import Configured, Graph, Initializer, Node, Program, Value, node_bodies
from specc.ir.types import TensorType
from specc.ops.registry import find
from specc.page.figures import Cost, bytes_text, count_text, kind_of, plain, summarize
from specc.page.links import link_source

JsonObject = dict[str, Any]
LANGUAGES = {".yaml": "yaml", ".yml": "yaml", ".specc": "specc"}


def page_data(program: Program, tree: Tree, sources: Mapping[str, tuple[str, str]]) -> JsonObject:
    """What the page shows, ready for JSON.

    ``tree`` is the located tree of the program; ``sources`` has for each backend its title and the
    text of its file.
    """
    summary = summarize(program)
    texts = Specs(tree)
    graphs = _Graphs(texts)
    graphs.index(program.graph)
    return {
        "title": program.name,
        "settings": [program.conventions, program.dtype, program.layout, f"seed {program.seed}"],
        "totals": list(summary.totals().items()),
        "outputs": {name: value.name for name, value in program.outputs.items()},
        "graphs": graphs.found,
        "kinds": graphs.kinds,
        # One entry per layer, in the order of the graphs, what is in a block after the block.
        "figures": [_figures(row, summary.width) for row in summary.rows],
        # Of each repeat those of its passes, in the same order.
        "passes": [
            [_figures(each, summary.width) for each in row.passes]
            for row in summary.rows
            if row.passes
        ],
        "documents": [
            *texts.documents(),
            *(
                {
                    "title": title,
                    "name": f"{program.name}_{backend}.py",
                    "language": "python",
                    "text": text,
                    "links": link_source(text, program),
                }
                for backend, (title, text) in sources.items()
            ),
        ],
    }


def _figures(cost: Cost, width: int) -> list[Any]:
    """Parameters, FLOPs and bytes of activations, each as number and text; bytes of parameters."""
    activations = width * cost.activations
    return [
        [cost.parameters, count_text(cost.parameters)],
        [plain(cost.flops), count_text(cost.flops)],
        [plain(activations), bytes_text(activations)],
        bytes_text(width * cost.parameters),
    ]


class Specs:
    """The files that a located tree was read from, and the lines of each layer in them."""

    def __init__(self, tree: Tree) -> None:
        self.sources = {id(tree.span.source): tree.span.source}
        self._items: dict[tuple[int, int], Span] = {}
        for mapping in _mappings(tree):
            self.sources.setdefault(id(mapping.span.source), mapping.span.source)
            for key, value in mapping.entries:
                for place in (key, value):
                    if isinstance(place, Scalar):
                        self._items[_place(place.span)] = mapping.span

    def lines(self, span: Span | None) -> list[int]:
        """[file, first line, last line] of the layer whose kind stands at ``span``."""
        if span is None or id(span.source) not in self.sources:
            return []
        whole = self._items.get(_place(span), span)
        text = whole.source.text[: whole.end].rstrip()
        first, last = whole.source.position(whole.start)[0], text.count("\n") + 1
        # What the reader takes for the end of an item may lie behind comments on the next one.
        while last > first and whole.source.line(last).lstrip()[:1] in ("", "#"):
            last -= 1
        return [list(self.sources).index(id(span.source)), first, last]

    def documents(self) -> Iterator[JsonObject]:
        for source in self.sources.values():
            name = source.name.replace("\\", "/").rpartition("/")[2]
            suffix = name[name.rfind(".") :].lower()
            yield {
                "title": "Spec" if source is next(iter(self.sources.values())) else "Included",
                "name": name,
                "language": LANGUAGES.get(suffix, "yaml"),
                "text": source.text,
                "links": {},
            }


def _mappings(tree: Tree | None) -> Iterator[TreeMapping]:
    """Every mapping of a tree, the outer ones first."""
    if isinstance(tree, TreeMapping):
        yield tree
        for _, value in tree.entries:
            yield from _mappings(value)
    elif isinstance(tree, Sequence):
        for item in tree.items:
            yield from _mappings(item)


def _place(span: Span) -> tuple[int, int]:
    return id(span.source), span.start


class _Graphs:
    """Graphs by number; the uses of a block that are alike share one."""

    def __init__(self, specs: Specs) -> None:
        self.specs = specs
        self.found: list[JsonObject] = []
        self.kinds: dict[str, list[str]] = {}
        self._numbers: dict[int, int] = {}

    def index(self, graph: Graph) -> int:
        """The number of a graph, after those that it uses."""
        if id(graph) not in self._numbers:
            made = self._graph(graph)
            self._numbers[id(graph)] = len(self.found)
            self.found.append(made)
        return self._numbers[id(graph)]

    def _graph(self, graph: Graph) -> JsonObject:
        # Where a value comes from: [node, output], or [-1 - input, 0].
        origin = {id(value): [-1 - index, 0] for index, value in enumerate(graph.inputs)}
        readers = Counter(id(value) for node in graph.nodes for value in node.inputs)
        nodes: list[JsonObject] = []
        for index, node in enumerate(graph.nodes):
            before = graph.nodes[index - 1] if index else None
            joined = before is not None and _is_inline_activation(node, before, readers)
            nodes.append(
                {
                    **self._node(node),
                    "inputs": [origin[id(value)] for value in node.inputs if value is not None],
                    "joined": joined,
                }
            )
            origin |= {id(value): [index, port] for port, value in enumerate(node.outputs)}
        return {
            "name": graph.name,
            "inputs": [[value.name, *_shape(value.type)] for value in graph.inputs],
            "outputs": [[value.name, origin[id(value)]] for value in graph.outputs],
            "nodes": nodes,
        }

    def _node(self, node: Node) -> JsonObject:
        kind = node.bodies[0].name if node.bodies and node.op != "repeat" else node.op
        op = find(node.op)
        if op is not None:
            self.kinds[kind] = [
                op.family,
                op.doc.partition("\n\n")[0].replace("\n", " ").replace("``", ""),
            ]
        arguments = node.bodies[0].arguments if len(node.bodies) == 1 else {}
        return {
            "path": node.path,
            "kind": kind,
            "shown": kind_of(node),
            "outputs": [list(_shape(value.type)) for value in node.outputs],
            "attributes": [
                [name, _text(value)] for name, value in {**arguments, **node.attributes}.items()
            ],
            "tensors": [
                [
                    parameter.name,
                    " × ".join(map(str, parameter.shape)),
                    f"{math.prod(parameter.shape):,}",
                    _text(parameter.initializer),
                    "" if parameter.trainable else "not trained by gradients",
                ]
                for parameter in node.parameters
            ],
            "lines": self.specs.lines(node.span),
            "bodies": [[child, self.index(body)] for child, body in node_bodies(node)],
        }


def _is_inline_activation(node: Node, before: Node, readers: Mapping[int, int]) -> bool:
    """Whether a node is the ``activation`` of the layer before it, which nothing else reads."""
    value = node.inputs[0] if len(node.inputs) == 1 else None
    return (
        value is not None
        and not before.bodies
        and value is before.outputs[0]
        and node.path == f"{before.path}.{node.op}"
        and readers[id(value)] == 1
    )


def _shape(kind: TensorType) -> tuple[str, str]:
    """What flows, per sample and in short for an edge, and in full."""
    batched = bool(kind.shape) and kind.shape[0] == BATCH
    sizes = " × ".join(map(str, kind.shape[1:] if batched else kind.shape)) or "scalar"
    return (
        sizes if kind.dtype == "float" else f"{kind.dtype} {sizes}",
        f"{kind.dtype} {kind.comment()}",
    )


def _text(value: Any) -> str:
    """An attribute's value as a spec writes it."""
    if isinstance(value, Configured | Initializer):
        inner = ", ".join(f"{name}={_text(each)}" for name, each in value.attributes.items())
        return f"{value.kind}({inner})" if inner else value.kind
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_text, value))})"
    if isinstance(value, Value):
        return value.name
    return (
        {True: "true", False: "false", None: "none"}.get(value, str(value))
        if (value is None or isinstance(value, bool))
        else str(value)
    )

"""How large a network may be: no spec keeps the compiler busy or needs what no machine has."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sized

from specc.diagnostics import Diagnostic, Note, Span, SpecError
from specc.frontend.configure import Reporter
from specc.frontend.expressions import Expression, walk
from specc.frontend.items import Item
from specc.frontend.scope import Scope
from specc.frontend.tree import Scalar, Sequence, Tree
from specc.ir.graph import Graph, Node, Parameter, node_bodies
from specc.ir.types import TensorType
from specc.ops.base import Op

MAX_LAYERS = 1000
"""As many layers as a network has at most, those of its blocks and repeats counted each time,
unless the environment variable LAYERS says otherwise. So many compile in seconds."""
LAYERS = "SPECC_MAX_LAYERS"
MAX_VALUES = 200_000
"""As many values as blocks and repeats may have, those of each counted as often as it is built."""
MAX_NAMED = 256
"""As many inputs or targets as a spec has, values as a layer takes, and losses as add up."""
MAX_NESTING = 64
"""As deep as blocks and repeats may stand within each other."""
MAX_ELEMENTS = 2**40
"""As many numbers as a parameter, or a value for one sample, has at most."""
MAX_AXES = 32
"""As many axes as a tensor has at most: of NumPy 1, and fewer than of NumPy 2 and PyTorch (64)."""
MAX_SIZE_TEXT = 500
"""As many characters as the formula of an axis has, where a size has a name and no number yet."""
MAX_PARAMETERS = 10_000_000_000
"""As many numbers as a network's parameters have together, unless the environment variable
PARAMETERS says otherwise: 40 GB in float32, and with Adam's gradients and moments four times as
much."""
PARAMETERS = "SPECC_MAX_PARAMETERS"


def allowed(variable: str, default: int) -> int:
    """A limit that an environment variable may change. Raises SpecError (E0607) where that is no
    number."""
    text = os.environ.get(variable, "").strip()
    if not text:
        return default
    try:
        return int(text) if text.isdecimal() and len(text) < 100 else int(float(text))
    except (ValueError, OverflowError):
        message = f"the environment variable {variable} is '{text[:40]}', which is no number"
        raise SpecError(Diagnostic("E0607", message, help=f"e.g. {variable}={default}")) from None


class Budget:
    """Counts layers and values as they are built, so that blocks in blocks cannot grow without
    bound."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.layers = allowed(LAYERS, MAX_LAYERS)
        self._built = 0
        self._values = 0

    @property
    def spent(self) -> bool:
        """Whether so many layers were built that there is no use in building more."""
        return self._built > self.layers

    def build(self, item: Item, scope: Scope, wires: int = 1) -> None:
        """One more layer is built; one that takes many values counts as several. Raises SpecError,
        reported, when that is too many."""
        layers = 1 + wires // 16
        self._built += layers
        self.use(layers, item, scope)

    def use(self, layers: int, item: Item, scope: Scope) -> None:
        """So many layers, built before, become a part of a graph. Raises as ``build``."""
        scope.size += layers
        if max(self._built, scope.size) > self.layers:
            message = f"the network has more than {self.layers:,} layers here"
            self._refuse(
                message, item, f"allow more in the environment: {LAYERS}={10 * self.layers}"
            )

    def read(self, values: int, item: Item) -> None:
        """A block or repeat with so many values is built. Raises as ``build``."""
        self._values += values
        if self._values > MAX_VALUES:
            message = f"blocks and repeats have more than {MAX_VALUES:,} values to read, all in all"
            self._refuse(message, item, "let fewer of its uses differ")

    def _refuse(self, message: str, item: Item, help_: str) -> None:
        self._built = self.layers + 1
        self.reporter.error("E0430", message, item.span, f"repeat less often, or {help_}")
        raise SpecError(())


def too_many(things: Sized, what: str, place: Span, reporter: Reporter) -> bool:
    """Whether there are more than MAX_NAMED of what has a name each; then that is reported."""
    found = len(things) > MAX_NAMED
    if found:
        message = f"{len(things):,} {what} are too many: at most {MAX_NAMED} are possible"
        reporter.error("E0430", message, place, "join them first")
    return found


def values_in(tree: Tree) -> int:
    """How many values a tree has, the parts of its expressions counted too."""
    if isinstance(tree, Scalar):
        return sum(1 for _ in walk(tree.value)) if isinstance(tree.value, Expression) else 1
    if isinstance(tree, Sequence):
        return 1 + sum(map(values_in, tree.items))
    return 1 + sum(values_in(value) for _, value in tree.entries)


def check_sizes(
    op: Op,
    types: tuple[TensorType, ...],
    parameters: tuple[Parameter, ...],
    item: Item,
    reporter: Reporter,
) -> None:
    """Refuses what no machine can hold; named sizes count as one. Raises SpecError, reported.

    What a batch takes is no matter of the spec: the size of a batch is chosen again when a
    generated file runs, and nothing is allocated before. ``specc summary`` shows it.
    """
    shapes = [("its output", kind.shape) for kind in types]
    shapes += [(f"its parameter '{each.name}'", each.shape) for each in parameters]
    for what, shape in shapes:
        if len(shape) > MAX_AXES:
            message = f"{op.kind}: {what} would have {len(shape):,} axes, more than {MAX_AXES}"
            reporter.error("E0605", message, item.span)
            raise SpecError(())
        named = (str(size) for size in shape if not isinstance(size, int))
        if any(len(text) > MAX_SIZE_TEXT for text in named):
            message = f"{op.kind}: the sizes of {what} depend on a named size in too many ways"
            reporter.error("E0605", message, item.span, "give the input a fixed size")
            raise SpecError(())
        elements = math.prod(size for size in shape if isinstance(size, int))
        if elements > MAX_ELEMENTS:
            message = f"{op.kind}: {what} would have {elements:,} numbers"
            reporter.error("E0605", message, item.span, "make the layer or its input smaller")
            raise SpecError(())


def check_parameters(graph: Graph, place: Span) -> None:
    """Refuses a network with more parameters than allowed, and says where most of them are.

    Raises SpecError (E0606).
    """
    sizes = {path: math.prod(each.shape) for path, each in graph.parameters()}
    total, most = sum(sizes.values()), allowed(PARAMETERS, MAX_PARAMETERS)
    if total <= most:
        return
    path, count = _heaviest(sizes, total)
    message = f"the network would have {total:,} parameters, more than the {most:,} allowed"
    where = f"{count:,} of them are in '{path}'" if path else "they are spread over many layers"
    node = _node_at(graph, path)
    help_ = f"make it smaller, or allow more in the environment: {PARAMETERS}={total}"
    span = (node.span if node is not None else None) or place
    raise SpecError(Diagnostic("E0606", message, span, (Note(where),), help_))


def _heaviest(sizes: dict[str, int], total: int) -> tuple[str, int]:
    """The innermost path below which more than half of the parameters are, and how many."""
    path, count = "", total
    while True:
        depth = path.count(".") + 1 if path else 0
        inner: Counter[str] = Counter()
        for each, size in sizes.items():
            parts = each.split(".")
            if (not path or each.startswith(f"{path}.")) and len(parts) > depth:
                inner[".".join(parts[: depth + 1])] += size
        largest, size = inner.most_common(1)[0] if inner else ("", 0)
        if 2 * size <= total:
            return path, count
        path, count = largest, size


def _node_at(graph: Graph, path: str) -> Node | None:
    """The layer that a path leads to, or into."""
    for node in graph.nodes:
        for child, body in node_bodies(node):
            if path.startswith(f"{child}."):
                return _node_at(body, path[len(child) + 1 :]) or node
        if path == node.layer or path.startswith(f"{node.layer}."):
            return node
    return None

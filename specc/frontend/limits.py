"""How large a network may be: no spec keeps the compiler busy or needs what no machine has."""

from __future__ import annotations

import math

from specc.diagnostics import SpecError
from specc.frontend.configure import Reporter
from specc.frontend.items import Item
from specc.frontend.scope import Scope
from specc.ir.graph import Parameter
from specc.ir.types import TensorType
from specc.ops.base import Op

MAX_LAYERS = 10_000
"""As many layers as a network has at most, those of its blocks and repeats counted each time."""
MAX_NESTING = 64
"""As deep as blocks and repeats may stand within each other."""
MAX_ELEMENTS = 2**40
"""As many numbers as a parameter, or a value for one sample, has at most."""


class LayerBudget:
    """Counts layers as they are built, so that blocks in blocks cannot grow without bound."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self._built = 0

    @property
    def spent(self) -> bool:
        """Whether so many layers were built that there is no use in building more."""
        return self._built > MAX_LAYERS

    def build(self, item: Item, scope: Scope) -> None:
        """One more layer is built. Raises SpecError, reported, when that is too many."""
        self._built += 1
        self.use(1, item, scope)

    def use(self, layers: int, item: Item, scope: Scope) -> None:
        """So many layers, built before, become a part of a graph. Raises as ``build``."""
        scope.size += layers
        if max(self._built, scope.size) > MAX_LAYERS:
            self._built = MAX_LAYERS + 1
            message = f"blocks and repeats make more than {MAX_LAYERS:,} layers here"
            self.reporter.error("E0430", message, item.span, "repeat less often")
            raise SpecError(())


def check_sizes(
    op: Op,
    types: tuple[TensorType, ...],
    parameters: tuple[Parameter, ...],
    item: Item,
    reporter: Reporter,
) -> None:
    """Refuses what no machine can hold; named sizes count as one. Raises SpecError, reported."""
    shapes = [("its output", kind.shape) for kind in types]
    shapes += [(f"its parameter '{each.name}'", each.shape) for each in parameters]
    for what, shape in shapes:
        elements = math.prod(size for size in shape if isinstance(size, int))
        if elements > MAX_ELEMENTS:
            message = f"{op.kind}: {what} would have {elements:,} numbers"
            reporter.error("E0605", message, item.span, "make the layer or its input smaller")
            raise SpecError(())

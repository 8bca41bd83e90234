"""From the layers of a spec or block to a graph."""

from __future__ import annotations

from collections.abc import Iterable

from specc.diagnostics import SpecError
from specc.frontend.advice import Advisor
from specc.frontend.blocks import Bodies
from specc.frontend.calls import Calls
from specc.frontend.configure import Configurator, Reporter
from specc.frontend.declarations import check_name
from specc.frontend.items import Item, read_item
from specc.frontend.limits import Budget
from specc.frontend.masks import Masks
from specc.frontend.origins import Origins
from specc.frontend.scope import Naming, Scope
from specc.frontend.tree import Mapping, Sequence, Tree
from specc.frontend.wiring import Wiring
from specc.ir.graph import Value


class GraphBuilder:
    """Builds graphs item by item. Its parts each do one thing and share one reporter.

    ``naming`` gives paths, ``wiring`` finds values, ``masks`` follows padded steps, ``advisor``
    knows where values come from, ``calls`` builds ops and ``bodies`` blocks and repeats, whose
    layers come back here.
    """

    def __init__(
        self, reporter: Reporter, conventions: str, layout: str, blocks: dict[str, Mapping | None]
    ) -> None:
        self.reporter = reporter
        self.conventions, self.layout, self.blocks = conventions, layout, blocks
        self.configurator = Configurator(reporter, conventions)
        self.naming = Naming(reporter)
        self.wiring = Wiring(reporter, blocks)
        self.masks = Masks(conventions)
        self.advisor = Advisor(Origins(), layout)
        self.budget = Budget(reporter)
        self.calls = Calls(self)
        self.bodies = Bodies(self)

    def layers(self, tree: Tree | None, scope: Scope) -> None:
        """Builds every item of a list of layers into the scope."""
        if tree is None:
            return
        if not isinstance(tree, Sequence):
            help_ = "e.g. layers: [{dense: 32}]"
            self.reporter.error("E0401", "layers is a list, each item one layer", tree.span, help_)
            scope.incomplete, scope.previous = True, (None,)
            return
        items = [(each, read_item(each, self.reporter)) for each in tree.items]
        for _, item in items:
            for name in item.own_names if item else ():
                scope.later.setdefault(str(name.value), name.span)
        for each, item in items:
            if self.budget.spent:
                scope.incomplete, scope.previous = True, (None,)
                return
            if item is None:
                scope.poison_name(each)
                continue
            try:
                self._layer(item, scope)
            except SpecError as error:
                self.reporter.extend(error)
                scope.poison(item)

    def _layer(self, item: Item, scope: Scope) -> None:
        match item.kind.value:
            case "use":
                self.bodies.use(item, scope)
            case "repeat":
                self.bodies.repeat(item, scope)
            case "layer":
                self.calls.shared(item, scope)
            case _:
                self.calls.op(item, scope)

    def declarations(self, tree: Tree | None, scope: Scope) -> None:
        """Shared layers: ``shared: {embed: {dense: {units: 32}}}``."""
        for key, each in tree.entries if isinstance(tree, Mapping) else ():
            name, item = str(key.value), read_item(each, self.reporter)
            scope.broken.add(name)
            if item is not None:
                try:
                    check_name(name, key.span, self.reporter)
                    self.calls.declare(name, item, scope)
                    scope.spans[name] = key.span
                    scope.broken.remove(name)
                except SpecError as error:
                    self.reporter.extend(error)

    def outputs(self, tree: Tree | None, scope: Scope) -> tuple[Value | None, ...]:
        """The values that a body gives; without ``outputs``, those of its last layer."""
        if tree is None:
            return scope.previous
        try:
            items: Iterable[Tree] = tree.items if isinstance(tree, Sequence) else (tree,)
            return tuple(self.wiring.value(each, scope) for each in items)
        except SpecError as error:
            self.reporter.extend(error)
            return (None,)

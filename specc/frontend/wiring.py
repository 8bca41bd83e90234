"""From the names under ``from`` to the values at a layer's ports."""

from __future__ import annotations

from collections.abc import Collection

from specc.diagnostics import Note, Span, SpecError, did_you_mean
from specc.frontend.configure import Reporter
from specc.frontend.items import Item
from specc.frontend.limits import too_many
from specc.frontend.scope import Scope, count_of
from specc.frontend.tree import Mapping, Scalar, Sequence, Tree
from specc.ir.graph import Value
from specc.ops.base import Port
from specc.records import dataclass

MAX_LISTED = 12
"""As many names as a message lists."""

Wires = list[Value | None]
"""The value at each port; None where an optional one is not wired."""


@dataclass(frozen=True)
class Wiring:
    """Looks names up. What is wrong is reported and raised as an empty SpecError."""

    reporter: Reporter
    blocks: Collection[str]

    def value(self, tree: Tree, scope: Scope, what: str = "value") -> Value | None:
        """The value that a name stands for; None where its layer is wrong."""
        if not isinstance(tree, Scalar) or not isinstance(tree.value, str):
            help_ = f"write the name of a {what}, without expressions"
            self.reporter.error("E0406", f"a {what} is given by its name", tree.span, help_)
            raise SpecError(())
        if tree.value not in scope.values:
            if scope.incomplete:
                raise SpecError(())
            if tree.value in scope.later:
                self.too_early(tree.value, tree.span, scope.later[tree.value])
            help_ = self._advice(tree.value, scope, what)
            self.reporter.error("E0407", f"there is no {what} '{tree.value}'", tree.span, help_)
            raise SpecError(())
        scope.used.add(tree.value)
        return scope.values[tree.value]

    def _advice(self, name: str, scope: Scope, what: str) -> str:
        """What may have been meant by a name that nothing has."""
        if what == "target" and not scope.values:
            return f"declare it, e.g. targets: {{{name}: {{shape: [3]}}}}"
        if name in self.blocks:
            return f"'{name}' is a block; write use: {name}"
        names = [each for each in scope.values if scope.inner or each.isidentifier()]
        match = self.reporter.nearest(name, names)
        if match is not None:
            return f"did you mean '{match}'?"
        if len(names) > MAX_LISTED:
            return "a block sees its own inputs and layers only" if scope.inner else ""
        if scope.inner:
            known = ", ".join(f"'{each}'" for each in names)
            return f"a block sees its own inputs and layers only, here {known}"
        known = did_you_mean(name, names)
        takes = "what a network takes is declared in inputs"
        declared = "a target is declared in targets" if what == "target" else takes
        return f"{known}; {declared}" if known else declared

    def too_early(self, name: str, span: Span, defined: Span) -> None:
        """Refuses a name that is defined further below."""
        self.reporter.error(
            "E0407",
            f"'{name}' is taken before it is computed",
            span,
            "a layer stands below those whose values it takes; a network has no cycles",
            (Note(f"'{name}' is computed here", defined),),
        )
        raise SpecError(())

    def wires(self, item: Item, ports: tuple[Port, ...], scope: Scope, what: str) -> Wires:
        """The inputs of a layer by port; silent where one of them is wrong already."""
        if item.source is None:
            given = [("", self._previous(item, scope, what))]
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

    def _previous(self, item: Item, scope: Scope, what: str) -> Value | None:
        """The output of the layer above, where there is just one."""
        if len(scope.previous) != 1:
            count = "no" if not scope.previous else str(len(scope.previous))
            self.reporter.error(
                "E0408",
                f"{what} needs 'from': there are {count} previous outputs to take",
                item.span,
                f"name the value(s) it takes, e.g. from: {next(iter(scope.values), 'x')}",
            )
            raise SpecError(())
        return scope.previous[0]

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
                f"'{name}' of {what} takes {count_of(len(members), 'value')}{listed}, "
                f"but {count} {'is' if count == 1 else 'are'} wired in",
                tree.span,
            )
            raise SpecError(())
        return members

    def _assign(
        self, item: Item, ports: tuple[Port, ...], given: list[tuple[str, Value | None]], what: str
    ) -> Wires:
        """Named values to their ports, the others to the ports by position."""
        place = item.source.span if item.source is not None else item.span
        if too_many(given, f"values for {what}", place, self.reporter):
            raise SpecError(())
        if any(port.many for port in ports):
            return [value for _, value in given]
        wires: list[Wires] = [[] for _ in ports]
        position = 0
        for name, value in given:
            index = next((i for i, port in enumerate(ports) if port.name == name), None)
            if index is None:
                index, position = position, position + 1
            if index >= len(ports):
                self.reporter.error(
                    "E0410",
                    f"{what} takes {count_of(len(ports), 'input')}, but {len(given)} are wired in",
                    (item.source or item.kind).span,
                    "add or concatenate them first" if len(ports) == 1 else "",
                )
                raise SpecError(())
            wires[index].append(value)
        missing = [p.name for p, w in zip(ports, wires, strict=True) if not w and not p.optional]
        if missing:
            source = f"({missing[0]}=...)" if item.in_language else f"from: {{{missing[0]}: ...}}"
            message = f"{what} has no value for its input '{missing[0]}'"
            self.reporter.error("E0411", message, item.span, f"wire one: {source}")
            raise SpecError(())
        return [wire[0] if wire else None for wire in wires]

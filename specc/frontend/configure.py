"""From a piece of the located tree to checked attribute values: layers and registries alike."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Mapping as Dict
from dataclasses import field, replace
from typing import Any

from specc.diagnostics import WARNINGS, Diagnostic, Note, Span, SpecError, did_you_mean, nearest
from specc.frontend.expressions import Expression, Name, evaluate, names
from specc.frontend.tree import Mapping, Scalar, Sequence, Tree
from specc.ir.graph import Configured
from specc.ops.attributes import REQUIRED, Attribute, AttributeProblem, Optional, Reference, show
from specc.records import dataclass

MAX_SEARCHES = 50
"""As many unknown names as one spec has compared with all others: in thousands that takes long."""
MAX_REPORTED = 100
"""After so many errors the spec is not read further, and as many warnings are shown."""
MAX_ITEMS = 256
"""As many values as a parameter holds."""
MAX_USES = 4
"""As many uses of blocks within each other as a mistake in the innermost one shows."""


class TooManyErrors(Exception):  # noqa: N818  (it ends the building of a program, and no more)
    """No SpecError, so that nobody goes on after it."""


@dataclass
class Reporter:
    """Collects the diagnostics of a spec, so that one run shows them all.

    Raises TooManyErrors, from whatever reports, when there are MAX_REPORTED errors.
    """

    diagnostics: list[Diagnostic] = field(default_factory=list)
    # Where a block was used, for mistakes that only show in one use of it.
    uses: list[Note] = field(default_factory=list)
    errors: int = 0
    warnings: int = 0
    searches: int = 0
    # The names of warnings that the spec silences.
    allowed: tuple[str, ...] = ()
    # The parameters of the spec: their values, and where they are declared.
    parameters: dict[str, tuple[Any, Span]] = field(default_factory=dict)
    _known: set[tuple[str, str, Span | None]] = field(default_factory=set)

    def error(
        self,
        code: str,
        message: str,
        span: Span | None,
        help_: str = "",
        notes: tuple[Note, ...] = (),
    ) -> None:
        self._add(Diagnostic(code, message, span, (*notes, *self.uses[-MAX_USES:]), help_))

    def warning(
        self,
        code: str,
        message: str,
        span: Span | None,
        help_: str = "",
        notes: tuple[Note, ...] = (),
    ) -> None:
        if WARNINGS[code] not in self.allowed:
            notes = (*notes, *self.uses[-MAX_USES:])
            self._add(Diagnostic(code, message, span, notes, help_, severity="warning"))

    def declared(self, tree: Tree, environment: Environment) -> tuple[Note, ...]:
        """Where the parameters have their values from that a value which is wrong is made of."""
        if isinstance(tree, Sequence):
            found = [note for item in tree.items for note in self.declared(item, environment)]
            return tuple({note.span: note for note in found[:MAX_USES]}.values())
        if not isinstance(tree, Scalar) or not isinstance(tree.value, Expression):
            return ()
        own = [each for each in sorted(names(tree.value)) if each in self.parameters]
        return tuple(
            Note(f"'{each}' is {show(environment[each])}", self.parameters[each][1])
            for each in own[:MAX_USES]
            if each in environment and environment[each] == self.parameters[each][0]
        )

    def nearest(self, name: str, candidates: Iterable[str]) -> str | None:
        """The name in a network that was probably meant, as long as there are few mistakes."""
        self.searches += 1
        return nearest(name, candidates) if self.searches <= MAX_SEARCHES else None

    def suggest(self, name: str, candidates: Iterable[str]) -> str:
        """The same as a help text, or a list of the choices when they are few."""
        self.searches += 1
        return did_you_mean(name, candidates) if self.searches <= MAX_SEARCHES else ""

    def extend(self, error: SpecError) -> None:
        for diagnostic in error.diagnostics:
            self._add(diagnostic)

    def _add(self, diagnostic: Diagnostic) -> None:
        # A block that is used twice shows its own mistakes once.
        key = (diagnostic.code, diagnostic.message, diagnostic.span)
        if key in self._known:
            return
        is_error = diagnostic.severity == "error"
        if is_error or self.warnings < MAX_REPORTED:
            self._known.add(key)
            self.diagnostics.append(diagnostic)
        self.errors += is_error
        self.warnings += not is_error
        if self.errors >= MAX_REPORTED:
            note = Note(f"after {MAX_REPORTED} mistakes the spec was not read further")
            self.diagnostics[-1] = replace(diagnostic, notes=(*diagnostic.notes, note))
            raise TooManyErrors

    def in_order(self, main: Span) -> tuple[Diagnostic, ...]:
        """All diagnostics from top to bottom, those of the main file first."""

        def place(diagnostic: Diagnostic) -> tuple[bool, str, int]:
            span = diagnostic.span or main
            return span.source is not main.source, span.source.name, span.start

        return tuple(sorted(self.diagnostics, key=place))

    @property
    def failed(self) -> bool:
        return self.errors > 0


Environment = Dict[str, Any]


def plain(tree: Tree, environment: Environment) -> Any:
    """The tree as plain values, its expressions evaluated. Raises SpecError at a bad expression."""
    if isinstance(tree, Scalar):
        return (
            evaluate(tree.value, environment) if isinstance(tree.value, Expression) else tree.value
        )
    if isinstance(tree, Sequence):
        return [plain(item, environment) for item in tree.items]
    return {str(key.value): plain(value, environment) for key, value in tree.entries}


def parameter_value(tree: Tree, environment: Environment) -> Any:
    """The value of a parameter, which other values may be made of. Raises SpecError as ``plain``
    does, and E0305 for lists that together have more than MAX_ITEMS items."""
    value = plain(tree, environment)
    waiting, count = [value], 0
    while waiting:
        each = waiting.pop()
        count += 1
        if count > MAX_ITEMS:
            # Lists of lists of lists would double with every parameter.
            message = f"a parameter holds at most {MAX_ITEMS} values, those of its lists included"
            raise SpecError(Diagnostic("E0305", message, tree.span))
        if isinstance(each, list):
            waiting += each
        elif isinstance(each, dict):
            waiting += each.values()
    return value


class Configurator:
    """Checks attributes against their declarations, under one set of conventions."""

    def __init__(self, reporter: Reporter, conventions: str) -> None:
        self.reporter = reporter
        self.conventions = conventions

    def attributes(
        self,
        declared: tuple[Attribute, ...],
        tree: Tree | None,
        environment: Environment,
        *,
        what: str,
        place: Span,
        refused: Dict[str, str] | None = None,
    ) -> dict[str, Any] | None:
        """Every declared attribute with its value or default; None when one is wrong (reported)."""
        given = self._entries(declared, tree, what, place)
        if given is None:
            return None
        good = True
        names = {attribute.name: attribute for attribute in declared}
        values: dict[str, Any] = {}
        for key, value in given:
            name = str(key.value)
            if name not in names:
                self._unknown(key, what, names, refused or {})
                good = False
                continue
            try:
                values[name] = self._value(names[name], value, environment)
            except SpecError as error:
                self.reporter.extend(error)
                good = False
            except AttributeProblem as problem:
                self.reporter.error(
                    "E0503",
                    f"'{name}' of {what}: {problem.message}",
                    value.span,
                    problem.suggestion,
                    self.reporter.declared(value, environment),
                )
                good = False
        written = {str(key.value) for key, _ in given}
        # An attribute under another name is not reported as missing as well.
        unknown = written - set(names)
        written |= {each for name in unknown for each in self._meant(name, names, refused or {})}
        for attribute in declared:
            if attribute.name in written:
                continue
            if attribute.required:
                doc = f": {_lowered(attribute.doc)}" if attribute.doc else ""
                self.reporter.error(
                    "E0502",
                    f"{what} needs '{attribute.name}'{doc}",
                    place,
                    f"add {attribute.name}, {attribute.kind.wants()}",
                )
                good = False
            else:
                values[attribute.name] = self._default(attribute)
        return {a.name: values[a.name] for a in declared} if good else None

    def reference(self, tree: Tree, kind: Reference, environment: Environment) -> Configured | None:
        """A choice from a registry: ``adam``, ``{adam: {learning_rate: 0.1}}``. None when wrong."""
        registry = kind.registry()
        names = {
            **{k: k for k in registry},
            **{a: k for k, c in registry.items() for a in getattr(c, "aliases", ())},
        }
        name, inner, place = None, None, tree.span
        if isinstance(tree, Scalar):
            name = _word(tree, environment) or plain(tree, environment)
        elif isinstance(tree, Mapping) and len(tree.entries) == 1:
            (key, inner) = tree.entries[0]
            name, place = key.value, key.span
        if not isinstance(name, str):
            help_ = did_you_mean("", registry) or f"e.g. {next(iter(registry))}"
            self.reporter.error("E0504", f"this is not {kind.wants()}", tree.span, help_)
            return None
        if name not in names:
            what = kind.what.split()[-1]
            help_ = _advice(name, what, names)
            self.reporter.error("E0505", f"there is no {what} '{name}'", place, help_)
            return None
        chosen = registry[names[name]]
        values = self.attributes(
            chosen.attributes,
            inner,
            environment,
            what=f"{kind.what.split()[-1]} '{name}'",
            place=place,
            refused=getattr(chosen, "refused", None),
        )
        if values is None or not self._fits(chosen, values, place):
            return None
        complete = getattr(chosen, "complete", None)
        return Configured(names[name], complete(values) if complete else values, place)

    def _fits(self, row: Any, values: dict[str, Any], place: Span) -> bool:
        """Whether attributes, each valid by itself, fit together; the row's ``check`` knows."""
        check = getattr(row, "check", None)
        try:
            if check is not None:
                check(values)
        except AttributeProblem as problem:
            message = f"{row.kind}: {problem.message}"
            self.reporter.error("E0503", message, place, problem.suggestion)
            return False
        return True

    def _entries(
        self, declared: tuple[Attribute, ...], tree: Tree | None, what: str, place: Span
    ) -> list[tuple[Scalar, Tree]] | None:
        if tree is None or (isinstance(tree, Scalar) and tree.value is None):
            return []
        if isinstance(tree, Mapping):
            return list(tree.entries)
        if not declared:
            self.reporter.error("E0501", f"{what} has no attributes", tree.span, "remove the value")
            return None
        # `dense: 64` means the first attribute.
        return [(Scalar(declared[0].name, tree.span), tree)]

    def _unknown(
        self, key: Scalar, what: str, names: dict[str, Attribute], refused: Dict[str, str]
    ) -> None:
        name = str(key.value)
        advice = self._renamed(name, names, refused) or did_you_mean(name, names)
        self.reporter.error("E0501", f"{what} has no attribute '{name}'", key.span, advice)

    def _renamed(self, name: str, names: dict[str, Attribute], refused: Dict[str, str]) -> str:
        """What to write for an attribute that other tools have; "" where none is known."""
        from specc.frontend.foreign import translated

        return refused.get(name) or translated(name, "attribute", names)

    def _meant(self, name: str, names: dict[str, Attribute], refused: Dict[str, str]) -> set[str]:
        """The attributes that were probably meant by an unknown name."""
        advice = self._renamed(name, names, refused)
        if advice:
            return set(re.findall(r"\w+", advice)) & set(names)
        match = nearest(name, names)
        return {match} if match else set()

    def _value(self, attribute: Attribute, tree: Tree, environment: Environment) -> Any:
        kind = attribute.kind
        if isinstance(kind, Optional):
            if isinstance(tree, Scalar) and tree.value is None:
                return None
            kind = kind.kind
        if isinstance(kind, Reference):
            found = self.reference(tree, kind, environment)
            if found is None:
                raise SpecError(())
            return found
        custom = getattr(kind, "parse_tree", None)
        if custom is not None:
            return custom(self, tree, environment)
        return attribute.kind.parse(plain(tree, environment))

    def _default(self, attribute: Attribute) -> Any:
        value = attribute.default_for(self.conventions)
        assert value is not REQUIRED
        kind = attribute.kind.kind if isinstance(attribute.kind, Optional) else attribute.kind
        if isinstance(kind, Reference) and isinstance(value, str | dict):
            return self.default_reference(kind, value)
        if value is None or isinstance(value, Configured):
            return value
        return attribute.kind.parse(value)

    def default_reference(self, kind: Reference, value: str | dict[str, Any]) -> Configured:
        """A registry's entry with its own defaults, some of them replaced."""
        name, given = (value, {}) if isinstance(value, str) else next(iter(value.items()))
        chosen = kind.registry()[name]
        values = {
            a.name: given.get(a.name, self._default(a) if a.name not in given else None)
            for a in chosen.attributes
        }
        complete = getattr(chosen, "complete", None)
        return Configured(name, complete(values) if complete else values)


def _advice(name: str, what: str, names: Dict[str, str]) -> str:
    """What may have been meant by a name that a registry does not have."""
    from specc.frontend.foreign import elsewhere, translated

    advice = translated(name, what, names) or elsewhere(name)
    return advice or did_you_mean(name, names)


def _word(tree: Scalar, environment: Environment) -> str | None:
    """A bare word of the language that is no parameter: a choice is meant, and perhaps misspelt."""
    if not isinstance(tree.value, Name) or tree.value.name in environment:
        return None
    return tree.value.name if tree.span.source.name.endswith(".specc") else None


def _lowered(doc: str) -> str:
    """A sentence as the end of another one."""
    return f"{doc[:1].lower()}{doc[1:].rstrip('.')}"

"""From the located tree of a spec to a Program, all mistakes collected."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from specc.diagnostics import Diagnostic, Note, Span, SpecError, did_you_mean, nearest
from specc.frontend.allowed import allowed_warnings
from specc.frontend.configure import Reporter, TooManyErrors, parameter_value, plain
from specc.frontend.declarations import (
    EXAMPLES,
    MAX_NAME,
    check_blocks,
    check_name,
    check_parameter,
    entries_of,
    warn_of_unused_parameters,
)
from specc.frontend.declared_types import declared_type
from specc.frontend.layers import GraphBuilder
from specc.frontend.limits import check_parameters, too_many
from specc.frontend.scope import Scope
from specc.frontend.suspicious import warn_of_suspicious
from specc.frontend.training import KEYS as TRAINING_KEYS
from specc.frontend.training import TrainingBuilder
from specc.frontend.tree import Mapping, Scalar, Sequence, Tree
from specc.ir.graph import Graph, Program, Training, Value
from specc.ops.attributes import Attribute, AttributeProblem, Choice, Integer
from specc.tracing import phase

SECTIONS = {
    "specc": "the version of the language, 1",
    "name": "what the network is called",
    "conventions": "keras or pytorch: the defaults that a spec does not write",
    "layout": "channels_last or channels_first",
    "dtype": "float32 or float64",
    "seed": "where all random numbers come from",
    "allow": "names of warnings that are not given",
    "includes": "files with blocks and parameters",
    "parameters": "named numbers of the spec",
    "inputs": "what the network takes",
    "targets": "what it is trained towards",
    "blocks": "parts of a network, used by name",
    "shared": "layers declared once and called by name",
    "layers": "the network",
    "outputs": "what the network gives",
    "training": "loss, optimizer, metrics, epochs",
    "data": "where examples come from",
}
_SETTINGS = (
    Attribute("conventions", Choice(("keras", "pytorch")), "keras"),
    Attribute(
        "layout",
        Choice(("channels_last", "channels_first")),
        keras="channels_last",
        pytorch="channels_first",
    ),
    Attribute("dtype", Choice(("float32", "float64")), "float32"),
    Attribute("seed", Integer(0), 0),
)


def build_program(tree: Mapping, origin: str = "") -> tuple[Program, tuple[Diagnostic, ...]]:
    """The program of a spec and its warnings. Raises SpecError with every mistake found."""
    builder = ProgramBuilder(tree, origin)
    try:
        program = builder.build()
    except TooManyErrors:
        program = None
    if program is None or builder.reporter.failed:
        raise SpecError(builder.reporter.in_order(tree.span))
    return program, builder.reporter.in_order(tree.span)


class ProgramBuilder:
    def __init__(self, tree: Mapping, origin: str) -> None:
        self.tree, self.origin = tree, origin
        self.reporter = Reporter()
        self.environment: dict[str, Any] = {}
        # They are there from the start, for who looks at what was built of a broken spec.
        self.scope, self.target_scope = Scope(self.environment), Scope(self.environment)
        self.settings: dict[str, Any] = {}
        # The sections that stand there under another name.
        self.meant: set[str] = set()

    def build(self) -> Program | None:
        if self.tree.get("specc") is None:
            from specc.frontend.foreign import other_format

            other = other_format(self.tree)
            if other is not None:
                raise SpecError(other)
        self._sections()
        self.reporter.allowed = allowed_warnings(self.tree.get("allow"), self.reporter)
        self._parameters()
        self._read_settings()
        conventions = self.settings["conventions"]
        blocks = check_blocks(self.tree, self.reporter)
        self.graphs = GraphBuilder(self.reporter, conventions, self.settings["layout"], blocks)
        scope, target_scope = self.scope, self.target_scope
        inputs = self._declared("inputs", scope)
        scope.previous = self._first(scope)
        targets = self._declared("targets", target_scope)
        self._distinct(inputs, targets)
        entries_of(self.tree, "shared", self.reporter)
        self.graphs.declarations(self.tree.get("shared"), scope)
        self._has_layers(scope)
        with phase("layers"):
            self.graphs.layers(self.tree.get("layers"), scope)
        outputs = self._outputs(scope)
        builder = TrainingBuilder(self.graphs, self.environment, scope, target_scope, outputs)
        with phase("training"):
            training = builder.build(self.tree.get("training"))
        with phase("data"):
            self.data = self._data()
        self._unused(scope, target_scope)
        known = {name: value for name, value in outputs.items() if value is not None}
        if self.reporter.failed or len(known) < len(outputs):
            return None
        program = self._program(scope, inputs, targets, known, training)
        with phase("warnings"):
            warn_of_suspicious(program, self.tree, self.reporter)
        return program

    def _program(
        self,
        scope: Scope,
        inputs: list[Value],
        targets: list[Value],
        outputs: dict[str, Value],
        training: Training | None,
    ) -> Program:
        roots = list(outputs.values())
        for loss in training.losses if training else ():
            roots += [loss.prediction] + ([loss.mask] if loss.mask else [])
        unique = tuple({id(value): value for value in roots}.values())
        graph = Graph("main", tuple(inputs), unique, tuple(scope.nodes))
        check_parameters(graph, self.tree.span.first_line)
        text = "\n".join(sorted({span.source.text for span in self._sources()}))
        name = plain(self.tree.get("name"), {}) if self.tree.get("name") is not None else "network"  # type: ignore[arg-type]
        return Program(
            name=str(name),
            conventions=self.settings["conventions"],
            layout=self.settings["layout"],
            dtype=self.settings["dtype"],
            seed=self.settings["seed"],
            allow=self.reporter.allowed,
            inputs=tuple(inputs),
            targets=tuple(targets),
            outputs=outputs,
            graph=graph,
            head=Graph("head", unique, tuple(outputs.values()), ()),
            training=training,
            data=self.data,
            digest=hashlib.sha256(text.encode()).hexdigest(),
            origin=self.origin,
        )

    def _sources(self) -> list[Span]:
        """One span of every file that the tree was read from."""
        found = {id(self.tree.span.source): self.tree.span}
        for _, value in self.tree.entries:
            for _, inner in value.entries if isinstance(value, Mapping) else ():
                found.setdefault(id(inner.span.source), inner.span)
        return list(found.values())

    def _first(self, scope: Scope) -> tuple[Value | None, ...]:
        """What the first layer takes: the only input, which is None if it is wrong."""
        tree = self.tree.get("inputs")
        if tree is None and "inputs" in self.meant:
            scope.incomplete = True
            return (None,)
        if tree is None or (isinstance(tree, Mapping) and not tree.entries):
            help_ = f"e.g. {self._example('inputs', 'input image: float[28, 28, 1]')}"
            place = self.tree.span.first_line if tree is None else tree.span
            self.reporter.error("E0423", "the spec has no inputs", place, help_)
            return (None,)
        if not isinstance(tree, Mapping):
            return (None,)
        return tuple(scope.values.values()) if len(tree.entries) == 1 else ()

    # Sections

    def _sections(self) -> None:
        entries = [
            (key if key.value in SECTIONS else self._unknown_section(key), tree)
            for key, tree in self.tree.entries
        ]
        self.tree = Mapping(tuple(entries), self.tree.span)
        version = self.tree.get("specc")
        start = "spec 1 NAME" if self._in_language else "specc: 1"
        if version is None:
            message = f"this is not a spec: it does not start with '{start}'"
            self.reporter.error("E0425", message, self.tree.span.first_line, f"add {start}")
        elif not isinstance(version, Scalar) or version.value is True or version.value != 1:
            message = "this version of specc reads specs of version 1"
            self.reporter.error("E0425", message, version.span, f"write {start}")
        name = self.tree.get("name")
        if name is not None and not (
            isinstance(name, Scalar)
            and isinstance(name.value, str)
            and name.value.isidentifier()
            and name.value.isascii()
        ):
            self.reporter.error(
                "E0403",
                "the name of a network is letters, digits and underscores, starting with a letter",
                name.span,
                "e.g. name: digits_cnn",
            )
        elif name is not None and len(str(name.value)) > MAX_NAME:
            message = f"the name of a network has at most {MAX_NAME} characters"
            self.reporter.error("E0403", message, name.span, "files are called by it")

    def _unknown_section(self, key: Scalar) -> Scalar:
        """Reports a section that no spec has; as what it is read: a misspelt one as what it is."""
        from specc.frontend.foreign import translated

        name = str(key.value)
        part = name if name in TRAINING_KEYS else nearest(name, TRAINING_KEYS)
        help_ = translated(name, "section", SECTIONS)
        if not help_ and part is not None and nearest(name, SECTIONS) is None:
            help_ = f"'{part}' belongs into the section training"
        match = None if help_ else nearest(name, SECTIONS)
        help_ = help_ or did_you_mean(name, SECTIONS)
        # A section that is there under another name is not reported as missing as well.
        self.meant |= {each for each in SECTIONS if re.search(rf"\b{each}\b", help_)}
        self.reporter.error("E0424", f"a spec has no section '{name}'", key.span, help_)
        return Scalar(match, key.span) if match and self.tree.get(match) is None else key

    @property
    def _in_language(self) -> bool:
        return self.tree.span.source.name.endswith(".specc")

    def _example(self, section: str, statement: str) -> str:
        return statement if self._in_language else EXAMPLES[section]

    def _mapping(self, key: str) -> tuple[tuple[Scalar, Tree], ...]:
        return entries_of(self.tree, key, self.reporter)

    def _has_layers(self, scope: Scope) -> None:
        tree = self.tree.get("layers")
        if tree is None and "layers" in self.meant:
            scope.incomplete, scope.previous = True, (None,)
            return
        if tree is None or (isinstance(tree, Sequence) and not tree.items):
            help_ = f"e.g. {self._example('layers', 'y = x | dense(32)')}"
            place = self.tree.span.first_line if tree is None else tree.span
            self.reporter.error("E0422", "the spec has no layers", place, help_)
            scope.incomplete = True

    def _distinct(self, inputs: list[Value], targets: list[Value]) -> None:
        """Inputs and targets share the names of a data file, so no two are called the same."""
        given = {value.name: value for value in inputs}
        for target in targets:
            if target.name in given:
                notes = (Note(f"the input '{target.name}'", given[target.name].span),)
                message = f"the name '{target.name}' is that of an input already"
                help_ = "choose another name; both may be fed by the same array of the data"
                self.reporter.error("E0404", message, target.span, help_, notes)

    def _parameters(self) -> None:
        for key, tree in self._mapping("parameters"):
            try:
                check_parameter(key, self.reporter)
                if isinstance(tree, Scalar) and tree.value is None:
                    message = f"the parameter '{key.value}' has no value"
                    self.reporter.error("E0417", message, key.span, f"e.g. {key.value}: 64")
                    raise SpecError(())
                value = parameter_value(tree, self.environment)
                self.environment[str(key.value)] = value
                self.reporter.parameters[str(key.value)] = value, tree.span
            except SpecError as error:
                self.reporter.extend(error)
                self.environment[str(key.value)] = 1

    def _read_settings(self) -> None:
        conventions = "keras"
        for attribute in _SETTINGS:
            tree = self.tree.get(attribute.name)
            value = attribute.default_for(conventions)
            if tree is not None:
                try:
                    value = attribute.kind.parse(plain(tree, self.environment))
                except AttributeProblem as problem:
                    self.reporter.error(
                        "E0503",
                        f"'{attribute.name}': {problem.message}",
                        tree.span,
                        problem.suggestion,
                    )
                except SpecError as error:
                    self.reporter.extend(error)
            self.settings[attribute.name] = value
            if attribute.name == "conventions":
                conventions = value

    def _declared(self, section: str, scope: Scope) -> list[Value]:
        values = []
        tree = self.tree.get(section)
        scope.incomplete = isinstance(tree, Scalar | Sequence)
        if tree is None and section in self.meant:
            scope.incomplete = True
        entries = self._mapping(section)
        if too_many(entries, section, self.tree.span, self.reporter):
            scope.incomplete, entries = True, ()
        for key, tree in entries:
            try:
                check_name(str(key.value), key.span, self.reporter)
                what = "a target" if section == "targets" else "an input"
                kind = declared_type(tree, what, self.environment, self.reporter)
            except SpecError as error:
                self.reporter.extend(error)
                scope.values[str(key.value)] = None
                continue
            value = Value(str(key.value), kind, key.span)
            scope.values[value.name], scope.spans[value.name] = value, key.span
            values.append(value)
        return values

    # Outputs and training

    def _outputs(self, scope: Scope) -> dict[str, Value | None]:
        tree = self.tree.get("outputs")
        if tree is None:
            value = scope.previous[0] if scope.previous else None
            if value is None:
                return {}
            scope.used.add(value.name)
            return {value.name: value}
        found: dict[str, Value | None] = {}
        if isinstance(tree, Sequence) and not tree.items:
            message = "a network has at least one output"
            self.reporter.error("E0406", message, tree.span, "name one: outputs: [y]")
        for each in tree.items if isinstance(tree, Sequence) else (tree,):
            try:
                value = self.graphs.wiring.value(each, scope)
                assert isinstance(each, Scalar)
                if str(each.value) in found:
                    message = f"the output '{each.value}' is given twice"
                    self.reporter.error("E0404", message, each.span, "remove one")
                found[str(each.value)] = value
            except SpecError as error:
                self.reporter.extend(error)
                found[str(each.value) if isinstance(each, Scalar) else ""] = None
        return found

    def _data(self) -> Any:
        """The checked data section; its files are not opened."""
        tree = self.tree.get("data")
        if tree is None:
            return None

        from specc.data.section import placed
        from specc.data.spec import DataSpec

        if not isinstance(tree, Mapping):
            help_ = "e.g. data: {source: npz, path: digits.npz, inputs: {image: x}}"
            self.reporter.error("E0426", "data is a mapping", tree.span, help_)
            return None
        try:
            section = placed(plain(tree, self.environment), tree)
            assert isinstance(section, Mapping)
            return DataSpec.parse(section, self._known("inputs"), self._known("targets"))
        except SpecError as error:
            self.reporter.extend(error)
            return None

    def _known(self, section: str) -> list[str] | None:
        """The names that a section declares; None if it is no mapping, which is reported."""
        tree = self.tree.get(section)
        if tree is not None and not isinstance(tree, Mapping):
            return None
        return [name for name, _ in self._names(section)]

    def _unused(self, scope: Scope, targets: Scope) -> None:
        if self.reporter.failed:
            return
        warn_of_unused_parameters(self.tree, self.reporter)
        self.graphs.naming.check_unused(scope, {key for key, _ in self._names("inputs")})
        for name, value in targets.values.items():
            if name not in targets.used and value is not None:
                self.reporter.warning("W1001", f"the target '{name}' is never used", value.span)
        for key, _ in self._mapping("blocks"):
            own = key.span.source is self.tree.span.source  # an included file may be a library
            if own and key.value not in self.graphs.bodies.used:
                self.reporter.warning("W1001", f"the block '{key.value}' is never used", key.span)

    def _names(self, section: str) -> list[tuple[str, Tree]]:
        return [(str(key.value), tree) for key, tree in self._mapping(section)]

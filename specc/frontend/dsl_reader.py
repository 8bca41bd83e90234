"""The language form of a spec (.specc): text to the located tree that the YAML form has too."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from specc.diagnostics import Diagnostic, Note, Source, Span, SpecError
from specc.frontend.dsl_comments import attach_comments
from specc.frontend.dsl_layers import Body, formal, read_block, statements_of
from specc.frontend.dsl_values import Values
from specc.frontend.expression_reader import read_number, read_text, subtree
from specc.frontend.parser import parse_file
from specc.frontend.signatures import Signature, Signatures, registered
from specc.frontend.sources import MAX_ERRORS, check_characters
from specc.frontend.tree import SECTIONS, Mapping, Scalar, Sequence, Tree

if TYPE_CHECKING:
    from lark import Token
    from lark import Tree as ParseTree

Include = Callable[[Scalar], Mapping]
"""Reads an included file, given its name as it stands in the spec; it may raise SpecError."""


def read_dsl(
    source: Source, signatures: Signatures = registered, include: Include | None = None
) -> Mapping:
    """The located tree of a text in the language.

    ``signatures`` names positional arguments; ``include`` is asked for the blocks of included
    files, whose names would otherwise be taken for ops. Raises SpecError with all that is wrong:
    E0201 to E0204 where the text does not parse, E0205 to E0211 for statements that mean nothing,
    E0301 and E0305 for broken expressions.
    """
    tree, diagnostics = recover_dsl(source, signatures, include)
    if tree is None or diagnostics:
        raise SpecError(diagnostics[:MAX_ERRORS])
    return tree


def recover_dsl(
    source: Source, signatures: Signatures = registered, include: Include | None = None
) -> tuple[Mapping | None, list[Diagnostic]]:
    """What can be read of a text, and what is wrong with the rest, from top to bottom.

    There is no tree after too many mistakes. Raises SpecError for a text that has no statements to
    go by: with characters that no spec can have, or brackets that never close.
    """
    source = check_characters(source)
    parsed = parse_file(source)
    values = Values(source, signatures, diagnostics=list(parsed.diagnostics))
    if parsed.tree is None:
        return None, values.diagnostics
    tree = _SpecReader(values, include).read(statements_of(parsed.tree))
    by_place = sorted(values.diagnostics, key=lambda d: d.span.start if d.span else 0)
    return attach_comments(tree, parsed.comments), by_place


class _SpecReader:
    """Sorts the statements of a file into the sections of a spec."""

    def __init__(self, values: Values, include: Include | None) -> None:
        self.values = values
        self.include = include
        self.body = Body(values)
        # Sections given by one statement, and those gathered from several.
        self.single: dict[str, tuple[Scalar, Tree]] = {}
        self.gathered: dict[str, list[tuple[Scalar, Tree]]] = {}
        self.includes: list[Tree] = []
        self.allowed: list[Tree] = []

    def read(self, statements: list[ParseTree[Token]]) -> Mapping:
        for statement in statements:
            self._declare(statement)
        rest = []
        for statement in statements:
            handler = self._handlers().get(statement.data)
            if handler is None:
                rest.append(statement)
                continue
            try:
                handler(statement)
            except SpecError as error:
                self.values.diagnostics.extend(error.diagnostics)
        self.body.read_all(rest)
        return self._assemble()

    def _handlers(self) -> dict[str, Callable[[ParseTree[Token]], None]]:
        return {
            "header": self._header,
            "setting": self._setting,
            "allow": self._allow,
            "include": self._included,
            "parameter": lambda s: self._gather("parameters", s, formal(s, self.values)),
            "input": lambda s: self._gather("inputs", s, self._declared_value(s)),
            "target": lambda s: self._gather("targets", s, self._declared_value(s)),
            "block": lambda s: self._gather("blocks", s, read_block(s, self.values)),
            "training": self._training,
            "data": self._data,
        }

    def _declare(self, statement: ParseTree[Token]) -> None:
        """Notes the names that change how other statements read."""
        name = str(statement.children[0]) if statement.children else ""
        if statement.data == "parameter":
            self.values.parameters.add(name)
        elif statement.data == "block":
            formals = subtree(statement, 1).children if statement.children[1] is not None else ()
            names = tuple(str(f.children[0]) for f in formals if not isinstance(f, str))
            self.values.blocks[name] = names
        elif statement.data == "include" and self.include is not None:
            try:
                self._declare_included(self.include(self._text(statement)))
            except SpecError as error:
                self.values.diagnostics.extend(error.diagnostics)

    def _declare_included(self, tree: Mapping) -> None:
        parameters, blocks = tree.get("parameters"), tree.get("blocks")
        if isinstance(parameters, Mapping):
            self.values.parameters.update(parameters.keys())
        for key, block in blocks.entries if isinstance(blocks, Mapping) else ():
            formals = block.get("parameters") if isinstance(block, Mapping) else None
            names = tuple(formals.keys()) if isinstance(formals, Mapping) else ()
            self.values.blocks[str(key.value)] = names

    def _text(self, statement: ParseTree[Token]) -> Scalar:
        leaf = self.values.leaf(statement.children[0])
        return Scalar(read_text(str(leaf.value), leaf.span), leaf.span)

    def _keyword(self, name: str, statement: ParseTree[Token]) -> Scalar:
        """The key of a section, standing at the word that starts the statement."""
        start = statement.meta.start_pos
        end = start
        while end < len(self.values.source.text) and self.values.source.text[end].isalpha():
            end += 1
        return Scalar(name, Span(self.values.source, start, end))

    def _once(self, key: Scalar, tree: Tree) -> None:
        name = str(key.value)
        if name in self.single:
            first = Note("it is given here first", self.single[name][0].span)
            self.values.report("E0208", f"'{name}' is given twice", key.span, "remove one", first)
            return
        self.single[name] = (key, tree)

    def _gather(
        self, section: str, statement: ParseTree[Token], entry: tuple[Scalar, Tree]
    ) -> None:
        self.gathered.setdefault(section, []).append(entry)

    def _header(self, statement: ParseTree[Token]) -> None:
        version, name = map(self.values.leaf, statement.children)
        number = read_number(str(version.value), version.span)
        self._once(self._keyword("specc", statement), Scalar(number, version.span))
        self._once(Scalar("name", name.span), name)

    def _setting(self, statement: ParseTree[Token]) -> None:
        key, leaf = map(self.values.leaf, statement.children)
        text = str(leaf.value)
        value: str | int | float = text
        if text.startswith('"'):
            value = read_text(text, leaf.span)
        elif text[0] in ".0123456789":
            value = read_number(text, leaf.span)
        self._once(key, Scalar(value, leaf.span))

    def _allow(self, statement: ParseTree[Token]) -> None:
        self.allowed += map(self.values.leaf, statement.children)

    def _included(self, statement: ParseTree[Token]) -> None:
        self.includes.append(self._text(statement))

    def _declared_value(self, statement: ParseTree[Token]) -> tuple[Scalar, Tree]:
        """``image: float[8, 8, 1]`` as name and ``{shape, dtype}``; float, the default, is left
        out."""
        name = self.values.leaf(statement.children[0])
        node = subtree(statement, 1)
        dtype = self.values.leaf(node.children[0])
        span = self.values.span(node)
        dims = [subtree(node, i) for i, c in enumerate(node.children) if i and c is not None]
        shape = Sequence(tuple(self.values.value(dim, words=True) for dim in dims), span)
        entries: list[tuple[Scalar, Tree]] = [(Scalar("shape", span), shape)]
        if dtype.value != "float":
            entries.append((Scalar("dtype", dtype.span), dtype))
        return name, Mapping(tuple(entries), span)

    def _training(self, statement: ParseTree[Token]) -> None:
        key = self._keyword("training", statement)
        entries = self._settings(statement, list(statements_of(statement)))
        self._once(key, Mapping(entries, self.values.span(statement)))

    def _data(self, statement: ParseTree[Token]) -> None:
        key = self._keyword("data", statement)
        source = self.values.leaf(statement.children[0])
        first: list[tuple[Scalar, Tree]] = [(Scalar("source", source.span), source)]
        entries = self._settings(statement, list(statements_of(statement)), first)
        self._once(key, Mapping(entries, self.values.span(statement)))

    def _settings(
        self,
        statement: ParseTree[Token],
        nodes: list[ParseTree[Token]],
        first: list[tuple[Scalar, Tree]] | None = None,
    ) -> tuple[tuple[Scalar, Tree], ...]:
        """The entries of a training or data body; several losses become a list."""
        entries: list[tuple[Scalar, Tree]] = list(first or [])
        losses: list[Tree] = []
        for node in nodes:
            key = self.values.leaf(node.children[0])
            value = self._setting_value(str(key.value), node)
            if key.value == "loss" and statement.data == "training":
                losses.append(value)
                if len(losses) > 1:
                    continue
            entries.append((key, value))
        if len(losses) > 1:
            span = Span(self.values.source, losses[0].span.start, losses[-1].span.end)
            entries = [
                (k, Sequence(tuple(losses), span) if k.value == "loss" else v) for k, v in entries
            ]
        return self.values.unique(entries)

    def _setting_value(self, name: str, node: ParseTree[Token]) -> Tree:
        arguments = [subtree(subtree(node, 1), i) for i in range(len(subtree(node, 1).children))]

        def family(kind: str) -> Signature | None:
            return self.values.signatures(name, kind)

        def read(argument: ParseTree[Token]) -> Tree:
            return self.values.value(subtree(argument, 1), family, words=True)

        span = self.values.span(subtree(node, 1))
        named = [a for a in arguments if a.children[0] is not None]
        if len(named) == len(arguments):
            keys = [self.values.leaf(a.children[0]) for a in arguments]
            pairs = list(zip(keys, map(read, arguments), strict=True))
            return Mapping(self.values.unique(pairs), span)
        if named:
            message = f"'{name}' is given values with a name and without"
            self.values.report("E0207", message, self.values.span(named[0]))
        items = tuple(map(read, arguments))
        return items[0] if len(items) == 1 and name != "metrics" else Sequence(items, span)

    def _assemble(self) -> Mapping:
        source = self.values.source
        whole = Span(source, 0, len(source.text.rstrip()))
        sections = dict(self.single)
        for name, items in (("includes", self.includes), ("allow", self.allowed)):
            if items:
                place = Span(source, items[0].span.start, items[-1].span.end)
                sections[name] = (Scalar(name, place), Sequence(tuple(items), place))
        for name, entries in self.gathered.items():
            place = Span(source, entries[0][0].span.start, entries[-1][1].span.end)
            mapping = Mapping(self.values.unique(entries), place)
            sections[name] = (Scalar(name, entries[0][0].span), mapping)
        for key, tree in self.body.sections(whole):
            sections[str(key.value)] = (key, tree)
        return Mapping(tuple(sections[name] for name in SECTIONS if name in sections), whole)

"""Values and arguments of the language as located trees."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from specc.diagnostics import Diagnostic, Note, Source, Span, SpecError
from specc.frontend.expression_reader import (
    arguments_of,
    read_expression,
    read_text,
    span_of,
    subtree,
)
from specc.frontend.expressions import FUNCTIONS
from specc.frontend.layout import span_of as token_span
from specc.frontend.signatures import Family, Signature, Signatures
from specc.frontend.tree import Mapping, Scalar, Sequence, Tree, from_expression
from specc.records import dataclass

if TYPE_CHECKING:
    from lark import Token
    from lark import Tree as ParseTree


def _unknown(kind: str) -> Signature | None:
    return None


@dataclass
class Values:
    """What reading a value needs to know, and the errors found so far.

    A bare word is a parameter in a layer's attributes; in training and data, where words name
    values and columns, it is a parameter only if ``parameters`` has it.
    """

    source: Source
    signatures: Signatures
    parameters: set[str] = field(default_factory=set)
    blocks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def locate(self, start: int, end: int) -> Span:
        return Span(self.source, start, end)

    def span(self, node: ParseTree[Token]) -> Span:
        return span_of(node, self.locate)

    def leaf(self, token: ParseTree[Token] | Token | None) -> Scalar:
        """A name or keyword, which the grammar says stands here, as a located text."""
        assert isinstance(token, str)
        return Scalar(str(token), token_span(self.source, token))

    def report(
        self, code: str, message: str, span: Span, help_text: str = "", *notes: Note
    ) -> None:
        self.diagnostics.append(Diagnostic(code, message, span, notes, help_text))

    def value(self, node: ParseTree[Token], family: Family = _unknown, words: bool = False) -> Tree:
        """An attribute's value. ``family`` knows the calls that may stand here, ``words`` says that
        bare words are texts unless they name a parameter. An error is reported, and null stands for
        the value."""
        try:
            return self._value(node, family, words)
        except SpecError as error:
            self.diagnostics.extend(error.diagnostics)
            return Scalar(None, self.span(node))

    def _value(self, node: ParseTree[Token], family: Family, words: bool) -> Tree:
        span = self.span(node)
        match node.data:
            case "name":
                name = str(node.children[0])
                is_word = words or family(name) is not None
                if is_word and name not in self.parameters:
                    return Scalar(name, span)
            case "list":
                items = [subtree(node, i) for i, c in enumerate(node.children) if c is not None]
                return Sequence(tuple(self.value(item, family, words) for item in items), span)
            case "mapping":
                return self._mapping(node, words)
            case "apply" if self._is_call(node, family):
                kind = self.leaf(node.children[0])
                signature = family(str(kind.value))
                return Mapping(((kind, self.arguments(node, signature, words)),), span)
        return from_expression(read_expression(node, self.locate))

    def _is_call(self, node: ParseTree[Token], family: Family) -> bool:
        """Whether ``f(x)`` is a choice such as ``l2(1e-4)`` and not a function of expressions."""
        name = str(node.children[0])
        named = any(keyword is not None for keyword, _ in arguments_of(node))
        return family(name) is not None or name not in FUNCTIONS or named

    def _mapping(self, node: ParseTree[Token], words: bool) -> Mapping:
        entries: list[tuple[Scalar, Tree]] = []
        for index, child in enumerate(node.children):
            if child is None:
                continue
            pair = subtree(node, index)
            key = self.leaf(pair.children[0])
            if str(key.value).startswith('"'):
                key = Scalar(read_text(str(key.value), key.span), key.span)
            entries.append((key, self.value(subtree(pair, 1), words=words)))
        return Mapping(self.unique(entries), self.span(node))

    def unique(self, entries: list[tuple[Scalar, Tree]]) -> tuple[tuple[Scalar, Tree], ...]:
        """The entries; a key that is given twice is reported and its first value kept."""
        seen: dict[str, Scalar] = {}
        kept = []
        for key, value in entries:
            name = str(key.value)
            if name in seen:
                first = Note("it is given here first", seen[name].span)
                self.report("E0205", f"'{name}' is given twice", key.span, "", first)
                continue
            seen[name] = key
            kept.append((key, value))
        return tuple(kept)

    def arguments(
        self,
        call: ParseTree[Token],
        signature: Signature | None,
        words: bool = False,
        names: tuple[str, ...] | None = None,
    ) -> Mapping:
        """The arguments of ``kind(...)`` by name.

        ``names`` are those of positional arguments, by default the signature's. Where neither is
        known the kind is wrong, which a later step reports: positions stand in for names.
        """
        kind = self.leaf(call.children[0])
        if names is None and signature is not None:
            names = signature.names
        entries: list[tuple[Scalar, Tree]] = []
        last_keyword: Token | None = None
        for position, (keyword, node) in enumerate(arguments_of(call)):
            if keyword is not None:
                key = self.leaf(keyword)
                last_keyword = keyword
            elif last_keyword is not None:
                message = f"a value without a name cannot follow '{last_keyword}='"
                self.report("E0207", message, self.span(node), "give it its name too")
                continue
            elif names is None:
                key = Scalar(str(position + 1), self.span(node))
            elif position < len(names):
                key = Scalar(names[position], self.span(node))
            else:
                self._too_many(str(kind.value), names, self.span(node))
                continue
            entries.append((key, self._argument(str(key.value), node, signature, words)))
        return Mapping(self.unique(entries), self.span(call))

    def _argument(
        self, name: str, node: ParseTree[Token], signature: Signature | None, words: bool
    ) -> Tree:
        if signature is None:
            return self.value(node, words=words)
        if name in signature.wires and node.data == "name":
            return Scalar(str(node.children[0]), self.span(node))
        return self.value(node, signature.families.get(name, _unknown), words)

    def _too_many(self, kind: str, names: tuple[str, ...], span: Span) -> None:
        count = f"{len(names)} value{'' if len(names) == 1 else 's'}" if names else "no values"
        listed = f": {', '.join(names)}" if names else ""
        self.report("E0206", f"'{kind}' takes {count}{listed}", span, "remove this one")

"""The YAML form of a spec: text to located tree.

PyYAML gives the events (which know their places); this module gives them their meaning by the core
schema of YAML 1.2, where PyYAML follows 1.1: ``1e-3`` is a number, ``no`` is a word and ``017`` is
17. What a spec has no use for (tags, merge keys, several documents) is refused, and so are
duplicate keys, which PyYAML drops silently.
"""

from __future__ import annotations

import math
import re
from dataclasses import field
from typing import Any

from specc.diagnostics import Diagnostic, Note, Source, Span, SpecError
from specc.frontend.expressions import MAX_MAGNITUDE, parse_expression
from specc.frontend.sources import MAX_ERRORS, check_characters
from specc.frontend.tree import (
    Comments,
    Mapping,
    Scalar,
    Sequence,
    Tree,
    from_expression,
    with_comments,
)
from specc.frontend.yaml_comments import END, comments_by_position, end_of, start_of
from specc.records import dataclass

MAX_DEPTH = 64
"""Mappings and lists nested deeper than this are refused."""

MAX_NODES = 20_000
"""A spec with more nodes, those repeated by aliases counted each time, is refused."""

MAX_TEXT = 4000
"""Keys and values of more characters are refused: no name, path or word is as long."""

MAX_COMPUTED = 20_000
"""Expressions of more characters together, names and plain arithmetic left out, are refused."""

_DECIMAL = frozenset("0123456789+-.eE")
_DIGITS = {"0o": (8, frozenset("01234567")), "0x": (16, frozenset("0123456789abcdefABCDEF"))}
_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **{
        sign + word: float(sign + "inf")
        for sign in ("", "+", "-")
        for word in (".inf", ".Inf", ".INF")
    },
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_PARAMETER = re.compile(r"\$[A-Za-z_][A-Za-z_0-9]*")
_LOOKS_LIKE_EXPRESSION = re.compile(r"\$[A-Za-z_{]")


def read_yaml(source: Source) -> Mapping:
    """The located tree of a YAML text.

    Raises SpecError with all that is wrong: E0101 (and E0102 for an unquoted ``${...}``) where the
    text is no YAML, which ends the reading; E0103 to E0108 for YAML that no spec may use, E0301 for
    a broken expression.
    """
    root, diagnostics = recover_yaml(source)
    if diagnostics or root is None:
        raise SpecError(diagnostics)
    return root


def recover_yaml(source: Source) -> tuple[Mapping | None, list[Diagnostic]]:
    """What can be read of a YAML text, and what is wrong with the rest.

    There is no tree where the text is not one mapping. Raises SpecError where reading ends at a
    mistake, as it does at text that is no YAML.
    """
    source = check_characters(source)
    events = _events(source)
    reader = _Reader(source, events, comments_by_position(source, events))
    root = reader.document()
    if isinstance(root, Mapping):
        return root, reader.diagnostics
    if not reader.diagnostics:
        message = "the spec is empty" if root is None else "a spec is a mapping of names to values"
        span = root.span if root is not None else Span(source, 0, 0)
        help_text = "start with 'specc: 1' and 'name: ...'"
        reader.diagnostics.append(Diagnostic("E0103", message, span, help=help_text))
    return None, reader.diagnostics


def resolve(text: str) -> str | int | float | bool | None:
    """The value of a plain scalar under the core schema of YAML 1.2. Raises OverflowError for a
    number that neither an integer up to 2 ** 64 nor a float64 holds."""
    if text in _WORDS:
        return _WORDS[text]
    base, digits = _DIGITS.get(text[:2], (10, _DECIMAL))
    number = text if base == 10 else text[2:]
    if text[0] not in "-+.0123456789" or not number or not digits.issuperset(number):
        return text
    value = _number(number, base)
    if value is None:
        return text
    if math.isinf(value) or (isinstance(value, int) and abs(value) > MAX_MAGNITUDE):
        raise OverflowError(text)
    return value


def _number(text: str, base: int) -> int | float | None:
    """The number of a text of digits, signs, points and exponents; None where they make none."""
    try:
        if base != 10 or text.lstrip("+-").isdigit():
            return int(text, base) if len(text) <= 100 else math.inf
        return float(text)
    except ValueError:
        return None


def _events(source: Source) -> list[Any]:
    import yaml

    from specc.frontend.yaml_errors import explain

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    events: list[Any] = []
    depth = documents = 0
    try:
        for event in yaml.parse(source.text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                at = start_of(event)
                message = f"mappings and lists are nested more than {MAX_DEPTH} deep"
                raise SpecError(Diagnostic("E0107", message, Span(source, at, at + 1)))
            events.append(event)
            documents += isinstance(event, yaml.DocumentStartEvent)
            if documents == 2 or len(events) > 4 * MAX_NODES:
                break  # that is an error, whatever follows
    except yaml.MarkedYAMLError as error:
        raise SpecError(explain(source, error)) from None
    except yaml.YAMLError as error:
        message = f"this is not valid YAML: {error}"
        raise SpecError(Diagnostic("E0101", message, Span(source, 0, 1))) from None
    return events


@dataclass(frozen=True)
class _Anchored:
    """A node with an anchor, and how much its aliases bring in."""

    tree: Tree
    nodes: int
    height: int


@dataclass
class _Reader:
    source: Source
    events: list[Any]
    comments: dict[int, Comments]
    diagnostics: list[Diagnostic] = field(default_factory=list)
    anchors: dict[str, _Anchored] = field(default_factory=dict)
    index: int = 0
    nodes: int = 0
    computed: int = 0
    depth: int = 0
    # The height of the node read last, for aliases: how deep it nests.
    height: int = 0

    def document(self) -> Tree | None:
        from yaml import DocumentStartEvent, StreamEndEvent

        self.index = 1
        if isinstance(self.events[1], StreamEndEvent):
            return None
        self.index = 2
        root = self._node()
        following = self.events[self.index + 1]
        if isinstance(following, DocumentStartEvent):
            message = "a second document starts here; a file holds one spec"
            self._report("E0103", message, self._span(following), "remove the line '---'")
        return with_comments(root, self.comments[END]) if END in self.comments else root

    def _span(self, event: Any) -> Span:
        return Span(self.source, start_of(event), end_of(event))

    def _report(
        self, code: str, message: str, span: Span, help_text: str = "", *notes: Note
    ) -> None:
        self.diagnostics.append(Diagnostic(code, message, span, notes, help_text))
        if len(self.diagnostics) >= MAX_ERRORS:
            raise SpecError(self.diagnostics)

    def _node(self, is_item: bool = False) -> Tree:
        from yaml import AliasEvent, MappingStartEvent, ScalarEvent

        event = self.events[self.index]
        self.index += 1
        if isinstance(event, AliasEvent):
            return self._alias(event)
        self._count(1, self._span(event))
        if event.tag is not None and event.tag != "!":
            self._refuse_tag(self._span(event))
        nodes_before = self.nodes
        if isinstance(event, ScalarEvent):
            tree: Tree = self._scalar(event)
            self.height = 0
        else:
            # A mapping in a list starts where its first key starts: a comment there is the item's.
            comments = self._comments(event) if is_item else Comments()
            self.depth += 1
            is_mapping = isinstance(event, MappingStartEvent)
            tree = self._mapping(event) if is_mapping else self._sequence(event)
            tree = with_comments(tree, comments)
            self.depth -= 1
            self.height += 1
        if event.anchor is not None:
            nodes = self.nodes - nodes_before + 1
            self.anchors[event.anchor] = _Anchored(tree, nodes, self.height)
        return tree

    def _refuse_tag(self, node: Span) -> None:
        tag = node.source.text[node.start :].split(maxsplit=1)[0]
        span = Span(self.source, node.start, node.start + len(tag))
        self._report("E0105", f"the tag '{tag}' has no meaning in a spec", span, "remove it")

    def _count(self, nodes: int, span: Span) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            message = f"the spec has more than {MAX_NODES:,} nodes, those of aliases included"
            raise SpecError([*self.diagnostics, Diagnostic("E0107", message, span)])

    def _measured(self, text: str, span: Span) -> None:
        """Counts a long text as several nodes, since aliases repeat it; one without measure is
        refused."""
        self._count(len(text) // 100, span)
        if len(text) > MAX_TEXT:
            message = f"this text has more than {MAX_TEXT:,} characters"
            raise SpecError([*self.diagnostics, Diagnostic("E0107", message, span)])

    def _count_expression(self, text: str, span: Span) -> None:
        from specc.frontend.arithmetic import is_plain

        self.computed += 0 if is_plain(text[2:-1]) else len(text)
        if self.computed > MAX_COMPUTED:
            message = f"the expressions have more than {MAX_COMPUTED:,} characters together"
            raise SpecError([*self.diagnostics, Diagnostic("E0107", message, span)])

    def _alias(self, event: Any) -> Tree:
        span = self._span(event)
        anchored = self.anchors.get(event.anchor)
        if anchored is None:
            self.height = 0
            self._report("E0106", f"there is no anchor '&{event.anchor}' before this alias", span)
            return Scalar(None, span)
        self._count(anchored.nodes, span)
        self.height = anchored.height
        if self.depth + anchored.height > MAX_DEPTH:
            message = f"this alias nests mappings and lists more than {MAX_DEPTH} deep"
            raise SpecError([*self.diagnostics, Diagnostic("E0107", message, span)])
        return anchored.tree

    def _sequence(self, event: Any) -> Sequence:
        from yaml import SequenceEndEvent

        items: list[Tree] = []
        height = 0
        while not isinstance(self.events[self.index], SequenceEndEvent):
            items.append(self._node(is_item=True))
            height = max(height, self.height)
        self.height = height
        return Sequence(tuple(items), self._close(event))

    def _mapping(self, event: Any) -> Mapping:
        from yaml import MappingEndEvent

        entries: list[tuple[Scalar, Tree]] = []
        seen: dict[str, Scalar] = {}
        height = 0
        while not isinstance(self.events[self.index], MappingEndEvent):
            key = self._key()
            value = self._node()
            height = max(height, self.height)
            if key is None:
                continue
            name = str(key.value)
            if name in seen:
                first = Note("it is given here first", seen[name].span)
                self._report("E0104", f"the key '{name}' is given twice", key.span, "", first)
                continue
            seen[name] = key
            entries.append((key, value))
        self.height = height
        return Mapping(tuple(entries), self._close(event))

    def _close(self, start: Any) -> Span:
        """Passes over the end event; the span of a block ends with its last line that says
        something."""
        end = self.events[self.index]
        self.index += 1
        begin, stop = start_of(start), end_of(end)
        text = self.source.text[begin:stop]
        return Span(
            self.source, begin, begin + len(text.rstrip()) if start.flow_style is False else stop
        )

    def _comments(self, event: Any) -> Comments:
        return self.comments.pop(start_of(event), Comments())

    def _key(self) -> Scalar | None:
        """The key as it is written: every key is a name, so ``no`` and ``1`` are too. None for what
        is no key."""
        from yaml import ScalarEvent

        event = self.events[self.index]
        if not isinstance(event, ScalarEvent):
            self._report("E0103", "a key has to be a name", self._span(event))
            self._node()
            return None
        span = self._span(event)
        self._measured(event.value, span)
        if event.value == "<<" and not event.style:
            message = "merge keys ('<<') are not a part of YAML 1.2"
            self._report(
                "E0106", message, span, "write the entries out, or use a block with parameters"
            )
        elif event.value == "" and not event.style:
            self._report("E0103", "the name before ':' is missing", span)
        comments = self._comments(event)
        self.index += 1
        if event.anchor is not None or event.tag is not None:
            self._report("E0106", "a key has no anchor and no tag", span, "remove it")
        return Scalar(event.value, span, comments)

    def _scalar(self, event: Any) -> Tree:
        comments = self._comments(event)
        span = self._span(event)
        text = event.value
        self._measured(text, span)
        if not event.style and "$" not in text:
            try:
                return Scalar(resolve(text), span, comments)
            except OverflowError:
                self._report("E0305", "the number is too large", span)
                return Scalar(None, span, comments)
        if "$" not in text:
            return Scalar(text, span, comments)
        if text.startswith("${"):
            self._count_expression(text, span)
        try:
            return with_comments(read_dollars(text, span), comments)
        except SpecError as error:
            self.diagnostics.extend(error.diagnostics)
            if len(self.diagnostics) >= MAX_ERRORS:
                raise SpecError(self.diagnostics) from None
            return Scalar(None, span, comments)


def read_dollars(text: str, span: Span) -> Tree:
    """A text with a dollar sign: ``$name``, ``${expression}``, or a text in which ``$$`` stands for
    ``$``.

    Raises SpecError: E0301 for a broken expression, E0306 for one that is only a part of the text.
    """
    if _PARAMETER.fullmatch(text):
        return from_expression(parse_expression(text[1:], span))
    if text.startswith("${") and text.endswith("}") and "${" not in text[2:]:
        return from_expression(parse_expression(text[2:-1], span))
    literal = text.replace("$$", "")
    if _LOOKS_LIKE_EXPRESSION.search(literal):
        message = "an expression has to be the whole value"
        help_text = "write '${...}' around all of it, or '$$' for a dollar sign"
        raise SpecError(Diagnostic("E0306", message, span, help=help_text))
    return Scalar(text.replace("$$", "$"), span)

"""From the text of the language to Lark's parse tree, with every syntax error of a file as a
diagnostic.

Lark's LALR automaton is fed token by token, so an error can be described in words, and parsing goes
on at the next statement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from specc.diagnostics import Diagnostic, Source, Span, SpecError
from specc.frontend.grammar import grammar
from specc.frontend.layout import SYMBOLS, Comment, lay_out, lex, span_of, start_of
from specc.frontend.sources import MAX_ERRORS
from specc.records import dataclass

if TYPE_CHECKING:
    from lark import Token, Tree
    from lark.parsers.lalr_interactive_parser import InteractiveParser

Locate = Callable[[int, int], Span]
"""From offsets in the parsed text to the place in the user's file."""


@dataclass(frozen=True)
class Parsed:
    """The parse tree of a file (None after too many errors), its comments and its errors."""

    tree: Tree[Token] | None
    comments: list[Comment]
    diagnostics: list[Diagnostic]


def parse_file(source: Source) -> Parsed:
    """Parses a whole ``.specc`` text. Errors are collected; the tree holds the statements without
    one."""
    tokens, diagnostics = lex(source)
    tokens, comments = lay_out(source, tokens, diagnostics)
    bad_lines = {source.position(d.span.start)[0] for d in diagnostics if d.span}
    automaton = grammar().parse_interactive("", start="start")
    index = 0
    while index < len(tokens) and len(diagnostics) < MAX_ERRORS:
        token = _soften_keyword(automaton, tokens, index)
        if _fits(automaton, token.type):
            automaton.feed_token(token)
            index += 1
        else:
            if source.position(start_of(token))[0] not in bad_lines:
                problem, help_text = _describe(automaton, tokens, index)
                span = _error_span(source, token)
                diagnostics.append(Diagnostic("E0201", problem, span, help=help_text))
            index = _resynchronise(automaton, tokens, index)
    tree = _finish(automaton) if index >= len(tokens) else None
    return Parsed(tree, comments, diagnostics)


def parse_expression_tree(text: str, locate: Locate) -> Tree[Token]:
    """The parse tree of one expression. Raises SpecError with E0301, its place found by
    ``locate``.
    """
    source = Source("", text)
    tokens, diagnostics = lex(source)
    for problem in diagnostics:
        if problem.span is not None:
            span = locate(problem.span.start, problem.span.end)
            raise SpecError(Diagnostic("E0301", problem.message, span, help=problem.help))
    comment = next((t for t in tokens if t.type == "NEWLINE" and "#" in t), None)
    if comment is not None:
        at = start_of(comment)
        raise SpecError(
            Diagnostic("E0301", "'#' has no meaning in an expression", locate(at, at + 1))
        )
    tokens = [token for token in tokens if token.type != "NEWLINE"]
    automaton = grammar().parse_interactive("", start="expr")
    for index in range(len(tokens)):
        token = _soften_keyword(automaton, tokens, index)
        if not _fits(automaton, token.type):
            message, help_text = _describe(automaton, tokens, index)
            span = locate(start_of(token), token.end_pos or 0)
            raise SpecError(Diagnostic("E0301", message, span, help=help_text))
        automaton.feed_token(token)
    if not _fits(automaton, "$END"):
        after = f" after '{tokens[-1]}'" if tokens else ""
        message = f"expected {_expected(automaton)}{after}, found the end of the expression"
        start = start_of(tokens[-1]) if tokens else 0
        raise SpecError(Diagnostic("E0301", message, locate(start, len(text))))
    return _finish(automaton)


def _fits(automaton: InteractiveParser, kind: str) -> bool:
    """Whether a token of that kind can come next.

    The automaton may reduce rules before it sees that a token does not fit, so its steps are played
    through beside its stack: ``kept`` states of it are still there, with ``new`` ones on top.
    """
    from lark.parsers.lalr_analysis import Shift

    parser_state = automaton.parser_state
    states, stack = parser_state.parse_conf.states, parser_state.state_stack
    kept = len(stack)
    new: list[object] = []
    while True:
        top = new[-1] if new else stack[kept - 1]
        if kind == "$END" and top == parser_state.parse_conf.end_state:
            return True
        action, target = states[top].get(kind, (None, None))
        if action is None or action is Shift:
            return action is Shift
        size = len(target.expansion)
        kept -= max(size - len(new), 0)
        del new[max(len(new) - size, 0) :]
        top = new[-1] if new else stack[kept - 1]
        new.append(states[top][target.origin.name][1])


def _finish(automaton: InteractiveParser) -> Tree[Token]:
    # Lark leaves this method untyped.
    tree: Tree[Token] = automaton.feed_eof()  # type: ignore[no-untyped-call]
    return tree


# Where a word that opens statements is followed by one of these tokens, it is a value's name.
_NAME_FOLLOWERS = frozenset({"COMMA", "VBAR"})


def _actions(automaton: InteractiveParser, state: object) -> dict[str, tuple[object, object]]:
    actions: dict[str, tuple[object, object]] = automaton.parser_state.parse_conf.states[state]
    return actions


def _soften_keyword(automaton: InteractiveParser, tokens: Sequence[Token], index: int) -> Token:
    """The token, or its word as an ordinary name where the keyword cannot stand."""
    token = tokens[index]
    if token.type == "NAME" or not (token.isidentifier() and token.isascii()):
        return token
    actions = _actions(automaton, automaton.parser_state.position)
    following = tokens[index + 1].type if index + 1 < len(tokens) else ""
    names_a_value = following == "EQUAL" or ("OUTPUT" in actions and following in _NAME_FOLLOWERS)
    if token.type in actions and not names_a_value:
        return token
    return token.update(type="NAME")


def _at_statement_start(automaton: InteractiveParser, state: object) -> bool:
    """Whether a statement or an entry of a settings body may begin in that state of the
    automaton.
    """
    from lark.parsers.lalr_analysis import Shift

    actions = _actions(automaton, state)
    starts = "NAME" in actions and actions["NAME"][0] is Shift
    return starts and ("RBRACE" in actions or "$END" in actions) and "STRING" not in actions


def _resynchronise(automaton: InteractiveParser, tokens: Sequence[Token], index: int) -> int:
    """Forgets the broken statement; gives the position of the token after its end."""
    state = automaton.parser_state
    closed = 0  # bodies that end within the broken statement: their insides are no place to go on
    while len(state.state_stack) > 1:
        if closed == 0 and _at_statement_start(automaton, state.position):
            break
        state.state_stack.pop()
        forgotten = getattr(state.value_stack.pop(), "type", "")
        closed += {"RBRACE": 1, "LBRACE": -1}.get(forgotten, 0)
    depth = 0
    for position in range(index, len(tokens)):
        kind = tokens[position].type
        depth += {"LBRACE": 1, "RBRACE": -1}.get(kind, 0)
        if kind == "NEWLINE" and depth <= 0:
            return position + 1
    return len(tokens)


def _error_span(source: Source, token: Token) -> Span:
    span = span_of(source, token)
    return Span(source, span.start, span.start + 1) if token.type == "NEWLINE" else span


# --- messages
# --------------------------------------------------------------------------------------------------

_OPERATORS = frozenset({"PLUS", "MINUS", "MULTIPLY", "POWER", "COMPARE", "AND", "OR", "NOT"})
_VALUE_STARTS = frozenset({"NUMBER", "STRING", "NAME"})


def _describe(automaton: InteractiveParser, tokens: Sequence[Token], index: int) -> tuple[str, str]:
    """What is wrong with the token, in words, and what to do about it."""
    token = tokens[index]
    previous = tokens[index - 1] if index else None
    after = f" after '{previous}'" if previous is not None and previous.type != "NEWLINE" else ""
    found = "the end of the line" if token.type == "NEWLINE" else f"'{token}'"
    message = f"expected {_expected(automaton)}{after}, found {found}"
    return message, _hint(automaton, token, previous)


def _hint(automaton: InteractiveParser, token: Token, previous: Token | None) -> str:
    actions = _actions(automaton, automaton.parser_state.position)
    if token.type == "EQUAL" and "COMPARE" in actions:
        return "'==' compares; '=' gives an attribute its value"
    if token.type == "COLON" and "EQUAL" in actions:
        return "write name=value"
    if token.type == "VBAR" and (previous is None or previous.type == "NEWLINE"):
        return "a chain starts with a value: x | dense(10)"
    if token.type == "LPAR" and "VBAR" in actions and "LPAR" not in actions:
        return "a chain starts with a value: x | dense(10)"
    return ""


def _expected(automaton: InteractiveParser) -> str:
    """The tokens that could stand here, in the user's words."""
    actions = _actions(automaton, automaton.parser_state.position)
    terminals = (kind for kind in actions if kind.isupper())
    accepted = {kind for kind in terminals if _fits(automaton, kind)}
    if "OUTPUT" in accepted:
        return "a statement"
    words: list[str] = []
    if accepted & {"PLUS", "COMPARE"} and "NUMBER" not in accepted:
        accepted -= {"LPAR"}
        words += ["an operator"] if accepted <= _OPERATORS | {"$END"} else []
    if accepted >= _VALUE_STARTS:
        words.append("a value")
        accepted -= _VALUE_STARTS | {"LPAR", "LSQB", "LBRACE", "PLUS", "MINUS", "NOT"}
    plain = {"NAME": "a name", "NUMBER": "a number", "STRING": "a text in quotes"}
    words += [phrase for kind, phrase in plain.items() if kind in accepted]
    words += [f"'{SYMBOLS[kind]}'" for kind in SYMBOLS if kind in accepted - _OPERATORS]
    words += [f"'{kind.lower()}'" for kind in ("AS", "THEN", "ELSE", "REPEAT") if kind in accepted]
    if "NEWLINE" in accepted or "$END" in accepted:
        words.append("the end of the line" if "NEWLINE" in accepted else "the end")
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"

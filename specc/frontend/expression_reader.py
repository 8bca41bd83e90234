"""Parse trees of the grammar's ``expr`` rule to expressions."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, cast

from specc.diagnostics import Diagnostic, Span, SpecError
from specc.frontend.expressions import (
    MAX_DEPTH,
    MAX_MAGNITUDE,
    Binary,
    Boolean,
    Call,
    Compare,
    Expression,
    IfElse,
    ListExpression,
    Name,
    Null,
    Number,
    String,
    Unary,
)

if TYPE_CHECKING:
    from lark import Token, Tree

    from specc.frontend.parser import Locate

MAX_DIGITS = 40
"""Integers with more digits are refused unread."""


def read_expression(node: Tree[Token], locate: Locate, depth: int = 0) -> Expression:
    """The expression of a parse tree. Raises SpecError for what only a whole attribute may be
    (E0301), a number out of range or too much nesting (E0305)."""
    span = span_of(node, locate)
    if depth >= MAX_DEPTH:
        message = f"the expression is nested more than {MAX_DEPTH} deep"
        raise SpecError(Diagnostic("E0305", message, span, help="give a part of it a name"))
    first = node.children[0]
    token = str(first) if isinstance(first, str) else ""

    def child(index: int) -> Expression:
        return read_expression(subtree(node, index), locate, depth + 1)

    match node.data:
        case "number":
            return Number(read_number(token, span), span=span)
        case "string":
            return String(read_text(token, span), span=span)
        case "word":
            return _word(token, span)
        case "name":
            return Name(token, span=span)
        case "unary":
            operand = child(1)
            if token == "-" and isinstance(operand, Number) and math.copysign(1, operand.value) > 0:
                return Number(-operand.value, span=span)
            return Unary(token, operand, span=span)
        case "binary":
            return Binary(str(node.children[1]), child(0), child(2), span=span)
        case "compare":
            return Compare(str(node.children[1]), child(0), child(2), span=span)
        case "if_else":
            return IfElse(child(0), child(1), child(2), span=span)
        case "apply":
            arguments = tuple(
                read_expression(value, locate, depth + 1) for value in _positional(node, locate)
            )
            return Call(token, arguments, span=span)
        case "list":
            items = [subtree(node, i) for i, item in enumerate(node.children) if item is not None]
            return ListExpression(
                tuple(read_expression(item, locate, depth + 1) for item in items), span=span
            )
    message = "a mapping cannot be a part of an expression"
    raise SpecError(Diagnostic("E0301", message, span, help="write it as an attribute of its own"))


def span_of(node: Tree[Token], locate: Locate) -> Span:
    return locate(node.meta.start_pos, node.meta.end_pos)


def subtree(node: Tree[Token], index: int) -> Tree[Token]:
    """A child that the grammar says is a tree, not a token."""
    child = node.children[index]
    assert not isinstance(child, str)
    return child


def arguments_of(node: Tree[Token], index: int = 1) -> list[tuple[Token | None, Tree[Token]]]:
    """Keyword (or None) and value of each argument of a call."""
    if node.children[index] is None:
        return []
    pairs = [subtree(subtree(node, index), i) for i in range(len(subtree(node, index).children))]
    return [(cast("Token | None", pair.children[0]), subtree(pair, 1)) for pair in pairs]


def _positional(node: Tree[Token], locate: Locate) -> list[Tree[Token]]:
    for keyword, value in arguments_of(node):
        if keyword is not None:
            message = (
                f"the functions of expressions take no names, and this one is given '{keyword}'"
            )
            raise SpecError(Diagnostic("E0301", message, span_of(value, locate)))
    return [value for _, value in arguments_of(node)]


def _word(word: str, span: Span) -> Expression:
    if word in ("true", "false"):
        return Boolean(word == "true", span=span)
    return Null(span=span) if word == "null" else Number(float(word), span=span)


def read_number(token: str, span: Span) -> int | float:
    """The value of a NUMBER token; E0305 for one that no float64 or 64-bit integer holds."""
    if token.isdigit():
        if len(token) <= MAX_DIGITS and int(token) <= MAX_MAGNITUDE:
            return int(token)
        raise SpecError(Diagnostic("E0305", "the number is larger than 2 ** 64", span))
    value = float(token)
    if math.isinf(value):
        raise SpecError(Diagnostic("E0305", "the number is too large for a float64", span))
    return value


def read_text(token: str, span: Span) -> str:
    """The value of a STRING token, whose escapes are JSON's; E0202 for one that JSON does
    not have.
    """
    try:
        value: str = json.loads(token, strict=False)
        value.encode("utf-8")
    except ValueError:
        message = "the text has an escape that means nothing"
        help_text = r"the escapes are \" \\ \/ \n \t \r \b \f and \u1234"
        raise SpecError(Diagnostic("E0202", message, span, help=help_text)) from None
    return value

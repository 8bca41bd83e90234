"""Plain arithmetic without the grammar: ``4 * width`` is Python too, and Python's parser is here.

To load the grammar's parser takes longer than to compile a network, and most specs need it for
nothing else. What is not plain arithmetic, a mistake included, is left to the grammar.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

from specc.diagnostics import Span
from specc.frontend.expressions import RESERVED, Binary, Expression, Name, Number, Unary
from specc.syntax import parse

MAX_LENGTH = 100
"""Longer texts are left to the grammar, which knows how deep an expression may nest."""

_PLAIN = re.compile(r"[\w +\-*/%()]+", re.ASCII)
_WORD = re.compile(r"\w+", re.ASCII)
_OPERAND = re.compile(r"[A-Za-z_]\w*|[0-9]{1,18}", re.ASCII)
_OPERATORS: dict[type[ast.operator] | type[ast.unaryop], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.USub: "-",
    ast.UAdd: "+",
}


def is_plain(text: str) -> bool:
    """Whether a text consists of names, integers, operators and parentheses, and is short."""
    if len(text) > MAX_LENGTH or not _PLAIN.fullmatch(text):
        return False
    words = _WORD.findall(text)
    return RESERVED.isdisjoint(words) and all(map(_OPERAND.fullmatch, words))


def read_arithmetic(text: str, locate: Callable[[int, int], Span]) -> Expression | None:
    """The expression of names, integers, operators and parentheses; None for anything else."""
    if not is_plain(text):
        return None
    try:
        tree = parse(text.strip(), mode="eval")
    except SyntaxError:
        return None
    begin = len(text) - len(text.lstrip())
    return _expression(tree.body, lambda start, end: locate(begin + start, begin + end))


def _expression(node: ast.expr, locate: Callable[[int, int], Span]) -> Expression | None:
    span = locate(node.col_offset, node.end_col_offset or 0)
    match node:
        case ast.Name(id=name):
            return Name(name, span=span)
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return Number(value, span=span)
        case ast.UnaryOp(op=operator, operand=inner):
            operand = _expression(inner, locate)
            if (
                isinstance(operand, Number)
                and operand.value >= 0
                and isinstance(operator, ast.USub)
            ):
                return Number(-operand.value, span=span)
            return Unary(_OPERATORS[type(operator)], operand, span=span) if operand else None
        case ast.BinOp(left=left, op=operator, right=right):
            first, second = _expression(left, locate), _expression(right, locate)
            if first and second:
                return Binary(_OPERATORS[type(operator)], first, second, span=span)
    return None

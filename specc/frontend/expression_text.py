"""Expressions as text that parses back to the same expression."""

from __future__ import annotations

import json
import math
import re

from specc.frontend.expressions import (
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

_PRECEDENCE = {
    "or": 1, "and": 2, "not": 3, "compare": 4, "+": 5, "-": 5, "*": 6, "/": 6, "//": 6, "%": 6,
    "unary": 7, "**": 8, "atom": 9,
}  # fmt: skip


def to_text(expression: Expression) -> str:
    """The expression as text that parses to an equal tree, with no needless parentheses."""
    return _text(expression)[0]


def _within(expression: Expression, least: int) -> str:
    text, precedence = _text(expression)
    return text if precedence >= least else f"({text})"


def _text(expression: Expression) -> tuple[str, int]:
    match expression:
        case Number(value=value):
            return number_text(value), _PRECEDENCE["unary" if _is_negative(value) else "atom"]
        case String(value=value):
            return quote(value), _PRECEDENCE["atom"]
        case Boolean(value=value):
            return "true" if value else "false", _PRECEDENCE["atom"]
        case Null():
            return "null", _PRECEDENCE["atom"]
        case Name(name=name):
            return name, _PRECEDENCE["atom"]
        case Unary(operator=symbol, operand=operand):
            level = _PRECEDENCE["not" if symbol == "not" else "unary"]
            space = " " if symbol == "not" else ""
            return f"{symbol}{space}{_within(operand, level)}", level
        case Binary(operator="**", left=left, right=right):
            level = _PRECEDENCE["**"]
            return f"{_within(left, level + 1)} ** {_within(right, level - 1)}", level
        case Binary(operator=symbol, left=left, right=right):
            level = _PRECEDENCE[symbol]
            return f"{_within(left, level)} {symbol} {_within(right, level + 1)}", level
        case Compare(operator=symbol, left=left, right=right):
            level = _PRECEDENCE["compare"]
            return f"{_within(left, level + 1)} {symbol} {_within(right, level + 1)}", level
        case IfElse(condition=condition, then=then, otherwise=otherwise):
            return (
                f"if {_within(condition, 1)} then {_within(then, 1)} else {_text(otherwise)[0]}",
                0,
            )
        case Call(function=function, arguments=arguments):
            return f"{function}({', '.join(map(to_text, arguments))})", _PRECEDENCE["atom"]
        case ListExpression(items=items):
            return f"[{', '.join(map(to_text, items))}]", _PRECEDENCE["atom"]
    raise TypeError(f"not an expression: {expression!r}")


def _is_negative(value: int | float) -> bool:
    return value == value and math.copysign(1, value) < 0


def number_text(value: int | float) -> str:
    """A number as both front ends read it back: ``0.001``, ``1e-07``, ``inf``."""
    return repr(value)


_UNPRINTABLE = re.compile(
    "[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]"
)


def quote(text: str) -> str:
    """A text in double quotes, with escapes that the language and YAML both read."""
    quoted = json.dumps(text, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)

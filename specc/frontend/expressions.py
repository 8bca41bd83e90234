"""Expressions over parameters: what ``$width`` and ``${width * 2 ** i}`` mean.

Arithmetic, comparison, ``if a then b else c`` and a handful of functions. An expression is a small
tree that this module walks itself: nothing is handed to Python's own evaluation, and the cost of
every operation is bounded, so a spec from a stranger is safe to compile.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from typing import TypeAlias

from specc.diagnostics import Diagnostic, Span, SpecError, did_you_mean
from specc.records import dataclass

Value: TypeAlias = "int | float | bool | str | list[Value] | None"
"""What an expression evaluates to."""

MAX_MAGNITUDE = 2**64
"""Integers beyond it are refused: no shape, seed or count needs them."""

MAX_DEPTH = 100
"""Operators nested deeper than this are refused."""

MAX_LENGTH = 1000
"""A text of more characters is refused unread: nobody could read it either."""


@dataclass(frozen=True, kw_only=True)
class Expression:
    """The base of all nodes; two expressions are equal when they read the same, wherever they
    stand."""

    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True)
class Number(Expression):
    value: int | float


@dataclass(frozen=True)
class String(Expression):
    value: str


@dataclass(frozen=True)
class Boolean(Expression):
    value: bool


@dataclass(frozen=True)
class Null(Expression):
    """The absent value, written ``null``."""


@dataclass(frozen=True)
class Name(Expression):
    name: str


@dataclass(frozen=True)
class Unary(Expression):
    """``-``, ``+`` or ``not``."""

    operator: str
    operand: Expression


@dataclass(frozen=True)
class Binary(Expression):
    """``+ - * / // % **``, and ``and``, ``or`` (which do not evaluate the right side
    without need).
    """

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Compare(Expression):
    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class IfElse(Expression):
    condition: Expression
    then: Expression
    otherwise: Expression


@dataclass(frozen=True)
class Call(Expression):
    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True)
class ListExpression(Expression):
    items: tuple[Expression, ...]


@dataclass(frozen=True)
class Function:
    """A function that expressions may call: how many arguments it takes, and its meaning."""

    least: int
    most: int
    apply: Callable[..., int | float]
    takes_list: bool = False


FUNCTIONS: dict[str, Function] = {
    "abs": Function(1, 1, abs),
    "ceil": Function(1, 1, math.ceil),
    "floor": Function(1, 1, math.floor),
    "len": Function(1, 1, len, takes_list=True),
    "max": Function(1, 64, max, takes_list=True),
    "min": Function(1, 64, min, takes_list=True),
    "round": Function(1, 1, round),
    "sqrt": Function(1, 1, math.sqrt),
}
"""The functions by name. ``max`` and ``min`` take numbers or one list; ``round`` rounds halves to
even."""

_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
}
_COMPARISON: dict[str, Callable[..., bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def children(expression: Expression) -> tuple[Expression, ...]:
    """The direct operands of a node, from left to right."""
    match expression:
        case Unary(operand=operand):
            return (operand,)
        case Binary(left=left, right=right) | Compare(left=left, right=right):
            return (left, right)
        case IfElse(condition=condition, then=then, otherwise=otherwise):
            return (condition, then, otherwise)
        case Call(arguments=items) | ListExpression(items=items):
            return items
    return ()


def walk(expression: Expression) -> Iterator[Expression]:
    """The node and everything below it, in the order of the text."""
    yield expression
    for child in children(expression):
        yield from walk(child)


def names(expression: Expression) -> frozenset[str]:
    """The parameters that the expression reads."""
    return frozenset(node.name for node in walk(expression) if isinstance(node, Name))


def evaluate(expression: Expression, environment: Mapping[str, Value]) -> Value:
    """The value under ``environment`` (parameter name to value).

    Raises SpecError, always with the span of the part at fault: E0302 for an unknown name, E0303
    for an operation that its operands do not allow, E0304 for a division by zero, E0305 for a
    result out of bounds.
    """
    match expression:
        case Number(value=value) | String(value=value) | Boolean(value=value):
            return value
        case Null():
            return None
        case Name(name=name):
            if name in environment:
                return environment[name]
            raise _unknown(expression, name, environment)
        case IfElse(condition=condition, then=then, otherwise=otherwise):
            chosen = then if _truth(condition, environment) else otherwise
            return evaluate(chosen, environment)
        case Binary(operator="and", left=left, right=right):
            return _truth(left, environment) and _truth(right, environment)
        case Binary(operator="or", left=left, right=right):
            return _truth(left, environment) or _truth(right, environment)
        case Unary(operator="not", operand=operand):
            return not _truth(operand, environment)
        case ListExpression(items=items):
            return [evaluate(item, environment) for item in items]
        case Call(function=function, arguments=arguments):
            return _call(expression, function, [evaluate(a, environment) for a in arguments])
        case Compare(operator=symbol, left=left, right=right):
            return _compare(
                expression, symbol, evaluate(left, environment), evaluate(right, environment)
            )
        case Unary(operator=symbol, operand=operand):
            number = _number(operand, evaluate(operand, environment), symbol)
            return _bounded(expression, -number if symbol == "-" else number)
        case Binary(operator=symbol, left=left, right=right):
            a = _number(left, evaluate(left, environment), symbol)
            b = _number(right, evaluate(right, environment), symbol)
            return _arithmetic(expression, symbol, a, b)
    raise TypeError(f"not an expression: {expression!r}")


def _fail(code: str, expression: Expression, message: str, suggestion: str = "") -> SpecError:
    return SpecError(Diagnostic(code, message, expression.span, help=suggestion))


def _unknown(expression: Expression, name: str, environment: Mapping[str, Value]) -> SpecError:
    help_text = did_you_mean(name, environment) or (
        f'if you mean the word itself, write it in quotes: "{name}"'
    )
    return _fail("E0302", expression, f"there is no parameter '{name}' here", help_text)


def kind_of(value: Value) -> str:
    """What a value is, in the words of a message: ``the text "same"``, ``the list [1, 2]``."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f'the text "{value if len(value) <= 40 else value[:37] + "..."}"'
        case list():
            return f"a list of {len(value)}"
    return f"the number {value}"


def _truth(expression: Expression, environment: Mapping[str, Value]) -> bool:
    value = evaluate(expression, environment)
    if isinstance(value, bool):
        return value
    message = f"a condition has to be true or false, not {kind_of(value)}"
    raise _fail("E0303", expression, message, "compare it with something, as in n > 0")


def _number(expression: Expression, value: Value, symbol: str) -> int | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise _fail("E0303", expression, f"'{symbol}' needs numbers, and this is {kind_of(value)}")


def _bounded(expression: Expression, value: int | float) -> int | float:
    if isinstance(value, int) and abs(value) > MAX_MAGNITUDE:
        raise _fail("E0305", expression, "the result is larger than 2 ** 64")
    return value


def _arithmetic(
    expression: Expression, symbol: str, left: int | float, right: int | float
) -> int | float:
    if right == 0 and symbol in ("/", "//", "%"):
        raise _fail("E0304", expression, f"division by zero: the right side of '{symbol}' is 0")
    if symbol == "**":
        return _power(expression, left, right)
    try:
        return _bounded(expression, _ARITHMETIC[symbol](left, right))
    except OverflowError:
        raise _fail("E0305", expression, "the result is too large for a float64") from None


def _power(expression: Expression, base: int | float, exponent: int | float) -> int | float:
    if base == 0 and exponent < 0:
        raise _fail("E0304", expression, f"division by zero: 0 to the power of {exponent}")
    if base < 0 and math.isfinite(exponent) and exponent % 1:
        raise _fail("E0303", expression, f"{base} has no real power of {exponent}")
    if isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1 and exponent > 64:
        raise _fail("E0305", expression, "the result is larger than 2 ** 64")
    try:
        return _bounded(expression, base**exponent)
    except OverflowError:
        raise _fail("E0305", expression, "the result is too large for a float64") from None


def _compare(expression: Expression, symbol: str, left: Value, right: Value) -> bool:
    try:
        return _COMPARISON[symbol](left, right)
    except TypeError:
        message = f"'{symbol}' cannot order {kind_of(left)} and {kind_of(right)}"
        raise _fail("E0303", expression, message) from None


def _call(expression: Expression, name: str, arguments: list[Value]) -> Value:
    function = FUNCTIONS.get(name)
    if function is None:
        suggestion = did_you_mean(name, FUNCTIONS)
        raise _fail("E0302", expression, f"there is no function '{name}'", suggestion)
    if not function.least <= len(arguments) <= function.most:
        least, most = function.least, function.most
        count = f"{least}" if least == most else f"{least} to {most}"
        plural = "" if most == 1 else "s"
        message = f"'{name}' takes {count} argument{plural}, not {len(arguments)}"
        raise _fail("E0303", expression, message)
    is_list = len(arguments) == 1 and isinstance(arguments[0], list)
    if is_list != function.takes_list and (is_list or name == "len"):
        raise _fail("E0303", expression, f"'{name}' cannot be applied to {kind_of(arguments[0])}")
    if not is_list:
        for argument in arguments:
            _number(expression, argument, name)
    try:
        return _bounded(expression, function.apply(*arguments))
    except (TypeError, ValueError):
        given = ", ".join(map(kind_of, arguments))
        raise _fail("E0303", expression, f"'{name}' cannot be applied to {given}") from None
    except OverflowError:
        raise _fail("E0305", expression, f"'{name}' of an infinite number") from None


# --- parsing --------------------------------------------------------------------------------------
# -------------

_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_INTEGER = re.compile(r"[0-9]{1,18}")
RESERVED = frozenset(
    {"true", "false", "null", "inf", "nan", "if", "then", "else", "and", "or", "not"}
)
"""Words with a meaning of their own in expressions: no parameter can have such a name."""


def parse_expression(text: str, span: Span) -> Expression:
    """The expression that ``text`` holds; ``span`` is the stretch of the source where that text
    stands.

    Where the source holds ``text`` literally within ``span``, each node gets its own place;
    otherwise (a YAML string with escapes) all get ``span``. Raises SpecError with E0301 when the
    text is no expression.
    """
    if len(text) > MAX_LENGTH:
        message = f"the expression has more than {MAX_LENGTH:,} characters"
        raise SpecError(Diagnostic("E0305", message, span, help="give a part of it a name"))
    offset = span.source.text.find(text, span.start, span.end)

    def locate(start: int, end: int) -> Span:
        return span if offset < 0 else Span(span.source, offset + start, offset + end)

    # Most expressions are one name or a little arithmetic: these need no parser of the grammar,
    # which takes longer to load than the rest of the front end.
    name = text.strip()
    if not name:
        raise SpecError(Diagnostic("E0301", "the expression is empty", span))
    start = text.find(name)
    if _NAME.fullmatch(name) and name not in RESERVED:
        return Name(name, span=locate(start, start + len(name)))
    if _INTEGER.fullmatch(name):
        return Number(int(name), span=locate(start, start + len(name)))

    from specc.frontend.arithmetic import read_arithmetic

    arithmetic = read_arithmetic(text, locate)
    if arithmetic is not None:
        return arithmetic

    from specc.frontend.expression_reader import read_expression
    from specc.frontend.parser import parse_expression_tree

    return read_expression(parse_expression_tree(text, locate), locate)

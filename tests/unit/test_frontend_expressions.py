"""Expressions: parsing, evaluation and its bounds, text."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specc.diagnostics import Source, Span, SpecError
from specc.frontend.arithmetic import read_arithmetic
from specc.frontend.expression_reader import read_expression
from specc.frontend.expression_text import to_text
from specc.frontend.expressions import (
    FUNCTIONS,
    RESERVED,
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
    evaluate,
    names,
    parse_expression,
    walk,
)
from specc.frontend.parser import parse_expression_tree


def parse(text: str) -> Expression:
    source = Source("net.yaml", f"k: ${{{text}}}")
    return parse_expression(text, Span(source, 3, len(source.text)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("width", 32),
        (" 7 ", 7),
        ("1e-3", 0.001),
        ("2 * 3 + 4", 10),
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("-2 ** 2", -4),
        ("2 ** 3 ** 2", 512),
        ("2 ** -1", 0.5),
        ("7 // 2", 3),
        ("7 % 4", 3),
        ("7 / 2", 3.5),
        ("10 - 3 - 2", 5),
        ("width * 2 ** i", 64),
        ("if i > 0 then 1 else 2", 1),
        ("if i > 5 then 1 else if i > 0 then 2 else 3", 2),
        ("not i > 0", False),
        ("i > 0 and width > 0 or false", True),
        ("true or 1 / 0 > 1", True),
        ("false and 1 / 0 > 1", False),
        ('name == "same"', True),
        ("min(width, 3) + max([1, 5])", 8),
        ("abs(-3) + floor(2.7) + ceil(2.1) + round(2.5)", 10),
        ("sqrt(16)", 4.0),
        ("len([1, 2, 3])", 3),
        ("len(sizes)", 2),
        ("[width, 2 * width]", [32, 64]),
        ("null", None),
        ("inf", math.inf),
    ],
)
def test_value(text: str, expected: object) -> None:
    environment = {"width": 32, "i": 1, "name": "same", "sizes": [1, 2]}
    assert evaluate(parse(text), environment) == expected


def test_names_are_those_it_reads() -> None:
    assert names(parse("min(a, b) + c")) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("text", "code", "message", "column"),
    [
        ("widht * 2", "E0302", "there is no parameter 'widht' here", 6),
        ("2 * (1 + widht)", "E0302", "there is no parameter 'widht' here", 15),
        ("mni(1, 2)", "E0302", "there is no function 'mni'", 6),
        ("1 / (width - 32)", "E0304", "division by zero: the right side of '/' is 0", 6),
        ("1 // 0", "E0304", "division by zero: the right side of '//' is 0", 6),
        ("0 ** -1", "E0304", "division by zero: 0 to the power of -1", 6),
        ("(-8) ** 0.5", "E0303", "-8 has no real power of 0.5", 6),
        ('"a" + 1', "E0303", "'+' needs numbers, and this is the text \"a\"", 6),
        ("1 + true", "E0303", "'+' needs numbers, and this is true", 10),
        ("1 + null", "E0303", "'+' needs numbers, and this is null", 10),
        ("if 1 then 2 else 3", "E0303", "a condition has to be true or false, not the number 1", 9),
        ('1 < "a"', "E0303", "'<' cannot order the number 1 and the text \"a\"", 6),
        ("min()", "E0303", "'min' takes 1 to 64 arguments, not 0", 6),
        ("abs(1, 2)", "E0303", "'abs' takes 1 argument, not 2", 6),
        ("len(3)", "E0303", "'len' cannot be applied to the number 3", 6),
        ("abs([1])", "E0303", "'abs' cannot be applied to a list of 1", 6),
        ("sqrt(-1)", "E0303", "'sqrt' cannot be applied to the number -1", 6),
        ("floor(inf)", "E0305", "'floor' of an infinite number", 6),
        ("9 ** 9 ** 9", "E0305", "the result is larger than 2 ** 64", 6),
        ("2 ** 64 * 2", "E0305", "the result is larger than 2 ** 64", 6),
        ("1e300 * 1e300 ** 2", "E0305", "the result is too large for a float64", 14),
        ("9" * 30, "E0305", "the number is larger than 2 ** 64", 6),
        ("1e999", "E0305", "the number is too large for a float64", 6),
        ("1" + " + 1" * 200, "E0305", "the expression is nested more than 100 deep", 6),
        ("1 +", "E0301", "expected a value after '+', found the end of the expression", 8),
        ("a b", "E0301", "expected an operator or the end after 'a', found 'b'", 8),
        ("f(a", "E0301", "expected ')', ',' or '=' after 'a', found the end of the expression", 8),
        ("a ? b", "E0301", "the character '?' has no meaning in the language", 8),
        ("a # b", "E0301", "'#' has no meaning in an expression", 8),
        ("__import__('os')", "E0301", "' does not start a text", 17),
        ("a.b", "E0301", "the character '.' has no meaning in the language", 7),
        (
            "min(x=1)",
            "E0301",
            "the functions of expressions take no names, and this one is given 'x'",
            12,
        ),
        ("1 + {a: 1}", "E0301", "a mapping cannot be a part of an expression", 10),
        ("", "E0301", "the expression is empty", 4),
    ],
)
def test_error(text: str, code: str, message: str, column: int) -> None:
    with pytest.raises(SpecError) as caught:
        evaluate(parse(text), {"width": 32})
    diagnostic = caught.value.diagnostics[0]
    assert diagnostic.span is not None
    place = diagnostic.span.source.position(diagnostic.span.start)
    assert (diagnostic.code, diagnostic.message, place) == (code, message, (1, column))


def test_suggestions() -> None:
    with pytest.raises(SpecError, match="did you mean 'width'"):
        evaluate(parse("widht"), {"width": 1})
    with pytest.raises(SpecError, match='write it in quotes: "same"'):
        evaluate(parse("same"), {})


def test_text_with_escapes_has_the_span_of_the_whole() -> None:
    source = Source("net.yaml", r'k: "${a == \"b\"}"')
    whole = Span(source, 3, len(source.text))
    expression = parse_expression('a == "b"', whole)
    assert isinstance(expression, Compare)
    assert expression.left.span == whole


_SPAN = Span(Source("", ""), 0, 0)
_NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True).filter(lambda n: n not in RESERVED)
_NUMBERS = st.integers(-(2**64), 2**64) | st.floats(allow_nan=False)


def _wider(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    def unary(operator: str, operand: Expression) -> Expression:
        return Unary(operator, operand, span=_SPAN)

    # "-" before a number that is not negative is a part of the number.
    minus = inner.filter(lambda e: not (isinstance(e, Number) and math.copysign(1, e.value) > 0))
    return st.one_of(
        st.builds(unary, st.just("-"), minus),
        st.builds(unary, st.sampled_from(["not", "+"]), inner),
        st.builds(
            lambda op, a, b: Binary(op, a, b, span=_SPAN),
            st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "and", "or"]),
            inner,
            inner,
        ),
        st.builds(
            lambda op, a, b: Compare(op, a, b, span=_SPAN),
            st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
            inner,
            inner,
        ),
        st.builds(lambda a, b, c: IfElse(a, b, c, span=_SPAN), inner, inner, inner),
        st.builds(
            lambda f, items: Call(f, tuple(items), span=_SPAN),
            st.sampled_from(sorted(FUNCTIONS)),
            st.lists(inner, max_size=3),
        ),
        st.builds(
            lambda items: ListExpression(tuple(items), span=_SPAN), st.lists(inner, max_size=3)
        ),
    )


EXPRESSIONS: st.SearchStrategy[Expression] = st.recursive(
    st.one_of(
        st.builds(lambda v: Number(v, span=_SPAN), _NUMBERS),
        st.builds(lambda v: String(v, span=_SPAN), st.text(max_size=8)),
        st.builds(lambda v: Boolean(v, span=_SPAN), st.booleans()),
        st.just(Null(span=_SPAN)),
        st.builds(lambda v: Name(v, span=_SPAN), _NAMES),
    ),
    _wider,
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(EXPRESSIONS)
def test_text_parses_back(expression: Expression) -> None:
    assert parse(to_text(expression)) == expression


@settings(max_examples=200, deadline=None)
@given(EXPRESSIONS)
def test_evaluation_ends_with_a_value_or_a_diagnostic(expression: Expression) -> None:
    try:
        evaluate(expression, {"a": 1, "b": [1, 2.5], "c": "x"})
    except SpecError as error:
        assert error.diagnostics[0].span is not None


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab12.+-*/%()[]{},=<>\"'! ifthen", max_size=20))
def test_any_text_is_an_expression_or_a_diagnostic(text: str) -> None:
    try:
        parse(text)
    except SpecError as error:
        assert error.diagnostics[0].code in ("E0202", "E0301", "E0305")


_OPERANDS = st.sampled_from(["a", "width", "x_1", "3", "0", "007", "class", "true", "2.5", "1e3"])
_ARITHMETIC = st.recursive(
    _OPERANDS,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from("+-"), inner).map("".join),
        st.tuples(st.sampled_from(["(", "( "]), inner, st.just(")")).map("".join),
        st.tuples(
            inner, st.sampled_from(["+", " - ", " *", "/ ", "//", "%", "**", "<", " "]), inner
        ).map("".join),
    ),
    max_leaves=8,
)


@given(_ARITHMETIC, st.sampled_from(["", " ", "  "]))
@settings(max_examples=500, deadline=None)
def test_plain_arithmetic_is_read_as_by_the_grammar(text: str, space: str) -> None:
    def places(expression: Expression) -> list[tuple[int, int]]:
        return [(each.span.start, each.span.end) for each in walk(expression)]

    source = Source("net.yaml", f"{space}{text}{space}")
    found = read_arithmetic(source.text, lambda start, end: Span(source, start, end))
    if found is not None:
        tree = parse_expression_tree(source.text, lambda start, end: Span(source, start, end))
        expected = read_expression(tree, lambda start, end: Span(source, start, end))
        assert found == expected and places(found) == places(expected)


def test_the_grammar_is_not_loaded_for_arithmetic() -> None:
    code = (
        "import sys\n"
        "from specc.compiler import load_program\n"
        "load_program('examples/image_classification.yaml')\n"
        "assert 'lark' not in sys.modules\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)

"""Folds what follows from known names in the expressions of a piece of Python."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from specc.records import dataclass
from specc.syntax import parse

_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
# x + 0, 0 + x, x - 0, x * 1 and 1 * x are x.
_NEUTRAL = {ast.Add: 0, ast.Sub: 0, ast.Mult: 1}


@dataclass(frozen=True)
class Option:
    """A parameter that no call needs: its place among the positional ones, and its value."""

    place: int | None
    value: Any


Options = Mapping[str, Mapping[str, Option]]


def is_constant(node: ast.expr | None) -> bool:
    """Whether it is a literal, or a tuple of such."""
    if isinstance(node, ast.Tuple):
        return all(map(is_constant, node.elts))
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant)
    return isinstance(node, ast.Constant)


def leave_out(call: ast.Call, options: Mapping[str, Option]) -> bool:
    """Takes the arguments that are options out of a call; whether there were any."""
    places = {option.place for option in options.values()}
    given = [each for place, each in enumerate(call.args) if place not in places]
    keywords = [each for each in call.keywords if each.arg not in options]
    fewer = len(given) + len(keywords) < len(call.args) + len(call.keywords)
    call.args, call.keywords = given, keywords
    return fewer


class Folder(ast.NodeTransformer):
    """Puts constants in the place of known names, leaves out arguments that are options, and
    computes what has become constant by that. Other constant expressions stay as they are written.
    """

    def __init__(self, known: Mapping[str, Any], options: Options) -> None:
        self.known, self.options = known, options
        self.changed = False
        self._folded: set[int] = set()
        self._kept: list[ast.expr] = []  # keeps the ids above alive

    def is_folded(self, node: ast.expr) -> bool:
        """Whether the expression has become a constant."""
        return id(node) in self._folded

    def _constant(self, value: Any) -> ast.expr:
        node = parse(repr(value), mode="eval").body
        self.changed = True
        self._folded.add(id(node))
        self._kept.append(node)
        return node

    def visit_Name(self, node: ast.Name) -> ast.expr:  # noqa: N802
        if isinstance(node.ctx, ast.Load) and node.id in self.known:
            return self._constant(self.known[node.id])
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:  # noqa: N802
        self.generic_visit(node)
        known = self.is_folded(node.left) and len(node.ops) == 1
        if known and is_constant(node.comparators[0]):
            compare = _COMPARISONS.get(type(node.ops[0]))
            if compare is not None:
                sides = map(ast.literal_eval, (node.left, node.comparators[0]))
                return self._constant(compare(*sides))
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.op, ast.Not) and self.is_folded(node.operand):
            return self._constant(not ast.literal_eval(node.operand))
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:  # noqa: N802
        """``x and False`` is False, ``True and x`` is x; the other way round for ``or``."""
        self.generic_visit(node)
        decides = isinstance(node.op, ast.Or)
        left = []
        for each in node.values:
            if not self.is_folded(each):
                left.append(each)
            elif bool(ast.literal_eval(each)) == decides:
                return self._constant(decides)
        if not left:
            return self._constant(not decides)
        node.values = left
        return left[0] if len(left) == 1 else node

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:  # noqa: N802
        node.test = self.visit(node.test)
        if self.is_folded(node.test):
            chosen: ast.expr = node.body if ast.literal_eval(node.test) else node.orelse
            if is_constant(chosen):
                return self._constant(ast.literal_eval(chosen))
            return self.visit(chosen)  # type: ignore[no-any-return]
        node.body, node.orelse = self.visit(node.body), self.visit(node.orelse)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:  # noqa: N802
        if isinstance(node.func, ast.Name) and node.func.id in self.options:
            self.changed = leave_out(node, self.options[node.func.id]) or self.changed
        self.generic_visit(node)
        first = node.args[0] if node.args else None
        if first is not None and self.is_folded(first) and ast.unparse(node.func) == "np.any":
            return self._constant(_any(ast.literal_eval(first)))
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:  # noqa: N802
        self.generic_visit(node)
        known = isinstance(node.value, ast.Tuple) and self.is_folded(node.value)
        if known and is_constant(node.slice):
            return self._constant(ast.literal_eval(node.value)[ast.literal_eval(node.slice)])
        return node

    def visit_Slice(self, node: ast.Slice) -> ast.Slice:  # noqa: N802
        """``0:n:1`` is ``:n``."""
        self.generic_visit(node)
        if node.step is not None and self._is(node.step, 1):
            node.step = None
        if node.lower is not None and self._is(node.lower, 0):
            node.lower = None
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:  # noqa: N802
        self.generic_visit(node)
        left, right = self.is_folded(node.left), self.is_folded(node.right)
        compute = _OPERATORS.get(type(node.op))
        if compute is None or not (left or right):
            return node
        if is_constant(node.left) and is_constant(node.right):
            return self._constant(compute(*map(ast.literal_eval, (node.left, node.right))))
        neutral = _NEUTRAL[type(node.op)]
        if self._is(node.right, neutral):
            return node.left
        if self._is(node.left, neutral) and not isinstance(node.op, ast.Sub):
            return node.right
        if isinstance(node.op, ast.Mult) and (self._is(node.left, 0) or self._is(node.right, 0)):
            return self._constant(0)
        return node

    def _is(self, node: ast.expr, value: int) -> bool:
        return self.is_folded(node) and bool(ast.literal_eval(node) == value)


def _any(value: Any) -> bool:
    """Whether something in nested tuples is not 0."""
    return any(map(_any, value)) if isinstance(value, tuple) else bool(value)

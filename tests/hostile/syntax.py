"""Whether two generated files are one program under other names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import zip_longest

MARK = "zq"
"""What every name of the plain spec contains, and nothing else does."""

_SCOPES = (ast.FunctionDef, ast.Lambda)
_FIELDS = ("id", "arg", "attr", "name", "asname", "names", "kwd_attrs")


class DifferenceError(AssertionError):
    """Two files that are not the same program."""


def check_same(plain: str, other: str) -> int:
    """Compares the file of the plain spec with that of a spec that has other names.

    Strings may differ; everything else of the syntax tree is equal, but for identifiers. Those
    that come from names of the spec, and local variables, may be renamed: two different ones of a
    function or class stay two. All others are equal. Returns how many identifiers were renamed.
    Raises DifferenceError.
    """
    return _Comparison().compare(ast.parse(plain), ast.parse(other))


class _Names:
    """The renamings of one scope, in both directions."""

    def __init__(self, own: frozenset[str], outer: _Names | None = None) -> None:
        self.own, self.outer = own, outer
        self.there: dict[str, str] = {}
        self.back: dict[str, str] = {}

    def note(self, plain: str, other: str) -> bool:
        """Notes that ``plain`` is called ``other``; whether it is another name."""
        scope: _Names = self
        while plain not in scope.own and scope.outer is not None:
            scope = scope.outer
        if plain not in scope.own and MARK not in plain.lower() and plain != other:
            raise DifferenceError(f"'{plain}' is called '{other}'")
        for table, key, value in ((self.there, plain, other), (self.back, other, plain)):
            if table.setdefault(key, value) != value:
                raise DifferenceError(f"'{key}' stands for '{table[key]}' and for '{value}'")
        return plain != other


class _Comparison:
    def __init__(self) -> None:
        self.renamed = 0
        self.scope = _Names(frozenset())
        self.attributes = _Names(frozenset())

    def compare(self, plain: ast.AST, other: ast.AST) -> int:
        self._node(plain, other)
        return self.renamed

    def _node(self, plain: object, other: object) -> None:
        if type(plain) is not type(other):
            raise DifferenceError(f"{_text(plain)} is {_text(other)}")
        if isinstance(plain, list) and isinstance(other, list):
            for first, second in zip_longest(plain, other):
                self._node(first, second)
        elif isinstance(plain, ast.AST) and isinstance(other, ast.AST):
            self._tree(_without_renaming(plain), _without_renaming(other))
        elif plain != other and not isinstance(plain, str):
            raise DifferenceError(f"{plain!r} is {other!r}")

    def _tree(self, plain: ast.AST, other: ast.AST) -> None:
        before = self.scope, self.attributes
        if isinstance(plain, ast.ClassDef):
            self.attributes = _Names(frozenset())
        for field in plain._fields:
            first, second = getattr(plain, field), getattr(other, field)
            if isinstance(plain, _SCOPES) and field == "args":
                # The name of a function belongs to the scope around it.
                self.scope = _Names(frozenset(_bound(plain)), self.scope)
            if isinstance(first, str) and isinstance(second, str) and field in _FIELDS:
                self._identifier(plain, first, second)
            elif isinstance(plain, ast.Constant) and isinstance(first, str):
                if not isinstance(second, str):
                    raise DifferenceError(f"the text {first!r} is {second!r}")
            else:
                self._node(first, second)
        self.scope, self.attributes = before

    def _identifier(self, node: ast.AST, plain: str, other: str) -> None:
        if isinstance(node, ast.Attribute):
            # Only what the spec's own classes hold may be renamed: a framework's words may not.
            if MARK in plain.lower():
                self.renamed += self.attributes.note(plain, other)
            elif plain != other:
                raise DifferenceError(f"the attribute '{plain}' is '{other}'")
        elif isinstance(node, ast.keyword):
            if plain != other and MARK not in plain.lower():
                raise DifferenceError(f"the argument '{plain}' is '{other}'")
        else:
            self.renamed += self.scope.note(plain, other)


def _bound(function: ast.AST) -> Iterator[str]:
    """The parameters and local variables of a function."""
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _without_renaming(node: ast.AST) -> ast.AST:
    """``record({**locals(), "x": x_1}, ...)`` as ``record(locals(), ...)``: the values whose
    variables are not called as the spec calls them."""
    if not (isinstance(node, ast.Call) and _name(node.func) == "record"):
        return node
    given = [_scope(argument) for argument in node.args]
    return ast.Call(node.func, given, node.keywords)


def _scope(argument: ast.expr) -> ast.expr:
    if not (isinstance(argument, ast.Dict) and argument.keys[:1] == [None]):
        return argument
    for key, value in zip(argument.keys[1:], argument.values[1:], strict=True):
        text = isinstance(key, ast.Constant) and isinstance(key.value, str)
        if not text or not isinstance(value, ast.Name | ast.Subscript):
            raise DifferenceError(f"recorded: {_text(argument)}")
    return argument.values[0]


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else ""


def _text(node: object) -> str:
    return ast.unparse(node)[:200] if isinstance(node, ast.AST) else repr(node)[:200]

"""Writes an optimizer's formula as statements of a framework.

A formula is Python: ``slot = expression``, ``slot += expression``, over + - * / **, sqrt, abs and
maximum. Names are tensors (given to ``Writer``), attributes of the optimizer (written
``self.name``) or step scalars. The framework says what its functions are called.
"""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping

from specc.syntax import parse

# What a step scalar calls, computed on the host.
HOST = {"sqrt": "math.sqrt"}


class _Qualifier(ast.NodeTransformer):
    """Writes attributes as ``self.name`` and functions with their module."""

    def __init__(self, attributes: Collection[str], functions: Mapping[str, str]) -> None:
        self.attributes = attributes
        self.functions = functions

    def visit_Name(self, node: ast.Name) -> ast.expr:  # noqa: N802
        if node.id in self.functions:
            return parse(self.functions[node.id], mode="eval").body
        return ast.Attribute(ast.Name("self"), node.id) if node.id in self.attributes else node


def qualify(expression: str, attributes: Collection[str], functions: Mapping[str, str]) -> str:
    """An expression with ``self.`` before attributes, and functions with their module."""
    tree = parse(expression, mode="eval")
    return ast.unparse(_Qualifier(attributes, functions).visit(tree))


def names(expression: str) -> set[str]:
    """All names in an expression or a statement."""
    return {node.id for node in ast.walk(parse(expression)) if isinstance(node, ast.Name)}


class Writer(ABC):
    """Base of the writers. ``state`` are the tensors that a step changes: parameter and slots."""

    def __init__(
        self, functions: Mapping[str, str], state: Collection[str], attributes: Collection[str]
    ) -> None:
        self.functions = functions
        self.state = set(state)
        self.tensors = self.state | {"gradient"}
        self.attributes = attributes

    def statement(self, source: str) -> str:
        """The framework's form of one statement of a formula."""
        statement = parse(source).body[0]
        if isinstance(statement, ast.AugAssign):
            assert isinstance(statement.target, ast.Name)
            sign = 1 if isinstance(statement.op, ast.Add) else -1
            return self.add(statement.target.id, sign, statement.value)
        assert isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
        target = statement.targets[0].id
        if target not in self.state:
            self.tensors.add(target)
            return f"{target} = {self.text(statement.value)}"
        return self.assign(target, statement.value)

    @abstractmethod
    def add(self, target: str, sign: int, value: ast.expr) -> str:
        """``target += value``, or -= where the sign is negative."""

    @abstractmethod
    def assign(self, target: str, value: ast.expr) -> str:
        """``target = value``, where target is part of the state."""

    def text(self, node: ast.expr) -> str:
        return qualify(ast.unparse(node), self.attributes, self.functions)

    def is_scalar(self, node: ast.expr) -> bool:
        return not names(ast.unparse(node)) & self.tensors


def terms(node: ast.expr, sign: int = 1) -> list[tuple[int, ast.expr]]:
    """A sum as signed terms, from left to right."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        right = sign if isinstance(node.op, ast.Add) else -sign
        return [*terms(node.left, sign), *terms(node.right, right)]
    return [(sign, node)]


def decayed(target: str, node: ast.expr) -> ast.expr | None:
    """The factor c of a term ``c * target``."""
    match node:
        case ast.BinOp(left=factor, op=ast.Mult(), right=ast.Name(id=name)) if name == target:
            return factor
    return None


class NumpyWriter(Writer):
    """``velocity *= self.momentum``, ``velocity -= rate * gradient``."""

    def add(self, target: str, sign: int, value: ast.expr) -> str:
        return f"{target} {'+' if sign > 0 else '-'}= {self.text(value)}"

    def assign(self, target: str, value: ast.expr) -> str:
        if isinstance(value, ast.Call):
            arguments = ", ".join(self.text(argument) for argument in value.args)
            return f"{self.text(value.func)}({arguments}, out={target})"
        (_, first), *rest = terms(value)
        factor = decayed(target, first)
        assert factor is not None, f"{target} has no in-place form"
        return "\n".join(
            [f"{target} *= {self.text(factor)}", *(self.add(target, s, term) for s, term in rest)]
        )


_UFUNCS: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
}
_SIGNS: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}


class InPlaceNumpyWriter(NumpyWriter):
    """``np.multiply(gradient, gradient, out=a)``, ``v += a``: every result goes to an array that is
    there, the state or one of ``TEMPORARIES``.
    """

    TEMPORARIES = ("a", "b", "c")

    def __init__(
        self, functions: Mapping[str, str], state: Collection[str], attributes: Collection[str]
    ) -> None:
        super().__init__(functions, state, attributes)
        self._lines: list[str] = []
        self._free: list[str] = []
        self._held: dict[str, str] = {}  # names that a formula gives to what a temporary holds

    def statement(self, source: str) -> str:
        self._lines = []
        self._free = [name for name in self.TEMPORARIES if name not in self._held.values()]
        statement = parse(source).body[0]
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            if name not in self.state:  # "gradient = gradient + weight_decay * parameter"
                self._held[name] = self._compute(statement.value)
                self.tensors.add(name)
                return "\n".join([*self._lines, f"{name} = {self._held[name]}"])
        last = super().statement(source)
        return "\n".join([*self._lines, last])

    def add(self, target: str, sign: int, value: ast.expr) -> str:
        return super().add(target, sign, ast.Name(self._compute(value)))

    def assign(self, target: str, value: ast.expr) -> str:
        if isinstance(value, ast.Call):
            arguments: list[ast.expr] = [ast.Name(self._compute(each)) for each in value.args]
            return super().assign(target, ast.Call(value.func, arguments, []))
        (_, first), *rest = terms(value)
        factor = decayed(target, first)
        assert factor is not None, f"{target} has no in-place form"
        self._lines.append(f"{target} *= {self.text(factor)}")
        for sign, term in rest[:-1]:
            self._lines.append(self.add(target, sign, term))
        sign, term = rest[-1]
        return self.add(target, sign, term)

    def _compute(self, node: ast.expr) -> str:
        """Appends the lines that compute ``node``; where its value is, or its text if a scalar."""
        if self.is_scalar(node) or isinstance(node, ast.Name):
            return self.text(node)
        if isinstance(node, ast.Call):
            values = [self._compute(each) for each in node.args]
            return self._store(f"{self.text(node.func)}({', '.join(values)}", values)
        assert isinstance(node, ast.BinOp), ast.unparse(node)
        # The side with more to do comes first: it needs more temporaries.
        sides = [node.left, node.right]
        order = (0, 1) if len(ast.dump(sides[0])) >= len(ast.dump(sides[1])) else (1, 0)
        texts = {place: self._compute(sides[place]) for place in order}
        values = [texts[0], texts[1]]
        if values[0] in self._temporaries():
            return self._change(values[0], node.op, values[1])
        if values[1] in self._temporaries() and isinstance(node.op, ast.Add | ast.Mult):
            return self._change(values[1], node.op, values[0])
        call = f"np.{_UFUNCS[type(node.op)]}({values[0]}, {values[1]}"
        return self._store(call, values)

    def _change(self, target: str, operator: ast.operator, value: str) -> str:
        self._lines.append(f"{target} {_SIGNS[type(operator)]}= {value}")
        self._release(value)
        return target

    def _store(self, call: str, values: list[str]) -> str:
        """Ends a call with the temporary that its result goes to."""
        target = next((each for each in values if each in self._temporaries()), "")
        target = target or self._free.pop(0)
        self._lines.append(f"{call}, out={target})")
        for each in values:
            if each != target:
                self._release(each)
        return target

    def _temporaries(self) -> set[str]:
        """Those that hold what nothing needs again."""
        return set(self.TEMPORARIES) - set(self._held.values())

    def _release(self, name: str) -> None:
        if name in self._temporaries() and name not in self._free:
            self._free.insert(0, name)


class TorchWriter(Writer):
    """``velocity.mul_(self.momentum).sub_(gradient, alpha=rate)``."""

    def add(self, target: str, sign: int, value: ast.expr) -> str:
        if len(terms(value)) == 1:
            return target + self._chained(target, sign, value)
        return target + "".join(self._chained(target, s, term) for s, term in terms(value, sign))

    def assign(self, target: str, value: ast.expr) -> str:
        if isinstance(value, ast.Call):
            arguments = ", ".join(self.text(argument) for argument in value.args)
            return f"{self.text(value.func)}({arguments}, out={target})"
        (_, first), *rest = terms(value)
        factor = decayed(target, first)
        assert factor is not None, f"{target} has no in-place form"
        chain = "".join(self._chained(target, sign, term) for sign, term in rest)
        return f"{target}.mul_({self.text(factor)}){chain}"

    def _chained(self, target: str, sign: int, term: ast.expr) -> str:
        """The method call that adds a term, its scalar factor as the keyword."""
        minus = "" if sign > 0 else "-"
        if isinstance(term, ast.BinOp) and isinstance(term.op, ast.Div):
            scale, over = self._split(term.left)
            value = f", value={minus}{scale}" if scale else ("" if sign > 0 else ", value=-1")
            return f".addcdiv_({over}, {self.text(term.right)}{value})"
        method = "add_" if sign > 0 else "sub_"
        if (
            isinstance(term, ast.BinOp)
            and isinstance(term.op, ast.Mult)
            and self.is_scalar(term.left)
        ):
            (_, first), *rest = terms(term.right)
            last = rest[-1] if rest else (1, first)
            if sign > 0 and len(rest) == 1 and last[0] < 0 and ast.unparse(last[1]) == target:
                return f".lerp_({self.text(first)}, {self.text(term.left)})"
            return f".{method}({self.text(term.right)}, alpha={self.text(term.left)})"
        return f".{method}({self.text(term)})"

    def _split(self, node: ast.expr) -> tuple[str, str]:
        """A product's scalar factor ('' if it has none) and its tensor factor."""
        if (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Mult)
            and self.is_scalar(node.left)
        ):
            return self.text(node.left), self.text(node.right)
        return "", self.text(node)


class TensorflowWriter(Writer):
    """``velocity.assign(self.momentum * velocity - rate * gradient)``."""

    def add(self, target: str, sign: int, value: ast.expr) -> str:
        return f"{target}.assign_{'add' if sign > 0 else 'sub'}({self.text(value)})"

    def assign(self, target: str, value: ast.expr) -> str:
        return f"{target}.assign({self.text(value)})"


class FunctionalWriter(Writer):
    """``velocity = self.momentum * velocity - rate * gradient``: names are bound to new arrays."""

    def add(self, target: str, sign: int, value: ast.expr) -> str:
        text = self.text(value)
        if sign < 0 and len(terms(value)) > 1:
            text = f"({text})"
        return f"{target} = {target} {'+' if sign > 0 else '-'} {text}"

    def assign(self, target: str, value: ast.expr) -> str:
        return f"{target} = {self.text(value)}"

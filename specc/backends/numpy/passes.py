"""What makes a NumPy program fast, as passes over the statements of its function.

Each keeps the meaning: the same operations on the same numbers, but fewer walks through memory.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import replace

from specc.backends.numpy.statements import Statement, last_uses

Statements = list[Statement]

# Kernels whose results are theirs alone: no other name refers to their memory.
_FRESH = frozenset(
    "added affine conv2d conv2d_input_gradient max_pool2d_gradient relu_gradient gelu_gradient "
    "gelu_tanh_gradient channel_norm_gradient last_axis_norm_gradient by_parts".split()
)
# Kernels whose results share no memory with what they read, as those of operators.
_APART = _FRESH | {"affine_kernel_gradient", "conv2d_kernel_gradient", "channel_sum"}
# Gradients that may be written over their first argument.
_IN_PLACE = (
    "relu_gradient",
    "gelu_gradient",
    "gelu_tanh_gradient",
    "channel_norm_gradient",
    "last_axis_norm_gradient",
)
# Element-wise functions of several steps.
_ELEMENT_WISE = frozenset(
    f"{name}{part}"
    for name in ("leaky_relu", "elu", "sigmoid", "silu", "tanh", "softplus")
    for part in ("", "_gradient")
)

# Normalizations whose axes are an argument, and the kernels for one case of it.
_NORMS = {
    "batch_norm": "channel_norm",
    "batch_norm_gradient": "channel_norm_gradient",
    "layer_norm": "last_axis_norm",
    "layer_norm_gradient": "last_axis_norm_gradient",
}


def use_kernels(statements: Sequence[Statement]) -> Statements:
    """Products with kernels, sums of arrays, normalizations of or along the last axis and
    element-wise functions of large arrays become calls that compute in reused memory.
    """
    return [
        each.computing(_Products(each).visit(each.value)) if each.value is not None else each
        for each in statements
    ]


class _Products(ast.NodeTransformer):
    def __init__(self, statement: Statement) -> None:
        self.rank = statement.rank  # of the result, 0 where it is not known
        self.large = bool(statement.large)

    def visit_Call(self, node: ast.Call) -> ast.expr:  # noqa: N802
        self.generic_visit(node)
        function = ast.unparse(node.func)
        if self.large and function in _ELEMENT_WISE and not node.keywords:
            return ast.Call(ast.Name("by_parts"), [node.func, *node.args], node.keywords)
        if function in _NORMS and self.rank:
            place = 4 if function.endswith("gradient") else 3
            axes, last = ast.literal_eval(node.args[place]), self.rank - 1
            if axes == ((last,) if function.startswith("layer") else tuple(range(last))):
                return _call(_NORMS[function], *node.args[:place], *node.args[place + 1 :])
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.op, ast.Add):
            both = isinstance(node.left, ast.Name) and isinstance(node.right, ast.Name)
            return _call("added", node.left, node.right) if both else node
        if not isinstance(node.op, ast.MatMult):
            return node
        if _is_parameter(node.right):
            return _call("affine", node.left, node.right)
        if isinstance(node.left, ast.Attribute) and node.left.attr == "T":
            return _call("affine_kernel_gradient", _rows(node.left.value), _rows(node.right))
        return node


def _call(function: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(function), list(arguments), [])


def _is_parameter(node: ast.expr) -> bool:
    """``p[...]`` or ``p[...].T``."""
    if isinstance(node, ast.Attribute) and node.attr == "T":
        node = node.value
    return isinstance(node, ast.Subscript) and ast.unparse(node.value) == "p"


def _rows(node: ast.expr) -> ast.expr:
    """``x`` for ``x.reshape(-1, x.shape[-1])``, which the kernel does by itself."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        source = ast.unparse(node.func.value)
        if ast.unparse(node) == f"{source}.reshape(-1, {source}.shape[-1])":
            return node.func.value
    return node


def fuse_epilogues(statements: Sequence[Statement]) -> Statements:
    """Bias and relu become the last steps of the product before them, while it is in the cache."""
    return [
        each.computing(_Epilogues().visit(each.value)) if each.value is not None else each
        for each in statements
    ]


class _Epilogues(ast.NodeTransformer):
    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:  # noqa: N802
        self.generic_visit(node)
        product = node.left
        if isinstance(node.op, ast.Add) and _is_parameter(node.right) and _is_product(product):
            return _with(product, "bias", node.right)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:  # noqa: N802
        self.generic_visit(node)
        if ast.unparse(node.func) == "relu" and _is_product(node.args[0]):
            return _with(node.args[0], "relu", ast.Constant(value=True))
        return node


def _is_product(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in ("affine", "conv2d")


def _with(call: ast.expr, name: str, value: ast.expr) -> ast.Call:
    assert isinstance(call, ast.Call)
    return ast.Call(call.func, call.args, [*call.keywords, ast.keyword(name, value)])


def move_relu_gradients(statements: Sequence[Statement]) -> Statements:
    """The gradient of a relu before a maximum pool is taken behind the pool, on fewer numbers.

    The gradient of the pool goes to elements that are equal to its result, so that both are
    positive or neither is.
    """
    found = list(statements)
    uses = last_uses(found)
    for index in range(len(found) - 1):
        pool, relu = found[index], found[index + 1]
        gradient, slope = pool.called("max_pool2d_gradient"), relu.called("relu_gradient")
        if gradient is None or slope is None:
            continue
        (dx,), (dy, x) = pool.targets, slope.args
        same = ast.unparse(dy) == dx and ast.unparse(x) == ast.unparse(gradient.args[0])
        if not same or uses[dx] != index + 1:
            continue
        below = ast.unparse(gradient.args[2])
        name = f"{below}_positive"
        moved = ast.Call(slope.func, [gradient.args[2], gradient.args[1]], [])
        found[index] = replace(pool, targets=(name,), comment="", large=()).computing(moved)
        arguments = [*gradient.args[:2], ast.Name(name), *gradient.args[3:]]
        found[index + 1] = relu.computing(ast.Call(gradient.func, arguments, gradient.keywords))
    return found


def work_in_place(statements: Sequence[Statement]) -> Statements:
    """Element-wise gradients and sums are written over an operand that nothing reads later."""
    found: Statements = []
    uses = last_uses(statements)
    fresh: set[str] = set()
    for index, each in enumerate(statements):
        call = each.called(*_IN_PLACE, "added")
        if call is not None:
            operands = call.args if each.called("added") is not None else call.args[:1]
            for name in map(ast.unparse, operands):
                if name in fresh and uses[name] == index:
                    each = each.computing(_with(call, "out", ast.Name(name)))
                    break
        own = _is_fresh(each, fresh, uses, index)
        if each.called(*_APART) is None and not isinstance(each.value, ast.BinOp):
            fresh -= each.reads  # the result may be a view of them
        if own:
            fresh.add(each.targets[0])
        found.append(each)
    return found


def _is_fresh(each: Statement, fresh: set[str], uses: dict[str, int], index: int) -> bool:
    """Whether the first result is an array that no other living name refers to."""
    if each.called(*_FRESH) is not None:
        return True
    node = each.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        name = ast.unparse(node.func.value)
        return node.func.attr == "reshape" and name in fresh and uses[name] == index
    return False


def give_back(statements: Sequence[Statement]) -> Statements:
    """Names of large arrays end where nothing reads them any more: their memory is used again."""
    uses = last_uses(statements)
    backward = [i for i, each in enumerate(statements) if "# Backward" in each.text]
    if not backward:
        return list(statements)
    ends: dict[int, dict[str, None]] = {}
    for each in statements:
        for name in each.large:
            ends.setdefault(max(uses[name], *backward), {})[name] = None
    found: Statements = []
    for index, each in enumerate(statements):
        found.append(each)
        if index in ends and not each.text.startswith("    return"):
            found.append(Statement(f"    del {', '.join(ends[index])}"))
    return found


Pass = Callable[[Sequence[Statement]], Statements]
PASSES: tuple[Pass, ...] = (
    use_kernels,
    fuse_epilogues,
    move_relu_gradients,
    work_in_place,
    give_back,
)

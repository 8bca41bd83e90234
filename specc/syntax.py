"""Python's parser, for one thread at a time.

Until Python 3.13 the interpreter counts the depth of the tree that it builds in one place for all
threads: two that parse at once can end in a SystemError.
"""

from __future__ import annotations

import ast
from threading import Lock
from typing import Any, Literal, overload

_LOCK = Lock()


@overload
def parse(source: str) -> ast.Module: ...
@overload
def parse(source: str, mode: Literal["eval"]) -> ast.Expression: ...
def parse(source: str, mode: str = "exec") -> ast.AST:
    """``ast.parse``: a Module, or an Expression with the mode "eval". Raises SyntaxError."""
    with _LOCK:
        return ast.parse(source, mode=mode)


def evaluate(text: str) -> Any:
    """``ast.literal_eval`` of a text. Raises ValueError for what is no literal, or SyntaxError."""
    return ast.literal_eval(parse(text, mode="eval"))

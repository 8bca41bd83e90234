"""Python's parser, for one thread at a time.

Until Python 3.13 the interpreter counts the depth of the tree that it builds in one place for all
threads: two that parse at once can end in a SystemError.
"""

from __future__ import annotations

import ast
from threading import Lock
from typing import Literal, overload

_LOCK = Lock()


@overload
def parse(source: str) -> ast.Module: ...
@overload
def parse(source: str, mode: Literal["eval"]) -> ast.Expression: ...
def parse(source: str, mode: str = "exec") -> ast.AST:
    """``ast.parse``: a Module, or an Expression with the mode "eval". Raises SyntaxError."""
    with _LOCK:
        return ast.parse(source, mode=mode)

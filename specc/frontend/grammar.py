"""The grammar file as a Lark parser, loaded once and lazily: many specs never need it."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

from specc.resources import cache_file, resource_path

if TYPE_CHECKING:
    from lark import Lark


@cache
def grammar() -> Lark:
    """The parser of the grammar. Its table is computed once and cached, for that takes longer than
    any spec."""
    from lark import Lark

    table = cache_file(f"grammar-{sys.version_info[0]}{sys.version_info[1]}.table")
    return Lark(
        resource_path("grammar", "specc.lark").read_text(encoding="utf-8"),
        parser="lalr",
        lexer="basic",
        start=["start", "expr"],
        propagate_positions=True,
        maybe_placeholders=True,
        cache=str(table) if table else False,
    )

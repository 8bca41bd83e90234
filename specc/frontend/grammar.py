"""The grammar file as a Lark parser, loaded once and lazily: many specs never need it."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from specc.resources import resource_path

if TYPE_CHECKING:
    from lark import Lark


def _cache_file() -> str | None:
    """Where the parse table is kept between runs: the user's own cache folder, if there is one."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(base) / "specc"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    mine = not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
    name = f"grammar-{sys.version_info[0]}{sys.version_info[1]}.table"
    return str(folder / name) if mine and os.access(folder, os.W_OK) else None


@cache
def grammar() -> Lark:
    """The parser of the grammar. Its table is computed once and cached, for that takes longer than
    any spec."""
    from lark import Lark

    return Lark(
        resource_path("grammar", "specc.lark").read_text(encoding="utf-8"),
        parser="lalr",
        lexer="basic",
        start=["start", "expr"],
        propagate_positions=True,
        maybe_placeholders=True,
        cache=_cache_file() or False,
    )

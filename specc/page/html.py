"""The page itself: markup, style, script and data in one file that asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from string import Template
from typing import Any

_ASSETS = Path(__file__).parent / "assets"
SCRIPTS = (
    "network",
    "layout",
    "drawing",
    "canvas",
    "highlight",
    "sources",
    "details",
    "search",
    "page",
)
"""The parts of the script in the order in which they stand; they share one scope."""


def html_page(data: Mapping[str, Any]) -> str:
    """The page for the data of ``page_data``.

    Nothing in the data can become markup or script. It stands in a block of JSON without a single
    ``<``, the script puts it into the page as text, and the policy of the page lets run only the
    style and script that are named by their digests.
    """
    style = _asset("page.css")
    script = "\n".join(['"use strict";', *(_asset(f"{name}.js") for name in SCRIPTS)])
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template(_asset("page.html")).substitute(
        policy=policy,
        title=escape(str(data["title"])),
        style=style,
        script=script,
        data=_json(data),
    )


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8").strip("\n")


def _digest(text: str) -> str:
    """How a policy names an inline style or script: the digest of exactly what is in its tags."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _json(data: Mapping[str, Any]) -> str:
    """JSON that no HTML parser finds anything in."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text

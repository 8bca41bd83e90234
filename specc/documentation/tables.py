"""Pieces of Markdown that several pages are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from specc.ir.graph import Configured
from specc.ops.attributes import Attribute


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table and an empty one; nothing where there are no rows."""
    listed = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    if not listed:
        return []
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *listed, ""]


def attribute_table(attributes: Iterable[Attribute]) -> list[str]:
    """What a layer or another choice takes, in positional order."""
    rows = [(f"`{a.name}`", a.kind.wants(), default(a), a.doc) for a in attributes]
    return table(("attribute", "value", "default", "meaning"), rows)


def default(attribute: Attribute) -> str:
    """The default as YAML, both where the conventions differ."""
    if attribute.required:
        return "required"
    keras, pytorch = (yaml(attribute.default_for(each)) for each in ("keras", "pytorch"))
    return f"`{keras}`" if keras == pytorch else f"keras: `{keras}`, pytorch: `{pytorch}`"


def yaml(value: Any) -> str:
    """A plain value as a spec writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(yaml, value))}]"
    if isinstance(value, Configured):
        return f"{value.kind}: {yaml(value.attributes)}" if value.attributes else value.kind
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {yaml(each)}' for key, each in value.items())}}}"
    return "null" if value is None else str(value)


def code(text: str, tag: str = "") -> list[str]:
    """The lines of a fenced block and an empty one."""
    return [f"```{tag}", text.rstrip(), "```", ""]


def markdown(doc: str) -> str:
    """A docstring as Markdown."""
    return doc.replace("``", "`")


def first_sentence(doc: str) -> str:
    """The first sentence of a docstring, on one line."""
    return markdown(doc).split("\n\n")[0].replace("\n", " ").split(". ")[0].rstrip(".")

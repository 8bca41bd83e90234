"""A located tree as YAML: short values on one line, everything with comments or without room in
blocks."""

from __future__ import annotations

import re
from dataclasses import replace

from specc.frontend.expression_text import quote, to_text
from specc.frontend.expressions import Expression, Name
from specc.frontend.tree import Comments, Mapping, Scalar, Sequence, Tree, has_comments
from specc.frontend.yaml_reader import resolve

WIDTH = 110
"""Lines are kept within so many columns where a value can be broken."""

_BLOCKS = frozenset({"blocks", "layers", "training", "data"})
_SPACED = frozenset(
    {"includes", "parameters", "inputs", "blocks", "shared", "layers", "training", "data"}
)
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*")
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def to_yaml(tree: Mapping) -> str:
    """The tree as YAML text that ``read_yaml`` reads back to an equal tree."""
    lines = [] if tree.entries else ["{}"]
    for position, (key, value) in enumerate(tree.entries):
        if position and key.value in _SPACED:
            lines.append("")
        lines += _entry(key, value, 0, top=True)
    lines += [_comment(text) for text in tree.comments.end]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> str:
    return f"# {text}".rstrip()


def _with_comments(lines: list[str], comments: Comments) -> list[str]:
    """The lines of a node below its comment lines, its own comment at the end of the first."""
    first = f"{lines[0]}  {_comment(comments.after)}" if comments.after else lines[0]
    return [*map(_comment, comments.before), first, *lines[1:]]


def _entry(key: Scalar, value: Tree, indent: int, top: bool = False) -> list[str]:
    name = key_text(str(key.value))
    forced = key.value == "layers" or (top and key.value in _BLOCKS)
    room = WIDTH - indent - len(name) - 2
    flow = None if forced or has_comments(value) else flow_text(value)
    if flow is None and isinstance(value, Scalar):
        flow = scalar_text(value)
    if flow is not None and (len(flow) <= room or isinstance(value, Scalar)) or _is_empty(value):
        return _with_comments([f"{name}: {flow or flow_text(value)}"], key.comments)
    body = [f"  {line}" if line else line for line in _block(value, indent + 2, name)]
    return _with_comments([f"{name}:", *body], key.comments)


def _is_empty(tree: Tree) -> bool:
    return not isinstance(tree, Scalar) and not (
        tree.entries if isinstance(tree, Mapping) else tree.items
    )


def _block(tree: Tree, indent: int, name: str = "") -> list[str]:
    """The lines of a mapping or list in block style."""
    if isinstance(tree, Scalar):
        return [scalar_text(tree)]
    if isinstance(tree, Mapping):
        return [
            line for key, value in tree.entries for line in _block_entry(key, value, indent, name)
        ]
    return [line for item in tree.items for line in _item(item, indent)]


def _block_entry(key: Scalar, value: Tree, indent: int, parent: str) -> list[str]:
    if parent == "blocks" and isinstance(value, Mapping) and value.entries:
        body = [f"  {line}" for line in _block(value, indent + 2)]
        return _with_comments([f"{key_text(str(key.value))}:", *body], key.comments)
    return _entry(key, value, indent)


def _item(item: Tree, indent: int) -> list[str]:
    item = _with_its_comments(item)
    comments = item.comments
    flow = None if _has_inner_comments(item) else flow_text(item)
    fits = flow is not None and len(flow) <= WIDTH - indent - 2
    if isinstance(item, Scalar) or _is_empty(item) or (fits and not _single_block(item)):
        return _with_comments([f"- {flow if flow is not None else flow_text(item)}"], comments)
    body = _block(item, indent + 2)
    return _with_comments([f"- {body[0]}", *(f"  {line}" for line in body[1:])], comments)


def _with_its_comments(item: Tree) -> Tree:
    """The item with the comments of its first key, which stands where the item starts."""
    if not isinstance(item, Mapping) or not item.entries or not item.entries[0][0].comments:
        return item
    (key, value), *others = item.entries
    own, inner = item.comments, key.comments
    between = (inner.after,) if own.after and inner.after else ()
    comments = Comments(
        (*own.before, *inner.before, *between), own.after or inner.after, (*inner.end, *own.end)
    )
    bare = replace(key, comments=Comments())
    return replace(item, entries=((bare, value), *others), comments=comments)


def _single_block(item: Tree) -> bool:
    """``- dense: {units: 10}`` rather than ``- {dense: {units: 10}}``."""
    return isinstance(item, Mapping) and len(item.entries) == 1


def _has_inner_comments(item: Tree) -> bool:
    if isinstance(item, Scalar):
        return False
    if isinstance(item, Sequence):
        return any(map(has_comments, item.items))
    return any(key.comments or has_comments(value) for key, value in item.entries)


def flow_text(tree: Tree) -> str:
    """The tree on one line."""
    if isinstance(tree, Scalar):
        return scalar_text(tree)
    if isinstance(tree, Sequence):
        return f"[{', '.join(map(flow_text, tree.items))}]"
    pairs = (f"{key_text(str(key.value))}: {flow_text(value)}" for key, value in tree.entries)
    return f"{{{', '.join(pairs)}}}"


def key_text(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) else quote(key)


def scalar_text(scalar: Scalar) -> str:
    """A scalar as YAML reads it back: quoted where it would be a number, a word of YAML or an
    expression."""
    value = scalar.value
    match value:
        case None:
            return "~"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            text = repr(value)
            return text.replace("inf", ".inf").replace("nan", ".nan")
        case Name(name=name):
            return f"${name}"
        case Expression():
            # Within an expression, '${' can only stand in a text.
            inner = to_text(value).replace("${", "\\u0024{")
            return _quoted_expression(f"${{{inner}}}")
        case str():
            return _text(value)
    raise TypeError(f"not a scalar: {value!r}")


def _quoted_expression(text: str) -> str:
    if '"' in text or "\\" in text:
        return "'" + text.replace("'", "''") + "'"
    return f'"{text}"'


def _text(value: str) -> str:
    if _PLAIN.fullmatch(value) and isinstance(resolve(value), str):
        return value
    return quote(value.replace("$", "$$"))

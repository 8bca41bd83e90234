"""Reads prelude files as text and copies definitions by name, with all they refer to.

A prelude is ordinary Python that the compiler never imports. Lines that end with ``#: feature``
are kept only when
the program has that feature.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_MARKER = re.compile(r"^(?P<code>.*?)\s+#: (?P<feature>\w+)$")


@dataclass(frozen=True)
class Definition:
    """A top-level definition: its text, its place in the prelude, and the names that it reads."""

    name: str
    text: str
    section: str
    order: int


@dataclass(frozen=True)
class Prelude:
    """Definitions by name, and the import statement that brings each imported name."""

    definitions: dict[str, Definition]
    imports: dict[str, str]

    def collect(self, names: Iterable[str], features: Collection[str]) -> list[Definition]:
        """The definitions of ``names`` and of all they use, in the order of the prelude."""
        found: dict[str, Definition] = {}
        waiting = [name for name in names if name in self.definitions]
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            source = self.definitions[name]
            text = without_annotations(select(source.text, features))
            found[name] = Definition(name, text, source.section, source.order)
            waiting += [used for used in names_in(text) if used in self.definitions]
        return sorted(found.values(), key=lambda definition: definition.order)


def select(text: str, features: Collection[str]) -> str:
    """The text with the lines of absent features left out and the markers taken off."""
    lines = []
    for line in text.split("\n"):
        match = _MARKER.match(line)
        if match is None:
            lines.append(line)
        elif match["feature"] in features:
            lines.append(match["code"])
    return "\n".join(lines)


@cache
def read_prelude(files: tuple[tuple[Path, str], ...]) -> Prelude:
    """The prelude of (file, section) pairs."""
    definitions: dict[str, Definition] = {}
    imports: dict[str, str] = {}
    for path, section in files:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        lines = text.split("\n")
        for node in tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                imports.update(_imported(node))
                continue
            for name in _defined(node):
                start = _first_line(node, lines)
                body = "\n".join(lines[start : node.end_lineno])
                definitions[name] = Definition(name, body, section, len(definitions))
    return Prelude(definitions, imports)


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """Imports by name. What comes from specc or the prelude's own package is copied instead."""
    root = (getattr(node, "module", None) or "").partition(".")[0]
    if isinstance(node, ast.ImportFrom) and (node.level or root == "specc"):
        return
    for alias in node.names:
        renamed = f" as {alias.asname}" if alias.asname else ""
        if isinstance(node, ast.ImportFrom):
            text = f"from {node.module} import {alias.name}{renamed}"
        else:
            text = f"import {alias.name}{renamed}"
        yield alias.asname or alias.name.partition(".")[0], text


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
        return [node.target.id]
    if isinstance(node, ast.If):  # the guard of the command line
        return ["__main__"]
    return []


def _first_line(node: ast.stmt, lines: list[str]) -> int:
    """Index of the first line of a definition: decorators and the comment right above belong to
    it.
    """
    decorators = getattr(node, "decorator_list", [])
    start: int = min([node.lineno, *(each.lineno for each in decorators)]) - 1
    while start and lines[start - 1].startswith("#"):
        start -= 1
    return start


def without_annotations(text: str) -> str:
    """A definition without the type annotations of its arguments and results, which readers do not
    need.
    """
    cuts: list[tuple[int, int]] = []
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line.encode()))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            arguments += [each for each in (node.args.vararg, node.args.kwarg) if each is not None]
            for each in arguments:
                if each.annotation is not None and each.annotation.end_lineno is not None:
                    start = starts[each.lineno - 1] + each.col_offset + len(each.arg.encode())
                    end = starts[each.annotation.end_lineno - 1] + (
                        each.annotation.end_col_offset or 0
                    )
                    cuts.append((start, end))
            if node.returns is not None and node.returns.end_lineno is not None:
                end = starts[node.returns.end_lineno - 1] + (node.returns.end_col_offset or 0)
                start = starts[node.returns.lineno - 1] + node.returns.col_offset
                cuts.append((text.encode().rindex(b"->", 0, start), end))
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            start = starts[(node.target.end_lineno or 1) - 1] + (node.target.end_col_offset or 0)
            end = starts[(node.annotation.end_lineno or 1) - 1] + (
                node.annotation.end_col_offset or 0
            )
            cuts.append((start, end))
    data = text.encode()
    for start, end in sorted(cuts, reverse=True):
        data = data[:start] + data[end:]
    return data.decode()


def names_in(text: str) -> set[str]:
    """Every identifier that a piece of source reads, also in the strings of annotations."""
    return {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}


def import_lines(prelude: Prelude, text: str, extra: dict[str, str]) -> str:
    """The import statements that ``text`` needs, in groups: standard library, then packages."""
    table = {**prelude.imports, **extra}
    needed = {table[name] for name in names_in(text) if name in table}
    merged: dict[str, list[str]] = {}
    plain: list[str] = []
    for line in needed:
        match = re.match(r"from (\S+) import (\w+)$", line)
        if match:
            merged.setdefault(match[1], []).append(match[2])
        else:
            plain.append(line)
    lines = plain + [
        f"from {module} import {', '.join(sorted(names, key=_import_order))}"
        for module, names in merged.items()
    ]
    import sys

    groups: tuple[list[str], list[str]] = ([], [])
    for line in sorted(lines, key=lambda each: (each.startswith("from"), each.split()[1], each)):
        standard = line.split()[1].partition(".")[0] in sys.stdlib_module_names
        groups[0 if standard else 1].append(line)
    return "\n\n".join("\n".join(group) for group in groups if group)


def _import_order(name: str) -> tuple[int, str]:
    """Constants, classes, then functions, as isort orders the members of an import."""
    plain = name.partition(" ")[0]
    return (0 if plain.isupper() and len(plain) > 1 else 1 if plain[:1].isupper() else 2, plain)

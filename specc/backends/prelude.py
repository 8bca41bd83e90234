"""Reads prelude files as text and copies definitions by name, with all they refer to.

A prelude is ordinary Python that the compiler never imports. Lines that end with ``#: feature`` are
kept only when the program has that feature. What a prelude defines is found once and kept in the
user's cache folder, since to parse it takes longer than to compile a spec.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import hashlib
import json
import re
import symtable
from collections.abc import Collection, Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path

from specc.atomic import replacing
from specc.records import dataclass
from specc.resources import cache_file
from specc.syntax import parse
from specc.tracing import phase

_MARKER = re.compile(r"^(?P<code>.*?)\s+#: (?P<feature>\w+)$")
# Lines that may have an annotation: a text without any need not be parsed.
_ANNOTATED = re.compile(r"^ *(?:def .*(?:->|: )|[\w.]+: )", re.MULTILINE)


@dataclass(frozen=True)
class Definition:
    """A top-level definition: its text without annotations, and its place in the prelude.

    ``names`` are those that it reads, by the feature of their line; ``""`` is for all programs.
    """

    name: str
    text: str
    section: str
    order: int
    names: dict[str, list[str]]

    @property
    def uses(self) -> set[str]:
        """All names that it reads."""
        return {name for names in self.names.values() for name in names}


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
            used = {f: names for f, names in source.names.items() if not f or f in features}
            text = select(source.text, features)
            found[name] = dataclasses.replace(source, text=text, names=used)
            waiting += [n for names in used.values() for n in names if n in self.definitions]
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
    with phase("prelude"):
        return _found(files)


def _found(files: tuple[tuple[Path, str], ...]) -> Prelude:
    texts = [path.read_text(encoding="utf-8") for path, _ in files]
    sections = [section for _, section in files]
    # This file says how preludes are read: what another version of it has kept is of no use.
    parts = [*sections, *texts, Path(__file__).read_text(encoding="utf-8")]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    place = hashlib.sha256(repr(files).encode()).hexdigest()
    kept = cache_file(f"prelude-{place[:12]}.json")
    prelude = _kept(kept, digest) if kept else None
    if prelude is None:
        prelude = _read(texts, sections)
        if kept is not None:
            _keep(kept, digest, prelude)
    return prelude


def _kept(file: Path, digest: str) -> Prelude | None:
    """The prelude of that digest, if the cache has it."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # there is none yet, or it was cut short
        return None
    if not isinstance(found, dict) or found.get("digest") != digest:
        return None
    definitions = {row[0]: Definition(*row) for row in found["definitions"]}
    return Prelude(definitions, found["imports"])


def _keep(file: Path, digest: str, prelude: Prelude) -> None:
    rows = [dataclasses.astuple(each) for each in prelude.definitions.values()]
    text = json.dumps({"digest": digest, "definitions": rows, "imports": prelude.imports})
    # A full disk makes the next build slower, not wrong.
    with contextlib.suppress(OSError), replacing(file) as stream:
        stream.write(text.encode())


def _read(texts: Iterable[str], sections: Iterable[str]) -> Prelude:
    definitions: dict[str, Definition] = {}
    imports: dict[str, str] = {}
    for text, section in zip(texts, sections, strict=True):
        lines = text.split("\n")
        for node in parse(text).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                imports.update(_imported(node))
                continue
            first = _first_line(node, lines)
            for name in _defined(node):
                body = _cut(lines[first : node.end_lineno], first, node)
                definitions[name] = Definition(
                    name, body, section, len(definitions), _names(node, lines)
                )
    return Prelude(definitions, imports)


def _names(node: ast.stmt, lines: list[str]) -> dict[str, list[str]]:
    """The names that a definition reads, by the feature of their line; not those of annotations."""
    annotations = {id(each) for each, _ in _annotations(node)}
    found: dict[str, set[str]] = {}
    waiting: list[ast.AST] = [node]
    while waiting:
        each = waiting.pop()
        if id(each) in annotations:
            continue
        waiting += ast.iter_child_nodes(each)
        if isinstance(each, ast.Name):
            marker = _MARKER.match(lines[each.lineno - 1])
            found.setdefault(marker["feature"] if marker else "", set()).add(each.id)
    return {feature: sorted(names) for feature, names in found.items()}


def _annotations(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr | ast.arg | None]]:
    """Annotations that readers do not need, each with what it stands behind (None: a function)."""
    for each in ast.walk(node):
        if isinstance(each, ast.arg) and each.annotation is not None:
            yield each.annotation, each
        elif isinstance(each, ast.FunctionDef) and each.returns is not None:
            yield each.returns, None
        elif isinstance(each, ast.AnnAssign) and each.value is not None:
            yield each.annotation, each.target


def _cut(lines: list[str], above: int, node: ast.AST) -> str:
    """The lines, of which so many stand above, without the annotations of their syntax tree."""
    data = "\n".join(lines).encode()
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.encode()) + 1)
    cuts: list[tuple[int, int]] = []
    for annotation, behind in _annotations(node):
        end = starts[(annotation.end_lineno or 1) - 1 - above] + (annotation.end_col_offset or 0)
        if behind is None:
            start = starts[annotation.lineno - 1 - above] + annotation.col_offset
            start = len(data[: data.rindex(b"->", 0, start)].rstrip())
        elif isinstance(behind, ast.arg):
            start = starts[behind.lineno - 1 - above] + behind.col_offset + len(behind.arg.encode())
        else:
            start = starts[(behind.end_lineno or 1) - 1 - above] + (behind.end_col_offset or 0)
        cuts.append((start, end))
    for start, end in sorted(cuts, reverse=True):
        data = data[:start] + data[end:]
    return data.decode()


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
    """Emitted source without the type annotations of its arguments and results, which readers do
    not need.
    """
    return _cut(text.split("\n"), 0, parse(text)) if _ANNOTATED.search(text) else text


@lru_cache(256)
def names_in(text: str) -> frozenset[str]:
    """Every identifier that a piece of source reads."""
    found: set[str] = set()
    waiting = [symtable.symtable(text, "emitted", "exec")]
    while waiting:
        scope = waiting.pop()
        found |= {each.get_name() for each in scope.get_symbols() if each.is_referenced()}
        waiting += scope.get_children()
    return frozenset(found)


def import_lines(prelude: Prelude, names: Iterable[str], extra: dict[str, str]) -> str:
    """The import statements that ``names`` need, in groups: standard library, then packages."""
    table = {**prelude.imports, **extra}
    needed = {table[name] for name in names if name in table}
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

"""Writes ``initial_parameters`` of a generated file: a table of paths, shapes and initializers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from specc.ir.graph import Parameter
from specc.training.initializers import INITIALIZERS

INDICES = "ijklmn"


class Entry(NamedTuple):
    """A line of the table; the index of a loop around it stands in the path as ``{i}``."""

    path: tuple[str, ...]
    shape: tuple[int, ...]
    draw: str

    def at(self, depth: int, part: str) -> Entry:
        """The entry with another part of its path."""
        return self._replace(path=(*self.path[:depth], part, *self.path[depth + 1 :]))


class Loop(NamedTuple):
    """Lines that are the same for each index in range(start, stop)."""

    variable: str
    start: int
    stop: int
    body: list[Entry | Loop]


def emit_initial_parameters(parameters: Iterable[tuple[str, Parameter]]) -> tuple[str, set[str]]:
    """The source of ``initial_parameters(seed)`` and the names of the prelude that it uses.

    Layers that differ in one number of their paths only, as a repeat's do, share lines in a loop.
    """
    entries: list[Entry] = []
    names = {"stream_key"}
    for path, parameter in parameters:
        row = INITIALIZERS[parameter.initializer.kind]
        choice = (parameter.initializer.attributes, parameter.fan_in, parameter.fan_out)
        names.add(row.call(*choice)[0])
        draw = row.source(*choice)
        if parameter.zero_row is not None:
            names.add("with_zero_row")
            draw = f"with_zero_row({draw}, {parameter.zero_row})"
        entries.append(Entry(tuple(path.split(".")), parameter.shape, draw))
    lines = [
        "def initial_parameters(seed: int = SEED) -> dict[str, np.ndarray]:",
        '"""Float64 values at the start: each tensor derives from (seed, path, shape) alone."""',
        "table = []",
        *_lines(fold(entries)),
        "return {",
        '    path: draw(stream_key(seed, f"initial/{path}"), shape)',
        "    for path, shape, draw in table",
        "}",
    ]
    text = "\n    ".join(lines) + "\n"
    return text.replace("table = []\n    table += [", "table = [", 1), names


def fold(entries: Sequence[Entry], depth: int = 0, indices: str = INDICES) -> list[Entry | Loop]:
    """The entries in order, with neighbours that differ only by counting up in a path as loops."""
    folded: list[Entry | Loop] = []
    groups = [(part, list(group)) for part, group in groupby(entries, lambda e: e.path[depth])]
    while groups:
        part, body = groups[0]
        times = _iterations(groups, depth) if part.isdecimal() and indices else 1
        if times > 1:
            inside = [entry.at(depth, f"{{{indices[0]}}}") for entry in body]
            loop = fold(inside, depth + 1, indices[1:])
            folded.append(Loop(indices[0], int(part), int(part) + times, loop))
        elif any(len(entry.path) == depth + 1 for entry in body):
            folded += body
        else:
            folded += fold(body, depth + 1, indices)
        groups = groups[times:]
    return folded


def _iterations(groups: Sequence[tuple[str, list[Entry]]], depth: int) -> int:
    """How many groups from the first on are the same but for the number at ``depth``."""
    first, body = groups[0]
    times = 1
    for part, group in groups[1:]:
        if part != str(int(first) + times) or [entry.at(depth, first) for entry in group] != body:
            break
        times += 1
    return times


def _lines(items: Sequence[Entry | Loop], indent: str = "") -> list[str]:
    """The statements that append the items to ``table``."""
    lines: list[str] = []
    rows: list[str] = []
    for position, item in enumerate(items):
        if isinstance(item, Loop):
            bounds = f"{item.start}, {item.stop}" if item.start else f"{item.stop}"
            lines.append(f"{indent}for {item.variable} in range({bounds}):")
            lines += _lines(item.body, indent + "    ")
            continue
        rows.append(f"{indent}    ({_path(item)}, {item.shape!r}, {item.draw}),")
        if isinstance(items[position + 1] if position + 1 < len(items) else None, Entry):
            continue
        lines += [f"{indent}table += [", *rows, f"{indent}]"]
        rows = []
    return lines


def _path(entry: Entry) -> str:
    """The path as a literal, an f-string where an index of a loop stands in it."""
    text = repr(".".join(entry.path))
    return f"f{text}" if "{" in text else text

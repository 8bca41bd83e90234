"""Writing Python: names that clash with nothing, expressions from templates, and formatted text.

Nothing from a spec reaches a source as raw text: names are mangled, values are written with
``repr``.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import re
import subprocess
import sys
import sysconfig
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from specc.ir.graph import Value
from specc.syntax import parse
from specc.tracing import phase

LINE_LENGTH = 100
# The project's own settings, so that generated files pass its checks wherever they lie.
FORMAT = (f"--line-length={LINE_LENGTH}", "--config=format.skip-magic-trailing-comma=true")
_FIELD = re.compile(r"\{(\w+)\}")
_NAME = re.compile(r"[A-Za-z_][\w.]*")
_PLACE = re.compile(r"Δ\w+")  # stands for a name while a template is parsed; specs are ASCII
_TAKEN = frozenset(keyword.kwlist) | frozenset(dir(builtins)) | {"self", "match", "case", "type"}
_TAKEN |= {"l", "I", "O"}  # which many fonts show as a digit


class Names:
    """Identifiers of one scope: one per value, none of them reserved."""

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._taken = set(_TAKEN | set(reserved))
        self._names: dict[int, str] = {}
        self._counts: dict[str, int] = {}  # the number that a name has ended with so far
        self._values: list[Value] = []  # keeps the ids above alive

    def of(self, value: Value) -> str:
        """The identifier of a value; internal ones are called by the last part of their name."""
        if id(value) not in self._names:
            last = value.name.rpartition(".")[2] if value.internal else value.name
            self._names[id(value)] = self.fresh(last)
            self._values.append(value)
        return self._names[id(value)]

    def fresh(self, wanted: str) -> str:
        """An identifier near ``wanted`` that is not taken."""
        base = re.sub(r"\W", "_", wanted) or "value"
        if base[0].isdigit():
            base = f"_{base}"
        name, count = base, self._counts.get(base, 0)
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._counts[base] = count
        self._taken.add(name)
        return name

    def alias(self, value: Value, name: str) -> None:
        """Lets ``value`` be called by a name that already exists."""
        self._names[id(value)] = name
        self._values.append(value)


def render(template: str, fields: Mapping[str, str]) -> str:
    """The template as an expression, with parentheses where they matter."""
    # Names never need any, so that a template is parsed once for all the names that it is used on.
    names: dict[str, str] = {}

    def insert(match: re.Match[str]) -> str:
        text = fields[match[1]]
        if _NAME.fullmatch(text) is None:
            return f"({text})"
        names[f"Δ{match[1]}"] = text
        return f"Δ{match[1]}"

    text = _written(_FIELD.sub(insert, template))
    return _PLACE.sub(lambda match: names[match[0]], text) if names else text


@cache
def _written(expression: str) -> str:
    return ast.unparse(parse(expression, mode="eval"))


def fields_of(template: str) -> set[str]:
    return set(_FIELD.findall(template))


def literal(value: Any) -> str:
    """A Python literal. Lists and tuples of plain values only."""
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return f'float("{value}")'
    return repr(value)


def words(names: Sequence[str]) -> str:
    """Names in one string, for ``split()``; a long one in several literals."""
    lines = textwrap.wrap(" ".join(names), 80, break_long_words=False, break_on_hyphens=False)
    return " ".join(literal(f"{line} ") for line in lines[:-1]) + "".join(map(literal, lines[-1:]))


def class_name(name: str, taken: Collection[str] = ()) -> str:
    """``mnist_cnn`` as ``MnistCnn``, or ``MnistCnn2`` where that is taken."""
    camel = "".join(part[:1].upper() + part[1:] for part in name.split("_") if part)
    wanted = found = camel if camel[:1].isalpha() else f"Net{camel}"
    count = 1
    while found in _TAKEN or found in taken:
        count += 1
        found = f"{wanted}{count}"
    return found


def mangle(name: str, reserved: frozenset[str]) -> str:
    """An attribute name for a path's part; a trailing underscore, which can be taken off again,
    where it clashes.
    """
    if name in reserved or keyword.iskeyword(name) or name.endswith("_") or name.startswith("_"):
        return f"{name}_"
    return name


def format_source(text: str) -> str:
    """The text as ``ruff format`` writes it."""
    with phase("format"):
        result = subprocess.run(
            [_ruff(), "format", "--isolated", *FORMAT, "--stdin-filename=x.py", "-"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
    if result.returncode:
        raise RuntimeError(f"generated text does not parse: {result.stderr}\n{text}")
    return result.stdout


def _ruff() -> str:
    """The formatter's program, which pip puts beside the interpreter."""
    for folder in (sysconfig.get_path("scripts"), Path(sys.executable).parent):
        path = Path(folder) / ("ruff.exe" if sys.platform == "win32" else "ruff")
        if path.exists():
            return str(path)
    return "ruff"

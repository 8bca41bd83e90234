"""The body of a generated function as statements, which the NumPy passes rewrite."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import cached_property

from specc.records import dataclass
from specc.syntax import parse

_ASSIGNMENT = re.compile(
    r"^(?P<indent> +)(?P<targets>[^=#()]+?) = (?P<value>.+?)(?P<comment>  # .*)?$"
)


@dataclass(frozen=True)
class Statement:
    """One line. An assignment has ``targets`` and a ``value``; any other line is its text alone."""

    text: str
    indent: str = ""
    targets: tuple[str, ...] = ()
    value: ast.expr | None = None
    comment: str = ""
    large: tuple[str, ...] = ()  # the targets whose memory is worth giving back

    @cached_property
    def reads(self) -> frozenset[str]:
        """The names that the line reads. Of a line that is no assignment they are all words, those
        in strings as record() finds them: stage_0_conv for "stage.0.conv".
        """
        if self.value is None:
            words = re.findall(r"[^\s\"'(){},]+", self.text.partition("#")[0])
            return frozenset(re.sub(r"\W", "_", word) for word in words)
        return frozenset(n.id for n in ast.walk(self.value) if isinstance(n, ast.Name))

    @property
    def rank(self) -> int:
        """The number of axes of the first result, by the comment; 0 where it has none."""
        return self.comment.count(",") + 1 if self.comment.startswith("  # (batch, ") else 0

    def computing(self, value: ast.expr) -> Statement:
        """The same assignment of another value."""
        text = f"{self.indent}{', '.join(self.targets)} = {ast.unparse(value)}{self.comment}"
        return replace(self, text=text, value=value)

    def called(self, *names: str) -> ast.Call | None:
        """The value, if it is a call of one of these functions."""
        call = self.value
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in names:
            return call
        return None


def read_statements(lines: Iterable[str], large: Collection[str]) -> list[Statement]:
    """The statements of a function's body, one per line; ``large`` are names of large arrays."""
    found = []
    for line in lines:
        match = _ASSIGNMENT.match(line)
        if match is None:
            found.append(Statement(line))
            continue
        value = parse(match["value"], mode="eval").body
        targets = tuple(part.strip() for part in match["targets"].split(","))
        comment = match["comment"] or ""
        kept = tuple(name for name in targets if name in large)
        found.append(Statement(line, match["indent"], targets, value, comment, kept))
    return found


def last_uses(statements: Sequence[Statement]) -> dict[str, int]:
    """{name: index of the last statement that reads or sets it}."""
    found: dict[str, int] = {}
    for index, statement in enumerate(statements):
        for name in (*statement.reads, *statement.targets):
            found[name] = index
    return found

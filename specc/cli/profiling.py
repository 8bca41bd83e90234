"""``--profile``: where compile time goes, as a table or as a trace for a viewer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from specc.cli.files import write_text
from specc.cli.terminal import console

if TYPE_CHECKING:
    from specc.tracing import Phase

_TABLE = Path()  # stands for no file: a table on standard error


class ProfiledCommand(click.Command):
    """A command whose ``--profile`` may have a file behind it, and takes nothing else for one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        following = [*args[1:], ""][: len(args)]
        written = [
            "--profile=" if each == "--profile" and not after.endswith(".json") else each
            for each, after in zip(args, following, strict=True)
        ]
        return super().parse_args(ctx, written)


def profile_option(run: Callable[..., None]) -> Callable[..., None]:
    """Adds ``--profile`` to a command of the class ProfiledCommand."""

    @wraps(run)
    def profiled(*args: Any, profile: Path | None, **named: Any) -> None:
        if profile is None:
            run(*args, **named)
            return
        from specc.tracing import recording

        try:
            with recording() as root:
                run(*args, **named)
        finally:
            _show(root, profile)

    return click.option(
        "--profile",
        type=click.Path(path_type=Path),
        metavar="[FILE.json]",
        help="Say where the time goes: a table on standard error, or a trace for "
        "chrome://tracing or ui.perfetto.dev.",
    )(profiled)


def _show(root: Phase, profile: Path) -> None:
    if profile != _TABLE:
        import json

        from specc.tracing import chrome_trace

        write_text(profile, json.dumps(chrome_trace(root)) + "\n")
        return
    from rich.table import Table

    table = Table(box=None, header_style="dim")
    for title in ("phase", "times", "ms", "own ms", "share"):
        table.add_column(title, justify="left" if title == "phase" else "right")
    for row in _rows([root]):
        table.add_row(
            "  " * row.depth + row.name,
            str(row.times),
            f"{row.seconds * 1e3:.1f}",
            f"{row.own * 1e3:.1f}",
            f"{row.seconds / root.seconds:.0%}",
        )
    console(stderr=True).print(table)


@dataclass
class _Row:
    """Phases of one name in one place, added up; ``own`` is what their inner phases leave."""

    name: str
    depth: int
    times: int = 0
    seconds: float = 0.0
    own: float = 0.0
    inner: list[Phase] = field(default_factory=list)


def _rows(phases: list[Phase], depth: int = 0) -> Iterator[_Row]:
    rows: dict[str, _Row] = {}
    for phase in phases:
        row = rows.setdefault(phase.name, _Row(phase.name, depth))
        row.times += 1
        row.seconds += phase.seconds
        row.own += phase.seconds - sum(each.seconds for each in phase.phases)
        row.inner += phase.phases
    for row in rows.values():
        yield row
        yield from _rows(row.inner, depth + 1)

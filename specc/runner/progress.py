"""Progress on the terminal: one bar per backend, with the loss and the metrics beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column


def _progress() -> Progress:
    # On standard error, so that what a program reads from standard output stays clean.
    return Progress(
        TextColumn("[bold]{task.description}", table_column=Column(no_wrap=True, min_width=10)),
        BarColumn(bar_width=16),
        TaskProgressColumn(table_column=Column(no_wrap=True, min_width=4)),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        # A narrow terminal cuts the figures, and not the names.
        TextColumn("{task.fields[figures]}", table_column=Column(no_wrap=True, ratio=1)),
        console=Console(stderr=True),
    )


@contextmanager
def training_bars(
    backends: Sequence[str], epochs: int, steps_per_epoch: int
) -> Iterator[Callable[[str, dict[str, Any]], None]]:
    """Bars for `train`; yields its ``on_event``."""
    with _progress() as progress:
        width = max(map(len, backends))
        tasks = {
            name: progress.add_task(name.ljust(width), total=epochs * steps_per_epoch, figures="")
            for name in backends
        }
        logs: dict[str, str] = dict.fromkeys(backends, "")

        def on_event(backend: str, event: dict[str, Any]) -> None:
            epoch = f"epoch {event['epoch'] + 1}/{epochs}"
            if "logs" in event:
                logs[backend] = figures(event["logs"])
                completed = (event["epoch"] + 1) * steps_per_epoch
                shown = f"{epoch}  {logs[backend]}"
            else:
                completed = event["step"] + 1
                shown = f"{epoch}  loss {event['loss']:.4f}  [dim]{logs[backend]}[/]"
            progress.update(tasks[backend], completed=completed, figures=shown)

        yield on_event


@contextmanager
def step_bar(description: str, steps: int) -> Iterator[Callable[[str], None]]:
    """One bar for a comparison; yields a function that advances it and shows a text."""
    with _progress() as progress:
        task = progress.add_task(description, total=steps, figures="")
        yield lambda text: progress.update(task, advance=1, figures=text)


def figures(logs: dict[str, float]) -> str:
    """``loss 0.1234  accuracy 0.9876``."""
    return "  ".join(f"{name} {value:.4f}" for name, value in logs.items())

"""A comparison as tables on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table

from specc.cli.terminal import console
from specc.runner.comparison import Comparison, LockStep, Step

SHOWN_STEPS = 12
SHOWN_TENSORS = 20


def print_comparison(found: Comparison | LockStep) -> None:
    """The losses of each step, the difference of each tensor, and the verdict."""
    screen = console()
    tables = _lock_step(found) if isinstance(found, LockStep) else _free_running(found)
    for item in tables:
        screen.print(item)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """The first column to the left, the others, which are figures, to the right."""
    result = Table(box=None, header_style="bold")
    for index, name in enumerate(columns):
        result.add_column(name, justify="right" if index else "left", overflow="fold")
    for row in rows:
        result.add_row(*row)
    return result


def _free_running(found: Comparison) -> Iterable[Any]:
    yield f"[bold]{found.name}: loss at each step ({found.dtype})[/]"
    yield table(
        ("step", *found.backends, "loss differs", "parameters"),
        (
            (
                str(step.step),
                *(f"{step.losses[name]:.10g}" for name in found.backends),
                f"{step.loss_difference:.1e}",
                f"{step.largest:.1e}",
            )
            for step in _spread(found.steps)
        ),
    )
    last = found.steps[-1]
    groups = {
        f"worst pair per tensor after {len(found.steps)} steps": last.differences,
        "running statistics": last.statistics,
        "not judged, since the true gradient is zero": last.indifferent,
    }
    for title, differences in groups.items():
        if differences:
            yield f"\n[bold]{title}[/]"
            yield _tensors(differences)
    yield ""
    yield f"largest difference of a parameter  [bold]{found.max_relative_difference:.3g}[/]"
    yield f"largest difference of the loss     [bold]{found.max_loss_difference:.3g}[/]"
    yield f"difference of the predictions      [bold]{found.output_difference:.3g}[/]"
    if found.first_difference is not None:
        yield f"[bold red]first difference: {found.first_difference}[/]"
    elif found.tolerance is not None:
        yield f"[bold green]equal at every step within {found.tolerance:g}[/]"


def _lock_step(found: LockStep) -> Iterable[Any]:
    tensors = found.gradients[found.reference]
    error = f"median gradient error of {found.dtype} against float64, {found.steps} steps"
    yield f"[bold]{found.name}: {error}[/]"
    yield table(
        ("tensor", *found.backends),
        ((name, *(f"{found.gradients[b][name]:.1e}" for b in found.backends)) for name in tensors),
    )
    yield f"largest median gradient error  [bold]{found.max_gradient_error:.3g}[/]"
    if found.tolerance is not None:
        colour, verdict = ("green", "within") if found.equal else ("red", "outside")
        yield f"[bold {colour}]{verdict} {found.tolerance:g}[/]"


def _tensors(differences: Mapping[str, float]) -> Table:
    ordered = sorted(differences.items(), key=lambda item: -item[1])
    rows = [(name, f"{value:.1e}") for name, value in ordered[:SHOWN_TENSORS]]
    if len(ordered) > SHOWN_TENSORS:
        rows.append((f"and {len(ordered) - SHOWN_TENSORS} smaller ones", ""))
    return table(("tensor", "difference"), rows)


def _spread(steps: Sequence[Step]) -> list[Step]:
    """The first and the last steps and some between them; --json and --report have all."""
    if len(steps) <= SHOWN_STEPS:
        return list(steps)
    last = len(steps) - 1
    chosen = {round(last * i / (SHOWN_STEPS - 1)) for i in range(SHOWN_STEPS)}
    return [steps[i] for i in sorted(chosen)]

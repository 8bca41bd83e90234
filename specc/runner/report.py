"""A comparison as one HTML page that needs nothing else: no script, no font, no network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from specc.runner.comparison import Comparison
from specc.runner.curves import chart, legend

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #dfe4ea; --back: #f6f7f9;
  --card: #fff; --good: #0a7d4f; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf1; --soft: #9aa6b5; --line: #313b48;
  --back: #12171e; --card: #1a212b; --good: #4cc38a; --bad: #ff8a80; } }
body { margin: 0; background: var(--back); color: var(--ink); line-height: 1.5;
  font: 15px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
main { max-width: 860px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 17px; margin: 0 0 12px; }
.lead { color: var(--soft); margin: 0 0 20px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 18px 20px; margin: 0 0 18px; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 14px; }
.figures div { border-left: 3px solid var(--line); padding-left: 12px; }
.figures b { display: block; font-size: 20px; font-variant-numeric: tabular-nums; }
.figures span, .key, caption { color: var(--soft); font-size: 13px; }
.verdict { font-weight: 600; } .good { color: var(--good); } .bad { color: var(--bad); }
svg[role=img] { width: 100%; height: auto; } svg text { fill: var(--soft); font-size: 12px; }
.grid { stroke: var(--line); } .key { margin-right: 18px; } .key svg { margin-right: 6px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 5px 8px; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; } th { color: var(--soft); font-weight: 600; }
code { font: 13px ui-monospace, Menlo, Consolas, monospace; }
"""


def html_report(found: Comparison) -> str:
    """The page: verdict, loss curves, difference per step, a row per tensor, and where it ran."""
    losses = {name: [step.losses[name] for step in found.steps] for name in found.backends}
    differences = {
        "parameters": [step.largest for step in found.steps],
        "loss": [step.loss_difference for step in found.steps],
    }
    sections = [
        _figures(found),
        _section(
            "Loss on each backend",
            legend(found.backends) + chart(losses, x_label="optimizer step", y_label="loss"),
        ),
        _section(
            "Largest difference between any two backends",
            legend(list(differences))
            + chart(differences, x_label="optimizer step", y_label="relative difference", log=True),
        ),
        _parameters(found),
        _environment(found),
    ]
    title = escape(f"{found.name}: {len(found.backends)} backends compared")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(found.name)}</h1>\n"
        f'<p class="lead">{escape(", ".join(found.backends))}: trained from the same start, in the '
        f"same order, each in its own process ({escape(found.dtype)}).</p>\n"
        + "\n".join(sections)
        + "\n</main>\n</body>\n</html>\n"
    )


def _figures(found: Comparison) -> str:
    cells = {
        "largest difference of a parameter, as a share of its way": found.max_relative_difference,
        "largest relative difference of the loss": found.max_loss_difference,
        "relative difference of the predictions in the end": found.output_difference,
        "optimizer steps": len(found.steps),
    }
    if any(step.statistics for step in found.steps):
        cells["largest difference of a running statistic"] = found.max_statistics_difference
    shown = "".join(
        f"<div><b>{_number(value)}</b><span>{escape(label)}</span></div>"
        for label, value in cells.items()
    )
    return _section("", f'{_verdict(found)}<div class="figures">{shown}</div>')


def _verdict(found: Comparison) -> str:
    if found.first_difference is not None:
        return f'<p class="verdict bad">First difference: {escape(str(found.first_difference))}</p>'
    if found.tolerance is None:
        return '<p class="verdict">Same start, same order. No tolerance was given.</p>'
    return f'<p class="verdict good">Equal at every step within {found.tolerance:g}</p>'


def _parameters(found: Comparison) -> str:
    last = found.steps[-1]
    groups = {
        "": last.differences,
        "running statistic": last.statistics,
        "true gradient is zero: not judged": last.indifferent,
    }
    rows = (
        (f"<code>{escape(name)}</code>", remark, _number(value))
        for remark, values in groups.items()
        for name, value in values.items()
    )
    title = f"Each tensor after {len(found.steps)} steps"
    return _section(title, _table(("tensor", "", "worst pair"), rows))


def _environment(found: Comparison) -> str:
    keys = list(dict.fromkeys(key for env in found.environment.values() for key in env))
    rows = (
        (key, *(escape(found.environment[name].get(key, "")) for name in found.backends))
        for key in keys
    )
    return _section("Where it ran", _table(("", *found.backends), rows))


def _section(title: str, body: str) -> str:
    heading = f"<h2>{escape(title)}</h2>" if title else ""
    return f"<section>{heading}{body}</section>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f'<div class="wide"><table><tr>{top}</tr>\n{body}</table></div>'


def _number(value: float | int) -> str:
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return "∞"
    return "0" if value == 0 else f"{value:.2e}"

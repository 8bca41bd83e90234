"""Writes the reference pages of docs/ from the code: ``python -m specc.documentation``.

A page is written whole (one per operation), or below a mark, under which a page that begins with
hand-written text goes on: training, data, diagnostics, the command line.
"""

from __future__ import annotations

from pathlib import Path

from specc.documentation.choices import data_reference, training_reference
from specc.documentation.commands import command_reference
from specc.documentation.diagnostics import diagnostics_reference
from specc.documentation.operations import op_index, op_page
from specc.ops.registry import visible

ROOT = Path(__file__).parents[2] / "docs"
MARK = "<!-- `python -m specc.documentation` writes what follows; change the code instead. -->\n"


def pages() -> dict[str, str]:
    """Every page that is written in whole or in part: path below docs/ to text."""
    ops = visible()
    found = {f"ops/{kind}.md": f"{MARK}\n{op_page(op)}" for kind, op in ops.items()}
    found["ops/README.md"] = f"{MARK}\n{op_index(ops)}"
    for name, reference in {
        "training.md": training_reference(),
        "data.md": data_reference(),
        "diagnostics.md": diagnostics_reference(),
        "command-line.md": command_reference(),
    }.items():
        by_hand = (ROOT / name).read_text(encoding="utf-8").partition(MARK)[0]
        found[name] = f"{by_hand}{MARK}\n{reference}"
    return found


def write() -> None:
    """Writes the pages, and takes away those of operations that are gone."""
    found = pages()
    (ROOT / "ops").mkdir(exist_ok=True)
    for old in (ROOT / "ops").glob("*.md"):
        if f"ops/{old.name}" not in found:
            old.unlink()
    for name, text in found.items():
        (ROOT / name).write_text(text, encoding="utf-8")

"""Each spec in ``specs/`` gives exactly the diagnostics that stand beside it, all in one run.

``python tests/errors/test_spec_errors.py`` writes the texts anew: read the difference before it is
committed. A spec's file is named after the code that it is about.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from specc.compiler import load_program
from specc.diagnostics import SpecError

FOLDER = Path(__file__).parent / "specs"
SPECS = sorted(path for path in FOLDER.iterdir() if path.suffix in (".yaml", ".specc"))


def rendered(path: Path) -> str:
    """What a user sees, errors or warnings, with paths as from the folder of the specs."""
    try:
        found = load_program(path)[1]
    except SpecError as error:
        found = error.diagnostics
    return "\n\n".join(map(str, found)).replace(f"{FOLDER}/", "") + "\n"


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_rendering(path: Path) -> None:
    text = rendered(path)
    assert text == path.with_suffix(path.suffix + ".txt").read_text(encoding="utf-8")
    code = path.stem.partition("_")[0]
    assert not re.fullmatch(r"[EW]\d{4}", code) or f"[{code}" in text


if __name__ == "__main__":
    for each in SPECS:
        beside = each.with_suffix(each.suffix + ".txt")
        beside.write_text(rendered(each), encoding="utf-8")

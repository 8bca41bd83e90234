"""Each wrong spec of this folder gives exactly the text that stands beside it.

``python test_frontend.py`` writes the texts anew: read the difference before it is committed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from specc.diagnostics import SpecError
from specc.frontend.reader import read_spec

FOLDER = Path(__file__).parent
SPECS = sorted(p for p in FOLDER.iterdir() if p.suffix in (".yaml", ".specc"))


def rendered(path: Path) -> str:
    """What a user sees, with paths as from this folder."""
    with pytest.raises(SpecError) as caught:
        read_spec(path)
    return str(caught.value).replace(f"{FOLDER}/", "") + "\n"


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_rendering(path: Path) -> None:
    text = rendered(path)
    assert text == path.with_suffix(".txt").read_text(encoding="utf-8")
    assert f"[{path.stem[:5]}]" in text


if __name__ == "__main__":
    for each in SPECS:
        each.with_suffix(".txt").write_text(rendered(each), encoding="utf-8")

"""Every example stands in both forms, which are the same network, training and data.

``python tests/unit/test_examples_twins.py`` writes the form in the language anew.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from specc.compiler import load_program, resolve_spec
from specc.frontend.formatter import to_dsl
from specc.frontend.reader import read_tree
from specc.ir.text import program_text
from specc.passes import run_passes

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


def converted(path: Path) -> str:
    """What ``specc convert`` writes, without the line that tells an editor of YAML its schema."""
    return re.sub("^# yaml-language-server:.*\n", "", to_dsl(read_tree(path)))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_twin_is_current(path: Path) -> None:
    assert path.with_suffix(".specc").read_text(encoding="utf-8") == converted(path)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_twin_is_the_same_spec(path: Path) -> None:
    twin = path.with_suffix(".specc")
    texts = [program_text(run_passes(load_program(each)[0])) for each in (path, twin)]
    assert texts[0] == texts[1]
    resolved = [yaml.safe_load(resolve_spec(each)) for each in (path, twin)]
    assert resolved[0] == resolved[1]


if __name__ == "__main__":
    for example in EXAMPLES:
        example.with_suffix(".specc").write_text(converted(example), encoding="utf-8")

"""Preludes as text: what a definition needs, and what is kept of it between runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from specc.backends.prelude import Prelude, names_in, read_prelude, without_annotations
from specc.backends.writer import render

TEXT = '''from __future__ import annotations

import numpy as np

SCALE: float = 2.0


# What stands right above belongs to it.
def scaled(x: np.ndarray, names: dict[str, Unused]) -> np.ndarray:
    """Both."""
    y = shifted(x)  #: shift
    return SCALE * x


def shifted(x: np.ndarray) -> np.ndarray:
    return x + 1
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "prelude.py").write_text(TEXT, encoding="utf-8")
    read_prelude.cache_clear()
    return tmp_path


def read(folder: Path) -> Prelude:
    read_prelude.cache_clear()
    return read_prelude(((folder / "prelude.py", "layers"),))


def test_a_definition_comes_with_what_it_needs(folder: Path) -> None:
    prelude = read(folder)
    assert prelude.imports["np"] == "import numpy as np"
    plain = prelude.collect(["scaled"], ())
    assert [each.name for each in plain] == ["SCALE", "scaled"]
    assert plain[0].text == "SCALE = 2.0"
    assert plain[1].text == (
        "# What stands right above belongs to it.\n"
        'def scaled(x, names):\n    """Both."""\n    return SCALE * x'
    )
    shifted = prelude.collect(["scaled"], ("shift",))
    assert [each.name for each in shifted] == ["SCALE", "scaled", "shifted"]
    assert "    y = shifted(x)\n" in shifted[1].text


def test_what_is_kept_is_what_was_read(folder: Path) -> None:
    first = read(folder)
    (kept,) = (folder / "cache/specc").iterdir()
    written = kept.stat().st_mtime_ns
    assert read(folder) == first
    assert kept.stat().st_mtime_ns == written

    kept.write_text('{"digest": "', encoding="utf-8")  # cut short
    assert read(folder) == first

    (folder / "prelude.py").write_text(TEXT.replace("2.0", "3.0"), encoding="utf-8")
    assert read(folder).definitions["SCALE"].text == "SCALE = 3.0"


def test_names_are_those_that_are_read() -> None:
    assert names_in("def f(a):\n    b = a.c\n    return [d for d in g(h=b)]\n") >= {"a", "b", "g"}
    assert names_in("def f(a):\n    return a.c(h=1)\n") == {"a"}


def test_annotations_are_cut_on_any_line() -> None:
    text = (
        "class A:\n    x: int = 1\n\n    def f(\n      self, é: str = '', *, b: int\n  ) -> int: 1"
    )
    clean = "class A:\n    x = 1\n\n    def f(\n      self, é = '', *, b\n  ): 1"
    assert without_annotations(text) == clean


def test_parentheses_stand_where_they_matter() -> None:
    fields = {"x": "a.b", "y": "c + d", "n": "-1"}
    assert render("{x} * {y} ** {n}", fields) == "a.b * (c + d) ** (-1)"
    assert render("{x} + {y}.T", fields) == "a.b + (c + d).T"

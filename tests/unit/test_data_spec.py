"""The data section: read without data, every mistake located and explained."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specc.data.section import located, placed
from specc.data.spec import DataSpec
from specc.diagnostics import SpecError
from specc.frontend.tree import Mapping, Scalar, Tree, to_plain

CSV: dict[str, Any] = {"source": "csv", "path": "rows.csv"}


def mistakes(
    section: dict[str, Any], inputs: tuple[str, ...] = ("x",), targets: tuple[str, ...] = ("y",)
) -> list[tuple[str, str, str, str]]:
    """(code, message, underlined text, help) of everything wrong with a section."""
    with pytest.raises(SpecError) as caught:
        DataSpec.parse(section, inputs, targets)
    return [
        (
            found.code,
            found.message,
            found.span.source.text[found.span.start : found.span.end] if found.span else "",
            found.help,
        )
        for found in caught.value.diagnostics
    ]


def test_a_whole_section() -> None:
    spec = DataSpec.parse(
        {
            "source": "npz",
            "path": "a.npz",
            "inputs": {"x": "images"},
            "test": {"x": "tx", "y": "ty"},
            "split": {"validation": 0.1, "stratify": True},
            "prepare": {"x": [{"rescale": 255}, "standardize"], "y": {"one_hot": {"classes": 3}}},
        },
        ["x"],
        ["y"],
    )
    assert spec.source == "npz"
    assert spec.options == {"path": "a.npz"}
    assert spec.references["x"].value == "images"
    assert spec.test_references is not None
    assert spec.test_references["y"].value == "ty"
    assert spec.split["validation"] == 0.1
    assert spec.split["by"] == "random"
    assert [step.kind for step in spec.prepare["x"]] == ["rescale", "standardize"]
    assert spec.prepare["x"][0].values == {"divide": 255.0, "subtract": 0.0}
    assert spec.prepare["y"][0].values == {"classes": 3}


def test_a_second_file_can_be_the_test_part() -> None:
    spec = DataSpec.parse({**CSV, "test": "test.csv"})
    assert spec.test_file is not None
    assert spec.test_file.value == "test.csv"


@pytest.mark.parametrize(
    ("section", "code", "message", "underlined", "hint"),
    [
        ({"path": "a"}, "E0801", "does not say its source", '{"path": "a"}', "npz, csv"),
        ({"source": "cvs"}, "E0801", "no data source 'cvs'", '"cvs"', "'csv'"),
        ({"source": "csv"}, "E0801", "needs the attribute 'path'", '{"source": "csv"}', "folder"),
        ({**CSV, "pth": 1}, "E0801", "no attribute 'pth'", '"pth"', "'path'"),
        ({**CSV, "path": 3}, "E0801", "3 is not a string", "3", ""),
        ({"source": "sklearn", "name": "digit"}, "E0801", "'digit' is not", '"digit"', "'digits'"),
        ({**CSV, "inputs": {"z": "a"}}, "E0805", "no such input", '"z"', ""),
        ({**CSV, "targets": {"x": "a"}}, "E0805", "no such target", '"x"', ""),
        ({**CSV, "inputs": {"x": 3}}, "E0801", "3 is not the name", "3", ""),
        ({**CSV, "inputs": []}, "E0801", "'inputs' in the data section must be", "[]", ""),
        ({**CSV, "split": {"validation": 1.5}}, "E0801", "between 0 and 1", "1.5", ""),
        ({**CSV, "split": {"tets": 0.1}}, "E0801", "no attribute 'tets'", '"tets"', "'test'"),
        ({**CSV, "split": {"stratify": "z"}}, "E0805", "no target 'z'", '"z"', ""),
        (
            {**CSV, "split": {"test": 0.5, "validation": 0.5}},
            "E0811",
            "none is left to train on",
            "0.5",
            "",
        ),
        ({**CSV, "split": {"column": "d"}}, "E0811", "orders the rows", '"d"', "by: time"),
        (
            {**CSV, "split": {"by": "time", "stratify": True}},
            "E0811",
            "cannot be stratified",
            "true",
            "by: random",
        ),
        (
            {**CSV, "test": "t.csv", "split": {"test": 0.1}},
            "E0811",
            "their own test part",
            "0.1",
            "leave out",
        ),
        (
            {"source": "sklearn", "name": "iris", "test": "t"},
            "E0801",
            "no test part of their own",
            '"t"',
            "split",
        ),
        (
            {**CSV, "prepare": {"x": ["standardise"]}},
            "E0806",
            "no preparation step 'standardise'",
            '"standardise"',
            "'standardize'",
        ),
        ({**CSV, "prepare": {"x": [3]}}, "E0806", "is its name", "3", "rescale: 255"),
        (
            {**CSV, "prepare": {"x": [{"tokens": 9}]}},
            "E0801",
            "tokens needs the attribute 'length'",
            "9",
            "words per row",
        ),
        (
            {**CSV, "prepare": {"x": [{"windows": {"step": 2}}]}},
            "E0806",
            "either length",
            '{"windows": {"step": 2}}',
            "",
        ),
        (
            {**CSV, "split": {"test": 0.2}, "prepare": {"x": [{"windows": 5}]}},
            "E0811",
            "a random split tears them apart",
            '{"windows": 5}',
            "by: time",
        ),
    ],
)
def test_a_mistake_is_located_and_explained(
    section: dict[str, Any], code: str, message: str, underlined: str, hint: str
) -> None:
    ((found_code, found_message, text, found_hint),) = mistakes(section)
    assert found_code == code
    assert message in found_message
    assert text == underlined
    assert hint in found_hint


def test_all_mistakes_are_found_at_once() -> None:
    section = {
        "source": "csv",
        "inputs": {"z": "a"},
        "split": {"by": "tim"},
        "prepare": {"x": [{"rescale": "a"}, "nothing"]},
    }
    assert [code for code, *_ in mistakes(section)] == ["E0801", "E0805", "E0801", "E0801", "E0806"]


def test_reading_a_section_needs_no_numpy() -> None:
    program = (
        "import sys; from specc.data.spec import DataSpec; "
        f"DataSpec.parse({CSV!r}); sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_evaluated_values_keep_their_places() -> None:
    tree = located({"source": "csv", "path": "$file", "split": {"test": ["$a", 1]}})
    evaluated = placed({"source": "csv", "path": "r.csv", "split": {"test": [0.5, 1]}}, tree)
    assert to_plain(evaluated) == {"source": "csv", "path": "r.csv", "split": {"test": [0.5, 1]}}
    path, written = evaluated.get("path"), tree.get("path")  # type: ignore[union-attr]
    assert path is not None
    assert written is not None
    assert path.span == written.span


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=4))
def test_plain_values_are_located_in_their_json_text(plain: dict[str, Any]) -> None:
    tree = located(plain)
    assert to_plain(tree) == plain

    def check(node: Tree) -> None:
        text = node.span.source.text[node.span.start : node.span.end]
        assert json.loads(text) == to_plain(node)
        if isinstance(node, Mapping):
            for key, value in node.entries:
                check(key)
                check(value)
        elif not isinstance(node, Scalar):
            for item in node.items:
                check(item)

    check(tree)


KEYS = st.sampled_from(
    ["source", "path", "name", "inputs", "targets", "test", "split", "prepare", "x", "windows"]
)


@given(
    st.dictionaries(
        KEYS,
        st.sampled_from(["csv", "npz", "sklearn"])
        | VALUES
        | st.dictionaries(KEYS, VALUES, max_size=3),
        max_size=6,
    )
)
def test_no_section_gives_a_traceback(section: dict[str, Any]) -> None:
    try:
        DataSpec.parse(section, ["x"], ["y"])
    except SpecError as error:
        assert str(error)

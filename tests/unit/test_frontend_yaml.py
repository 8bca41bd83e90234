"""The YAML reader: values by YAML 1.2, places, comments."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specc.diagnostics import Source, SpecError
from specc.frontend.sources import MAX_ERRORS
from specc.frontend.tree import Comments, Mapping, Scalar, Sequence, to_plain
from specc.frontend.yaml_reader import read_yaml


def read(text: str) -> Mapping:
    return read_yaml(Source("net.yaml", text))


def underlined(tree: Any) -> str:
    return str(tree.span.source.text[tree.span.start : tree.span.end])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("017", 17),
        ("+3", 3),
        ("0o17", 15),
        ("0x1F", 31),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("18446744073709551616", 2**64),
        ("~", None),
        ("", None),
        ("Null", None),
        ("TRUE", True),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("12:30:45", "12:30:45"),
        ("2020-01-01", "2020-01-01"),
        ("1_000", "1_000"),
        ("0b1", "0b1"),
        ("1e", "1e"),
        ("nan", "nan"),
        ('"3"', "3"),
        ("'1e-3'", "1e-3"),
        ("$$5 and $6", "$5 and $6"),
        ("US$", "US$"),
        ("'${3}'", 3),
        ("'${[1, 2]}'", [1, 2]),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("a\n  b", "a b"),
    ],
)
def test_scalar(text: str, value: object) -> None:
    assert to_plain(read(f"k: {text}")) == {"k": value}


def test_nan() -> None:
    assert math.isnan(to_plain(read("k: .nan"))["k"])


def test_keys_are_as_written() -> None:
    assert to_plain(read("{no: 1, 3: 2, true: 3, 1e-3: 4, null: 5}")) == {
        "no": 1,
        "3": 2,
        "true": 3,
        "1e-3": 4,
        "null": 5,
    }


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_mark(end: str, mark: str) -> None:
    tree = read(mark + end.join(["specc: 1", "name: net", "seed: é𝄞", "data: x"]))
    name = tree.entries[3][0]
    assert to_plain(tree) == {"specc": 1, "name": "net", "seed": "é𝄞", "data": "x"}
    assert str(name.span) == "net.yaml:4:1"
    assert underlined(name) == "data"


def test_spans() -> None:
    tree = read(
        "a: {b: [1, 'two'], c: ${x + 1}}\n".replace("${x + 1}", '"${x + 1}"') + "d:\n  - e\n"
    )
    a = tree.get("a")
    assert isinstance(a, Mapping)
    assert underlined(a) == """{b: [1, 'two'], c: "${x + 1}"}"""
    b, c = a.get("b"), a.get("c")
    assert isinstance(b, Sequence) and isinstance(c, Scalar)
    assert [underlined(item) for item in b.items] == ["1", "'two'"]
    assert underlined(c.value) == "x + 1"
    assert underlined(tree.get("d")) == "- e"
    assert underlined(tree) == tree.span.source.text.rstrip()


def test_aliases_bring_in_the_anchor() -> None:
    tree = read("a: &x {k: [1, 2]}\nb: *x\n")
    assert to_plain(tree) == {"a": {"k": [1, 2]}, "b": {"k": [1, 2]}}


def test_comments_stand_at_keys_and_items() -> None:
    tree = read(
        "# one\n\n#two\na: 1  # three\n"
        "b:  # four\n  # five\n  - x  # six\n  - {y: '# no', z: 2}  # seven\n# last\n"
    )
    a, b = tree.key("a"), tree.key("b")
    items = tree.get("b")
    assert a is not None and b is not None and isinstance(items, Sequence)
    assert a.comments == Comments(("one", "two"), "three")
    assert b.comments == Comments((), "four")
    assert items.items[0].comments == Comments(("five",), "six")
    assert items.items[1].comments == Comments((), "seven")
    assert tree.comments == Comments(end=("last",))


def test_comment_in_a_flow_mapping() -> None:
    tree = read("a: {b: 1,  # one\n    c: 2}  # two\n")
    a = tree.get("a")
    assert isinstance(a, Mapping)
    assert [key.comments.after for key, _ in tree.entries] == ["one"]
    assert [key.comments.after for key, _ in a.entries] == ["", "two"]


def test_all_mistakes_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        read("a: !x 1\na: ${1 +}\nb: *c\nd: $e f\n")
    assert [d.code for d in caught.value.diagnostics] == [
        "E0105",
        "E0301",
        "E0104",
        "E0106",
        "E0306",
    ]


_PIECES = st.sampled_from(
    [
        "a",
        "b: ",
        "\n",
        "  ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ",",
        '"',
        "'",
        "#",
        "&a ",
        "*a",
        "!t ",
        "|\n",
        ">",
    ]
    + ["${", "$x", "1e9", "\t", "%", "@", "? ", ": ", "---\n", "...\n", "<<: ", "\\", "é", "\ufeff"]
    + ["\x00", "\x85", "\u2028", "\ud800", "𝄞", "\r\n"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_PIECES, max_size=25).map("".join) | st.text(max_size=20))
def test_any_text_gives_a_tree_or_diagnostics(text: str) -> None:
    try:
        assert isinstance(read(text), Mapping)
    except SpecError as error:
        assert error.diagnostics
        assert all(d.span is not None and str(d) for d in error.diagnostics)


@pytest.mark.parametrize("text", ["a: ${" + "1+" * 50_000 + "1}", "a: 1\n" * 20_000, "[" * 50_000])
def test_hostile_texts_are_refused_in_bounded_work(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(text)
    assert len(caught.value.diagnostics) <= MAX_ERRORS

"""The language reader: the tree of each statement; any text gives a tree or diagnostics."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from frontend_signatures import signatures
from hypothesis import given, settings
from hypothesis import strategies as st

from specc.diagnostics import Source, SpecError
from specc.frontend.dsl_reader import read_dsl
from specc.frontend.expression_text import to_text
from specc.frontend.expressions import Expression
from specc.frontend.normal import normalize
from specc.frontend.sources import MAX_ERRORS
from specc.frontend.tree import Mapping, to_plain
from specc.frontend.yaml_reader import read_yaml
from specc.resources import resource_path

DIGITS = """\
spec 1 digits_cnn
conventions keras                      # or pytorch; layout, dtype and seed may be set beside it
parameter classes = 10
parameter width = 32
input image: float[8, 8, 1]            # the batch dimension is implied; named dims (T) are allowed
target label: int[]

block residual(filters, stride = 1) {
  input x
  y = x
    | conv2d(filters, 3, strides=stride, padding="same", use_bias=false) as conv
    | batch_norm | relu
  s = x | conv2d(filters, 1, strides=stride)
  z = (y, s) | add | relu
  output z
}
layer embed = dense(32)                # a layer that is called twice shares its parameters
h = image
  | residual(width)
  | repeat(2, i) {
      input x
      x | residual(width * 2 ** i)
    } as stage
pooled = h | global_average_pool2d
probabilities = pooled | dense(classes, activation="softmax")
output probabilities

training {
  loss sparse_categorical_crossentropy(probabilities, label)       # several loss lines add up
  optimizer adam(learning_rate=1e-3)
  metrics accuracy
  epochs 10
  batch_size 64
}
data sklearn {
  name "digits"
  split validation=0.1, test=0.2, stratify=true
}
"""

DIGITS_YAML = """\
specc: 1
name: digits_cnn
conventions: keras
parameters: {classes: 10, width: 32}
inputs: {image: {shape: [8, 8, 1]}}
targets: {label: {shape: [], dtype: int}}
blocks:
  residual:
    parameters: {filters: ~, stride: 1}
    inputs: [x]
    layers:
      - name: conv
        conv2d:
          {filters: $filters, kernel_size: 3, strides: $stride, padding: same, use_bias: false}
      - batch_norm
      - {name: y, relu: {}}
      - {name: s, conv2d: {filters: $filters, kernel_size: 1, strides: $stride}, from: x}
      - {add: {}, from: [y, s]}
      - {name: z, relu: {}}
    outputs: [z]
shared: {embed: {dense: 32}}
layers:
  - {use: residual, with: {filters: $width}}
  - name: stage
    repeat:
      times: 2
      index: i
      layers: [{use: residual, with: {filters: "${width * 2 ** i}"}}]
    outputs: [h]
  - {name: pooled, global_average_pool2d: {}}
  - {name: probabilities, dense: {units: $classes, activation: softmax}, from: pooled}
outputs: [probabilities]
training:
  loss: {sparse_categorical_crossentropy: {prediction: probabilities, target: label}}
  optimizer: {adam: {learning_rate: 1e-3}}
  metrics: [accuracy]
  epochs: 10
  batch_size: 64
data: {source: sklearn, name: digits, split: {validation: 0.1, test: 0.2, stratify: true}}
"""


def read(text: str) -> Mapping:
    return read_dsl(Source("net.specc", text), signatures)


def plain(value: Any) -> Any:
    """Plain values, expressions as ``$(text)``."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return f"$({to_text(value)})" if isinstance(value, Expression) else value


def test_the_example_is_the_same_in_both_forms() -> None:
    yaml = normalize(read_yaml(Source("digits.yaml", DIGITS_YAML)), signatures)
    assert to_plain(normalize(read(DIGITS), signatures)) == to_plain(yaml)


def layers(text: str) -> Any:
    return plain(to_plain(read(text)))["layers"]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("x | relu", [{"relu": {}, "from": "x"}]),
        ("x | relu() | relu", [{"relu": {}, "from": "x"}, "relu"]),
        ("y = x | dense(3)", [{"name": "y", "dense": {"units": 3}, "from": "x"}]),
        ("x | dense(3) as y", [{"name": "y", "dense": {"units": 3}, "from": "x"}]),
        (
            "y = x | dense(3) as d",
            [{"name": "d", "dense": {"units": 3}, "from": "x", "outputs": ["y"]}],
        ),
        (
            "s, h, c = x | lstm(64, return_state=true)",
            [
                {
                    "lstm": {"units": 64, "return_state": True},
                    "from": "x",
                    "outputs": ["s", "h", "c"],
                }
            ],
        ),
        ("(a, b) | add", [{"add": {}, "from": ["a", "b"]}]),
        ("(a) | add", [{"add": {}, "from": ["a"]}]),
        (
            "(q, value=m, initial_state=(h0, c0), mask=k) | mha",
            [
                {
                    "mha": {},
                    "from": {
                        "input": "q",
                        "value": "m",
                        "initial_state": ["h0", "c0"],
                        "mask": "k",
                    },
                }
            ],
        ),
        ("(value=m) | mha", [{"mha": {}, "from": {"value": "m"}}]),
        (
            "x | dense(n * 2, use_bias=not b, activation=relu)",
            [
                {
                    "dense": {"units": "$(n * 2)", "use_bias": "$(not b)", "activation": "$(relu)"},
                    "from": "x",
                }
            ],
        ),
        ("x | dense(-3)", [{"dense": {"units": -3}, "from": "x"}]),
        ("x | reshape([4, -1, n])", [{"reshape": {"shape": [4, -1, "$(n)"]}, "from": "x"}]),
        (
            "x | dense(\n  3,  # units\n  activation=null,\n)",
            [{"dense": {"units": 3, "activation": None}, "from": "x"}],
        ),
        (
            "x | dense(3, kernel_regularizer=l2(1e-4))",
            [{"dense": {"units": 3, "kernel_regularizer": {"l2": {"factor": 1e-4}}}, "from": "x"}],
        ),
        (
            "x | dense(3, kernel_regularizer=l2)",
            [{"dense": {"units": 3, "kernel_regularizer": "l2"}, "from": "x"}],
        ),
        ("x | dense(min(n, 3))", [{"dense": {"units": "$(min(n, 3))"}, "from": "x"}]),
        ("x | unknown(3, a=1)", [{"unknown": {"1": 3, "a": 1}, "from": "x"}]),
        ("x | relu\n  # between\n  | relu", [{"relu": {}, "from": "x"}, "relu"]),
        ("x\n| relu", [{"relu": {}, "from": "x"}]),
        (
            "layer e = dense(3)\ny = a | e\nz = b | e",
            [{"name": "y", "layer": "e", "from": "a"}, {"name": "z", "layer": "e", "from": "b"}],
        ),
        (
            "e = a | dense(3)\nb | e",
            [{"name": "e", "dense": {"units": 3}, "from": "a"}, {"layer": "e", "from": "b"}],
        ),
        (
            "block p(n, m = 2) { input x\n x | dense(n) }\ny = x | p(3, m=4) | p",
            [{"use": "p", "with": {"n": 3, "m": 4}, "from": "x"}, {"name": "y", "use": "p"}],
        ),
        (
            "x | repeat(n) { input a, b\n(a, b) | add\n output a }",
            [
                {
                    "repeat": {
                        "times": "$(n)",
                        "inputs": ["a", "b"],
                        "layers": [{"add": {}, "from": ["a", "b"]}],
                        "outputs": ["a"],
                    },
                    "from": "x",
                }
            ],
        ),
        # Words of the language are names wherever a name can stand.
        ("input = output | relu as layer", None),
        ("data, target = x | dense(3, if=1, true=2)", None),
    ],
)
def test_chain(text: str, items: Any) -> None:
    found = layers(text)
    assert items is None or found == items


def sections(text: str) -> Any:
    return plain(to_plain(read(text)))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("spec 1 net", {"specc": 1, "name": "net"}),
        ("layout channels_first\nseed 3\ndtype float64", None),
        ('include "a.specc"\ninclude "b.yaml"', {"includes": ["a.specc", "b.yaml"]}),
        ("parameter n", {"parameters": {"n": None}}),
        ("parameter n = 2 * m", {"parameters": {"n": "$(2 * m)"}}),
        ("input x: float[T, 13]", {"inputs": {"x": {"shape": ["T", 13]}}}),
        (
            "parameter n = 3\ninput x: int[n, n + 1]",
            {
                "parameters": {"n": 3},
                "inputs": {"x": {"shape": ["$(n)", "$(n + 1)"], "dtype": "int"}},
            },
        ),
        ("output a, b\noutput c", {"outputs": ["a", "b", "c"]}),
        (
            "training {\n loss mean_squared_error(y, t)\n"
            " loss mean_squared_error(z, t, weight=0.5)\n}",
            {
                "training": {
                    "loss": [
                        {"mean_squared_error": {"prediction": "y", "target": "t"}},
                        {"mean_squared_error": {"prediction": "z", "target": "t", "weight": 0.5}},
                    ]
                }
            },
        ),
        (
            "training {\n optimizer adam(learning_rate=cosine(1e-3, steps=100))\n"
            " clip global_norm(1)\n}",
            {
                "training": {
                    "optimizer": {
                        "adam": {"learning_rate": {"cosine": {"initial": 1e-3, "steps": 100}}}
                    },
                    "clip": {"global_norm": {"limit": 1}},
                }
            },
        ),
        ("training {\n optimizer sgd\n metrics accuracy, top_k(5)\n}", None),
        (
            'data npz {\n path "a.npz"\n prepare image=[rescale(255), one_hot(10), standardize]\n}',
            {
                "data": {
                    "source": "npz",
                    "path": "a.npz",
                    "prepare": {
                        "image": [
                            {"rescale": {"factor": 255}},
                            {"one_hot": {"classes": 10}},
                            "standardize",
                        ]
                    },
                }
            },
        ),
        (
            'parameter n = 3\ndata csv {\n columns a, n, "b c"\n test {"x y": z}\n}',
            {
                "parameters": {"n": 3},
                "data": {"source": "csv", "columns": ["a", "$(n)", "b c"], "test": {"x y": "z"}},
            },
        ),
    ],
)
def test_sections(text: str, tree: Any) -> None:
    found = sections(text)
    assert tree is None or found == tree


def test_spans_stand_in_the_text() -> None:
    tree = read(DIGITS)
    span = tree.entries[0][0].span
    assert str(span) == "net.specc:1:1"
    blocks = tree.get("blocks")
    assert isinstance(blocks, Mapping)
    assert str(blocks.entries[0][0].span) == "net.specc:8:7"


def test_parsing_is_strict_lalr_and_ships_with_the_package() -> None:
    from lark import Lark

    text = resource_path("grammar", "specc.lark").read_text(encoding="utf-8")
    Lark(text, parser="lalr", lexer="basic", start=["start", "expr"])


def test_the_table_is_not_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from specc.frontend import grammar

    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    grammar.grammar.cache_clear()
    assert to_plain(read("spec 1 net")) == {"specc": 1, "name": "net"}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for _ in range(2):
        grammar.grammar.cache_clear()
        assert to_plain(read("spec 1 net")) == {"specc": 1, "name": "net"}
    name = f"grammar-{sys.version_info[0]}{sys.version_info[1]}.table"
    (tmp_path / "cache" / "specc" / name).write_bytes(b"broken")
    grammar.grammar.cache_clear()
    assert to_plain(read("spec 1 net")) == {"specc": 1, "name": "net"}


_PIECES = st.sampled_from(
    ["x", "y", " ", " ", "\n", "|", "=", "(", ")", "[", "]", "{", "}", ",", ":", "3", "1e9", '"a"']
    + ["spec", "input ", "block b(n) {\n", "training {\n", "data csv {\n", "repeat(2, i) {\n"]
    + ["output ", "layer ", "as ", "if ", "then ", "else ", "parameter ", "# c\n", "dense(3)", '"']
    + [
        "\x00",
        "\t",
        "\r\n",
        "é",
        "\ud800",
        "+",
        "**",
        "not ",
        "true",
        "include ",
        "'",
        "\\",
        "99999",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_PIECES, max_size=30).map("".join) | st.text(max_size=20))
def test_any_text_gives_a_tree_or_diagnostics(text: str) -> None:
    try:
        assert isinstance(read(text), Mapping)
    except SpecError as error:
        assert error.diagnostics
        assert all(d.span is not None and str(d) for d in error.diagnostics)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(DIGITS) - 1), st.integers(1, 30))
def test_a_cut_example_gives_a_tree_or_diagnostics(start: int, length: int) -> None:
    try:
        read(DIGITS[:start] + DIGITS[start + length :])
    except SpecError as error:
        assert all(d.span is not None and str(d) for d in error.diagnostics)


@pytest.mark.parametrize(
    "text",
    [
        "parameter a = " + "1 + " * 20_000 + "1",
        "parameter a = " + "2 ** " * 20_000 + "1",
        "parameter a = " + "not " * 20_000 + "1",
        "x ||\n" * 20_000,
        "x | relu)\n" * 20_000,
        "(" * 20_000,
        "parameter a = 1\n" * 5_000,
    ],
    ids=["sum", "power", "not", "broken", "closers", "openers", "twice"],
)
def test_hostile_texts_are_refused_in_bounded_work(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(text)
    assert len(caught.value.diagnostics) <= MAX_ERRORS

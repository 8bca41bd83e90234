"""Both forms as text: what is written reads back to the same tree, and keeps its comments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from frontend_signatures import signatures
from hypothesis import given, settings
from hypothesis import strategies as st
from test_frontend_expressions import EXPRESSIONS

from specc.diagnostics import Source, Span, SpecError
from specc.frontend.dsl_reader import read_dsl
from specc.frontend.expressions import RESERVED, Expression, Name
from specc.frontend.formatter import to_dsl, to_yaml
from specc.frontend.normal import normalize
from specc.frontend.tree import Mapping, Scalar, Sequence, Tree, from_expression, to_plain
from specc.frontend.yaml_reader import read_yaml

_SPAN = Span(Source("", ""), 0, 0)
_PARAMETERS = ("alpha", "beta")
_NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True).filter(
    lambda n: n not in RESERVED and n not in _PARAMETERS
)


def _spec(value: dict[str, Any]) -> Mapping:
    tree = _tree(value)
    assert isinstance(tree, Mapping)
    return tree


def _tree(value: Any) -> Tree:
    """Dicts, lists and values as a located tree."""
    if isinstance(value, dict):
        return Mapping(tuple((Scalar(k, _SPAN), _tree(v)) for k, v in value.items()), _SPAN)
    if isinstance(value, list):
        return Sequence(tuple(map(_tree, value)), _SPAN)
    return from_expression(value) if isinstance(value, Expression) else Scalar(value, _SPAN)


def _yaml(text: str) -> Mapping:
    return read_yaml(Source("net.yaml", text))


def _dsl(text: str) -> Mapping:
    return read_dsl(Source("net.specc", text), signatures)


def _normal(tree: Mapping) -> Any:
    return to_plain(normalize(tree, signatures))


# No line separators: a text of the language stands on one line, and both escape them.
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64),
    st.floats(allow_nan=False),
    _TEXTS,
    st.sampled_from(
        ["no", "1e-3", "$x", "${a}", "a: b", "# c", "-", "~", "null", "0x1F", "", " a "]
    ),
)
_DECLARED = st.sampled_from(_PARAMETERS).map(lambda n: Name(n, span=_SPAN))
_VALUES = st.recursive(
    _SCALARS | EXPRESSIONS | _DECLARED,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS | _NAMES, inner, max_size=3),
    max_leaves=5,
)
# In training and data a bare word is a parameter only if it is declared.
_SETTING_VALUES = st.recursive(
    _SCALARS | _DECLARED,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS | _NAMES, inner, max_size=3),
    max_leaves=5,
)
_ATTRIBUTES = st.dictionaries(_NAMES, _VALUES, max_size=3)
_KINDS = st.sampled_from(["dense", "conv2d", "batch_norm", "flatten", "reshape", "dropout"])
_DENSE = st.fixed_dictionaries(
    {"units": _VALUES},
    optional={"kernel_regularizer": st.sampled_from([{"l2": 1e-4}, "l2", {"l1": {"factor": 2}}])},
)


@st.composite
def _calls(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(_KINDS)
    return {kind: draw(_DENSE if kind == "dense" else _ATTRIBUTES)}


@st.composite
def _layers(draw: st.DrawFn, values: list[str], depth: int = 1) -> list[Any]:
    items: list[Any] = []
    for position in range(draw(st.integers(1, 4))):
        what = draw(st.sampled_from(["call", "call", "bare", "repeat", "use", "layer"]))
        if what == "bare":
            item: Any = draw(_KINDS)
        elif what == "use":
            item = {"use": "pair", "with": draw(st.dictionaries(st.sampled_from("ab"), _VALUES))}
        elif what == "layer" and depth:
            item = {"layer": "shared_one"}
        elif what == "repeat" and depth:
            inner = draw(_layers(["x"], depth - 1))
            item = {"repeat": {"times": draw(_SCALARS), "index": "i", "layers": inner}}
        else:
            item = draw(_calls())
        items.append(_wire(draw, item, values, position, depth))
    return items


def _wire(draw: st.DrawFn, item: Any, values: list[str], position: int, depth: int) -> Any:
    """The layer with a name, outputs and inputs as they may come."""
    name = f"layer_{depth}_{position}"
    naming = draw(st.sampled_from(["", "", "name", "outputs", "several"]))
    has_source = draw(st.booleans()) or (position > 0 and values[-1] == "")
    if naming == "" and not has_source:
        values.append(name)
        return item
    if isinstance(item, str):
        item = {item: None}
    if has_source:
        known = [value for value in values if value]
        one = st.sampled_from(known)
        ports = st.dictionaries(
            _NAMES | st.just("input"), one | st.lists(one, min_size=1), min_size=1
        )
        item["from"] = draw(one | st.lists(one, min_size=1, max_size=3) | ports)
    if naming:
        item["name"] = name
    if naming == "outputs":
        item["outputs"] = [f"{name}_out"]
    if naming == "several":
        item["outputs"] = [f"{name}_a", f"{name}_b"]
    # An empty name marks a layer with several outputs: the next one has to say what it takes.
    values += [f"{name}_a", ""] if naming == "several" else [name]
    return item


@st.composite
def _specs(draw: st.DrawFn) -> dict[str, Any]:
    shape = st.lists(st.integers(1, 64) | _NAMES | _DECLARED, max_size=3)
    dtype = st.sampled_from(["float", "int"])
    block = {"parameters": {"a": None, "b": 1}, "inputs": ["x"], "layers": draw(_layers(["x"], 0))}
    training = draw(st.dictionaries(_NAMES, _SETTING_VALUES, max_size=2))
    training["loss"] = [
        {"mean_squared_error": {"prediction": "y", "target": "t"}},
        {"mean_squared_error": {"prediction": "z", "target": "t", "weight": 0.5}},
    ][: draw(st.integers(1, 2))]
    training["optimizer"] = draw(
        st.sampled_from(
            ["adam", {"adam": {"learning_rate": {"cosine": {"initial": 1, "steps": 9}}}}]
        )
    )
    data = {"source": "csv", **draw(st.dictionaries(_NAMES, _SETTING_VALUES, max_size=2))}
    data["prepare"] = {"image": [{"rescale": 255}, "standardize", {"one_hot": {"classes": 3}}]}
    return {
        "specc": 1,
        "name": draw(_NAMES),
        "seed": draw(st.integers(0, 2**32)),
        "parameters": dict.fromkeys(_PARAMETERS, draw(_VALUES)),
        "inputs": {"image": {"shape": draw(shape), "dtype": draw(dtype)}},
        "targets": {"label": draw(shape)},
        "blocks": {"pair": block},
        "shared": {"shared_one": draw(_calls())},
        "layers": draw(_layers(["image"])),
        "outputs": draw(st.lists(_NAMES, min_size=1, max_size=2)),
        "training": training,
        "data": data,
    }


@settings(max_examples=50, deadline=None)
@given(_specs())
def test_yaml_reads_back(spec: dict[str, Any]) -> None:
    tree = _spec(spec)
    text = to_yaml(tree)
    assert to_plain(_yaml(text)) == to_plain(tree)
    assert to_yaml(_yaml(text)) == text


@settings(max_examples=50, deadline=None)
@given(_specs())
def test_language_reads_back_to_the_normal_form(spec: dict[str, Any]) -> None:
    tree = _spec(spec)
    text = to_dsl(tree, signatures)
    again = _dsl(text)
    assert to_plain(again) == _normal(tree)
    assert to_dsl(again, signatures) == text
    assert _normal(_yaml(to_yaml(again))) == _normal(tree)


def test_a_mapping_named_like_a_function_is_not_read_as_one() -> None:
    tree = _spec(
        {"specc": 1, "name": "net", "layers": [{"dense": {"units": {"sqrt": {}}}, "from": "x"}]}
    )
    assert to_plain(_dsl(to_dsl(tree, signatures))) == _normal(tree)


@settings(max_examples=50, deadline=None)
@given(_specs())
def test_normal_form_is_its_own(spec: dict[str, Any]) -> None:
    tree = _spec(spec)
    assert _normal(normalize(tree, signatures)) == _normal(tree)


_EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", _EXAMPLES, ids=lambda path: path.stem)
def test_examples_convert_there_and_back_with_every_comment(path: Path) -> None:
    tree = _yaml(path.read_text(encoding="utf-8"))
    language = to_dsl(tree, signatures)
    back = to_yaml(_dsl(language))
    assert _normal(_yaml(back)) == _normal(tree)
    assert to_plain(_yaml(to_yaml(tree))) == to_plain(tree)
    comments = [line.split("# ", 1)[1] for line in path.read_text().split("\n") if "# " in line]
    for text in (language, to_yaml(tree), back):
        assert all(comment in text for comment in comments)


def test_language_keeps_comments_where_they_stand() -> None:
    text = """\
# first
# second
spec 1 net         # version
conventions keras  # as Keras

# a number
parameter width = 3  # wide

input image: float[8]  # pixels

block residual(n) {  # a part
  input x
  # inner
  y = x | dense(n)  # end of inner
  output y
}

# the net
h = image
  | dense(3)  # one
  # between
  | relu  # two
  | residual(2)
output h  # out

# how
training {  # settings
  # slow
  epochs 3  # three
}

# last
"""
    tree = _dsl(text)
    assert to_dsl(tree, signatures) == text
    assert to_dsl(_yaml(to_yaml(tree)), signatures) == text


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"extra": 1}, "the language has no section 'extra'"),
        ({"specc": 1}, "a spec in the language starts with its version and name: spec 1 NAME"),
        ({"specc": 1, "name": "my net"}, "the language cannot write this as a name"),
        ({"layers": ["relu"]}, "this layer has to say with 'from' which value it takes"),
        (
            {"layers": [{"dense": {"units": 3}, "relu": {}, "from": "x"}]},
            "a layer has exactly one kind",
        ),
        (
            {"layers": [{"relu": {}, "from": "x", "outputs": ["y"]}]},
            "a layer whose output has a name needs a name too",
        ),
        ({"data": {"name": "digits"}}, "data in the language starts with its source"),
        (
            {"layers": [{"relu": {"a b": 3}, "from": "x"}]},
            "the language cannot write 'a b' as the name of an attribute",
        ),
    ],
)
def test_what_the_language_cannot_say(spec: dict[str, Any], message: str) -> None:
    tree = _spec(spec)
    with pytest.raises(SpecError) as caught:
        to_dsl(tree, signatures)
    diagnostic = caught.value.diagnostics[0]
    assert (diagnostic.code, diagnostic.message) == ("E0211", message)

"""Every name of every example can be changed, and the spec stays the same but for that name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from specc.diagnostics import Source
from specc.frontend.build import build_program
from specc.frontend.formatter import format_text, to_dsl
from specc.frontend.yaml_reader import read_yaml
from specc.ir.text import program_text
from specc.lsp.analysis import Analysis, analyse
from specc.lsp.navigation import RenameProblem, definition, references, rename
from tests.lsp.test_features import LANGUAGE, YAML

NEW = "another_name"
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.[ys]*"))
MORE = """\
specc: 1
name: more
parameters: {width: 4, 'deep': 2}
inputs: {left: {shape: [8]}, right: {shape: [8]}}
targets: {"wanted": {shape: [1]}}
blocks:
  outer:
    parameters: {size: ~, times: 2}
    inputs: [a, b]
    layers:
      - {name: sum, add: {}, from: [a, b]}
      - name: inner
        repeat:
          times: $times
          index: k
          inputs: [v]
          layers: [{name: d, dense: "${size + k * 0}"}]
          outputs: [d]
    outputs: [inner]
shared:
  code: {dense: {units: $width}}
layers:
  - {name: first, layer: code, from: left}
  - {name: second, layer: code, from: right}
  - name: met
    use: outer
    with: {size: "${if deep > 1 then width else 8}"}
    from: [first, 'second']
  - {name: cube, reshape: [2, "${width // 2}"]}
  - {name: steps, lstm: {units: 2, return_state: true}, from: {input: cube}, outputs: [s, h, c]}
  - {name: y, dense: 1, from: h}
outputs: [y]
training:
  loss: {mean_squared_error: {prediction: y, target: wanted}}
  metrics: [mean_absolute_error: {prediction: y, target: wanted}]
"""
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in EXAMPLES}
TEXTS |= {"net.yaml": YAML, "net.specc": LANGUAGE, "more.yaml": MORE}
TEXTS["more.specc"] = to_dsl(read_yaml(Source("more.yaml", MORE)))


def analysed(name: str, text: str) -> Analysis:
    return analyse(Path("/specs") / name, text, lambda path: None)


def printed(found: Analysis) -> str:
    assert found.tree is not None
    return program_text(build_program(found.tree, "spec")[0])


@pytest.mark.parametrize("name", TEXTS)
def test_every_name_can_be_changed(name: str) -> None:
    found = analysed(name, TEXTS[name])
    assert [each for each in found.diagnostics if each.severity == "error"] == []
    before = printed(found)
    symbols = [symbol for symbol in found.symbols if symbol.definitions]
    assert len(symbols) >= 3
    for symbol in symbols:
        offset = symbol.definitions[0].start
        assert definition(found, offset)
        assert len(references(found, offset, True)) == len(symbol.places)
        edit = rename(found, offset, NEW, lambda path: None)
        changes = (edit.changes or {})[found.uri]
        assert len(changes) == len(symbol.places)
        text = found.text
        for span in sorted(symbol.places, key=lambda span: -span.start):
            text = text[: span.start] + NEW + text[span.end :]
        after = printed(analysed(name, text))
        assert re.sub(rf"\b{NEW}\b", symbol.name, after) == re.sub(
            rf"\b{NEW}\b", symbol.name, before
        ), symbol
        assert format_text(analysed(name, text).source)


def test_the_input_that_a_block_has_unsaid_keeps_its_name() -> None:
    found = analysed("net.yaml", YAML.replace("- relu\n", "- {relu: {}, from: x}\n", 1))
    with pytest.raises(RenameProblem, match="has no definition"):
        rename(found, found.text.index("from: x") + 6, NEW, lambda path: None)


@pytest.mark.parametrize("name", TEXTS)
def test_no_name_can_be_that_of_another(name: str) -> None:
    """A name of the same kind is refused, or what would not be right any more."""
    found = analysed(name, TEXTS[name])
    values = list(found.symbols.scopes[0].values.values())
    for one, other in zip(values, values[1:], strict=False):
        with pytest.raises(RenameProblem, match="is taken"):
            rename(found, one.definitions[0].start, other.name, lambda path: None)

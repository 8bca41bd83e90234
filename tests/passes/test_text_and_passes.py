"""Passes as text: what goes in and what comes out. The text form itself reads back as it was
written.
"""

from pathlib import Path
from textwrap import dedent

import pytest

from specc.compiler import load_program
from specc.ir.text import IrSyntaxError, parse_graph, print_graphs
from specc.ir.verify import InvalidGraphError, verify_graph
from specc.ops.registry import OPS
from specc.passes import run_passes
from specc.passes.inline_calls import inline_graph
from specc.passes.layout import _Assigner
from specc.passes.prune import prune_graph

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


def text(source: str) -> str:
    return dedent(source).strip()


def assign(source: str, layout: str) -> str:
    return print_graphs(_Assigner(layout, OPS).graph(parse_graph(source)))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_text_reads_back(path):
    graph = run_passes(load_program(path)[0]).graph
    printed = print_graphs(graph)
    assert print_graphs(parse_graph(printed)) == printed


def test_layout_follows_elementwise_ops():
    source = text("""
        graph main(x: float[6, 6, 3]) {
          c: float[6, 6, 8] = conv2d(x) {layout='channels_last'}
          r: float[6, 6, 8] = relu(c)
          s: float[6, 6, 8] = softmax(r) {axis=-1}
          f: float[288] = flatten(s)
          return f
        }""")
    expected = text("""
        graph main(x: float[6, 6, 3]) {
          x.channels_first!: float[3, 6, 6] ~(0, 3, 1, 2) = transpose(x) {axes=(0, 3, 1, 2)}
          c: float[8, 6, 6] ~(0, 3, 1, 2) = conv2d(x.channels_first) {layout='channels_first'}
          r: float[8, 6, 6] ~(0, 3, 1, 2) = relu(c)
          s: float[8, 6, 6] ~(0, 3, 1, 2) = softmax(r) {axis=1}
          s.spec!: float[6, 6, 8] = transpose(s) {axes=(0, 2, 3, 1)}
          f: float[288] = flatten(s.spec)
          return f
        }""")
    assert assign(source, "channels_first") == expected


def test_layout_transposes_a_value_once():
    source = text("""
        graph main(x: float[6, 6, 3]) {
          a: float[6, 6, 8] = conv2d(x) {layout='channels_last'}
          b: float[6, 6, 8] = conv2d(x) {layout='channels_last'}
          return a, b
        }""")
    assert assign(source, "channels_first").count("transpose") == 3


def test_inline_gives_absolute_paths():
    source = text("""
        graph cell(x: float[4]) {
          d: float[4] = dense(x) [kernel(4, 4), bias(4)]
          return d
        }

        graph main(x: float[4]) {
          stage: float[4] = repeat<cell, cell>(x)
          out: float[4] = relu(stage)
          return out
        }""")
    expected = text("""
        graph main(x: float[4]) {
          stage.0.d: float[4] = dense(x) [kernel(4, 4), bias(4)]
          stage.1.d: float[4] = dense(stage.0.d) [kernel(4, 4), bias(4)]
          out: float[4] = relu(stage.1.d)
          return out
        }""")
    assert print_graphs(inline_graph(parse_graph(source))) == expected


def test_prune_keeps_named_layers_and_drops_unread_internal_values():
    source = text("""
        graph main(x: float[4]) {
          m!: float[4] = relu(x)
          named: float[4] = relu(x)
          out: float[4] = relu(x)
          return out
        }""")
    kept = print_graphs(prune_graph(parse_graph(source)))
    assert "m!" not in kept and "named" in kept


def test_fused_loss_takes_logits_and_head_gives_probabilities():
    program = run_passes(load_program(EXAMPLES[0].with_name("mnist_cnn.yaml"))[0])
    assert [value.name for value in program.graph.outputs] == ["probabilities.logits"]
    assert [node.op for node in program.head.nodes] == ["softmax"]
    assert program.training.losses[0].node["from_logits"] is True


@pytest.mark.parametrize(
    "source, message",
    [
        ("nonsense", "expected 'graph"),
        ("graph g(x: float[4]) {\n  y: float[4] = relu(z)\n  return y\n}", "'z' is not defined"),
        ("graph g(x: float[4]) {\n  y is x\n}", "not a node"),
        ("graph g(x: float[4]) {", "has no '}'"),
    ],
)
def test_wrong_text_is_refused(source, message):
    with pytest.raises(IrSyntaxError, match=message.replace("{", r"\{").replace("}", r"\}")):
        parse_graph(source)


def test_verifier_finds_a_name_made_twice():
    graph = parse_graph(
        "graph g(x: float[4]) {\n  y: float[4] = relu(x)\n  y: float[4] = relu(x)\n  return y\n}"
    )
    with pytest.raises(InvalidGraphError, match="made twice"):
        verify_graph(graph)

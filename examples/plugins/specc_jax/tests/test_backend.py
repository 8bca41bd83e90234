"""The JAX backend passes the conformance suite of specc, and writes idiomatic JAX."""

from pathlib import Path

import pytest

from specc.compiler import compile_program, compile_spec, load_program
from specc.diagnostics import SpecError
from specc.page.links import link_source
from specc.testing.backend_tests import BackendTests
from specc.testing.conformance import (
    continues_a_state,
    differentiates_alike,
    traces_alike,
    trains_alike,
)

EXAMPLES = Path(__file__).parents[3]


class Conformance(BackendTests):
    backend = "jax"
    sets = {"training.batch_size": "16"}
    samples = 40
    steps = 6


class TestExamples(Conformance):
    specs = (EXAMPLES / "mlp.yaml", EXAMPLES / "mnist_cnn.yaml")


class TestEverything(Conformance):
    """Blocks, a repeat, running statistics, dropout, a penalty, decay of some, and clipping."""

    specs = (Path(__file__).with_name("residual.yaml"),)
    checks = (traces_alike, differentiates_alike, continues_a_state, trains_alike)


def test_the_file_is_jax_as_people_write_it():
    text = compile_spec(EXAMPLES / "mnist_cnn.yaml", backend="jax")
    for part in (
        "def forward(parameters, inputs, ",
        "jax.value_and_grad(loss_of, has_aux=True)",
        'donate_argnames=("parameters", "slots")',
        "lax.conv_general_dilated(",
        "m = m + (1 - self.beta_1) * (gradient - m)",
        "Optimizer().update(values, gradients, slots, scalars)",
    ):
        assert part in text, part


def test_the_page_of_a_network_finds_each_layer_in_the_file():
    program, _ = load_program(EXAMPLES / "mnist_cnn.yaml")
    text = compile_program(program, "jax")
    lines = text.splitlines()
    found = link_source(text, program)
    assert {node.layer for node in program.graph.nodes} <= found.keys()
    for name in ("conv2", "flatten", "hidden"):
        first, _ = found[name][0]
        assert lines[first - 1].strip().startswith(f"{name} = ")


def test_the_model_alone():
    text = compile_spec(EXAMPLES / "mlp.yaml", backend="jax", only="model")
    assert "def predict(" in text
    assert "Trainer" not in text and "value_and_grad" not in text


def test_what_jax_cannot_express_is_said(tmp_path):
    spec = tmp_path / "net.yaml"
    spec.write_text(
        "specc: 1\nname: net\ninputs: {x: {shape: [5, 3]}}\n"
        "layers: [{name: y, lstm: 4}]\noutputs: [y]\n"
    )
    with pytest.raises(SpecError, match="the backend 'jax' cannot express 'lstm'"):
        compile_spec(spec, backend="jax")

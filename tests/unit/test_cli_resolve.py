"""A resolved spec says everything and means the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from specc.cli.boundary import guarded
from specc.cli.group import cli
from specc.compiler import compile_spec, resolve_spec

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
SPECS = [*EXAMPLES, Path(__file__).parent / "fixtures" / "two_branches.yaml"]


def code(path: Path) -> str:
    """A generated file without the docstring, which names the spec's file and digest."""
    return re.sub(r'\A""".*?"""', "", compile_spec(path, backend="torch"), flags=re.DOTALL)


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_a_resolved_spec_compiles_to_the_same_file_and_resolves_to_itself(spec, tmp_path):
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(resolve_spec(spec))
    assert code(resolved) == code(spec)
    assert resolve_spec(resolved) == resolved.read_text()


def test_every_default_is_written_out(tmp_path):
    spec = tmp_path / "net.yaml"
    spec.write_text(
        "specc: 1\nname: net\ninputs: {x: {shape: [4]}}\ntargets: {y: {shape: [2]}}\n"
        "layers: [{dense: 3}, relu, {name: out, linear: {units: 2, kernel_regularizer: l2}}]\n"
        "training: {loss: {mean_squared_error: {prediction: out, target: y}}}\n"
    )
    found = yaml.safe_load(resolve_spec(spec))
    assert found["conventions"] == "keras"
    assert found["seed"] == 0
    first, _, out = found["layers"]
    assert first["dense"]["kernel_initializer"] == "glorot_uniform"
    assert out["dense"]["kernel_regularizer"]["l2"]
    assert found["training"]["loss"]["mean_squared_error"]["weight"] == 1.0
    assert found["training"]["optimizer"]["adam"]["learning_rate"]
    assert found["training"]["shuffle"] is True


def test_the_command_prints_a_spec_with_its_settings(capsys):
    spec = str(EXAMPLES[0].parent / "mlp.yaml")
    assert guarded(cli, ["resolve", spec, "--set", "training.epochs=3"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["training"]["epochs"] == 3


def test_convert_goes_both_ways(capsys, tmp_path):
    spec = EXAMPLES[0].parent / "mlp.yaml"
    language, back = tmp_path / "mlp.specc", tmp_path / "back.yaml"
    assert guarded(cli, ["convert", str(spec), "-o", str(language)]) == 0
    assert guarded(cli, ["convert", str(language), "-o", str(back)]) == 0
    assert language.read_text().splitlines()[0].startswith("#")
    assert code(back) == code(language) == code(spec)

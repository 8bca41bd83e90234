"""snake is an operation like any other: in specs, on every backend, in the schema, in docs."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from specc_snake import OPS, Snake

from specc.compiler import compile_spec, load_program
from specc.diagnostics import SpecError
from specc.testing import assert_equivalent

WAVES = Path(__file__).with_name("waves.yaml")


def specc(*arguments: str) -> str:
    command = [sys.executable, "-m", "specc.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_it_trains_the_same_on_every_backend():
    """NumPy's gradient is written by hand; the others differentiate."""
    found = assert_equivalent(WAVES, steps=12, samples=100)
    assert found.max_relative_difference < 1e-12


def test_generated_code():
    assert "preactivation" not in compile_spec(WAVES, backend="numpy", optimize=0)
    for backend, sine in (("numpy", "np.sin"), ("torch", "torch.sin"), ("tensorflow", "tf.sin")):
        text = compile_spec(WAVES, backend=backend, optimize=0)
        assert f"snake = dense + {sine}(2.0 * dense) ** 2 / 2.0  # (batch, 16)" in text


def test_the_schema_knows_it():
    schema = json.loads(specc("schema"))
    spec = yaml.safe_load(WAVES.read_text())
    jsonschema.validate(spec, schema)
    spec["layers"][1] = {"snake": {"frequenzy": 2.0}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spec, schema)


def test_the_command_line_explains_it():
    assert "snake" in specc("ops")
    assert "Neural networks fail to learn periodic functions" in specc("ops", "snake")
    (attribute,) = json.loads(specc("ops", "snake", "--json"))["attributes"]
    assert (attribute["name"], attribute["default"]) == ("frequency", 1.0)


def test_mistakes_are_diagnostics():
    for value, message in (("0", "a number above 0"), ("fast", "a number above 0")):
        with pytest.raises(SpecError, match=message) as caught:
            load_program(WAVES, {"layers.snake.frequency": value})
        assert caught.value.diagnostics[0].code.startswith("E05")


@pytest.mark.parametrize("sample", Snake.samples)
def test_samples(sample, tmp_path):
    spec = {
        "specc": 1,
        "name": "sample",
        "inputs": {"x": {"shape": list(sample.inputs[0].shape[1:])}},
        "layers": [{"name": "y", "snake": dict(sample.attributes)}],
        "outputs": ["y"],
    }
    path = tmp_path / "sample.yaml"
    path.write_text(yaml.safe_dump(spec))
    program, _ = load_program(path)
    assert program.outputs["y"].type == sample.inputs[0]


def test_what_the_entry_point_names():
    assert [op.kind for op in OPS] == ["snake"]

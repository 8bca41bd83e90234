"""The JSON schema: current, valid, and of one mind with the compiler on every example."""

import json
from pathlib import Path

import jsonschema
import pytest

from specc.compiler import load_tree
from specc.frontend.expression_text import to_text
from specc.frontend.expressions import Expression
from specc.frontend.schema import spec_schema
from specc.frontend.tree import to_plain

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


def written(value):
    """Plain values with expressions as YAML writes them."""
    if isinstance(value, Expression):
        return f"${{{to_text(value)}}}"
    if isinstance(value, list):
        return [written(each) for each in value]
    if isinstance(value, dict):
        return {key: written(each) for key, each in value.items()}
    return value


def test_file_is_current():
    stored = json.loads((ROOT / "schemas" / "spec.schema.json").read_text())
    assert stored == spec_schema(), "run `specc schema -o schemas/spec.schema.json`"


def test_schema_is_valid():
    jsonschema.Draft202012Validator.check_schema(spec_schema())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_fit(path):
    validator = jsonschema.Draft202012Validator(spec_schema())
    problems = [
        error.message for error in validator.iter_errors(written(to_plain(load_tree(path))))
    ]
    assert problems == []


@pytest.mark.parametrize(
    "layer",
    [
        {"dens": {"units": 3}},
        {"dense": {"unit": 3}},
        {"dense": {"units": "three"}},
        {"conv2d": {"filters": 3}},
        {"repeat": {"layers": []}},
        "dens",
    ],
    ids=str,
)
def test_wrong_layers_are_refused(layer):
    validator = jsonschema.Draft202012Validator(spec_schema())
    assert not validator.is_valid({"specc": 1, "layers": [layer]})

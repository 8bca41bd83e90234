"""The generator: it knows no op by name, so what it draws is held against the registries."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from specc.fuzz.case import Case
from specc.fuzz.draw import draw_spec
from specc.fuzz.spec import Spec, accepted, located, plain
from specc.ops.activations import ACTIVATIONS
from specc.ops.losses import LOSSES
from specc.ops.registry import visible
from specc.training.clipping import CLIPPINGS
from specc.training.initializers import INITIALIZERS
from specc.training.metrics import METRICS
from specc.training.optimizers import OPTIMIZERS
from specc.training.regularizers import REGULARIZERS
from specc.training.schedules import SCHEDULES

COUNT = 400
REGISTRIES = {
    "operation": visible(),
    "activation": ACTIVATIONS,
    "loss": LOSSES,
    "metric": METRICS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "clipping": CLIPPINGS,
    "initializer": INITIALIZERS,
    "regularizer": REGULARIZERS,
}


@pytest.fixture(scope="module")
def specs() -> list[Spec]:
    return [draw_spec(0, index) for index in range(COUNT)]


def words(value: Any) -> Iterator[str]:
    """Every key and every text of a plain value."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from words(each)
    elif isinstance(value, list):
        for each in value:
            yield from words(each)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("kind", REGISTRIES)
def test_everything_in_the_registries_is_drawn(kind: str, specs: list[Spec]) -> None:
    drawn = {word for spec in specs for word in words(spec)}
    assert set(REGISTRIES[kind]) - drawn == set()


def test_every_attribute_of_every_operation_is_drawn(specs: list[Spec]) -> None:
    drawn: dict[str, set[str]] = {}

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            for key, each in value.items():
                if key in visible() and isinstance(each, dict):
                    drawn.setdefault(key, set()).update(each)
                collect(each)
        elif isinstance(value, list):
            for each in value:
                collect(each)

    collect(specs)
    missing = {
        f"{kind}.{attribute.name}"
        for kind, op in visible().items()
        for attribute in op.attributes
        if attribute.name not in drawn.get(kind, ())
    }
    assert missing == set()


FORMS = {
    "several inputs": lambda spec: len(spec["inputs"]) > 1,
    "several outputs": lambda spec: len(spec["outputs"]) > 1,
    "a weight of a loss": lambda spec: "weight" in words(spec["training"]["loss"]),
    "a block": lambda spec: "blocks" in spec,
    "a block with a parameter": lambda spec: "$size" in words(spec.get("blocks", {})),
    "a repeat": lambda spec: any("repeat" in layer for layer in spec["layers"]),
    "a layer declared to be shared": lambda spec: "shared" in spec,
    "a layer called again": lambda spec: any("layer" in layer for layer in spec["layers"]),
    "several outputs of a layer": lambda spec: any("outputs" in each for each in spec["layers"]),
    "a mask from padding": lambda spec: "mask_zero" in words(spec),
    "a mask as an input": lambda spec: "bool" in words(spec["inputs"]),
    "a size that is left open": lambda spec: {"T", "S"} & set(words(spec["inputs"])),
    "an unnamed layer": lambda spec: any("name" not in layer for layer in spec["layers"]),
    "an implied source": lambda spec: any("from" not in layer for layer in spec["layers"]),
    "keras conventions": lambda spec: spec["conventions"] == "keras",
    "pytorch conventions": lambda spec: spec["conventions"] == "pytorch",
    "channels first": lambda spec: spec.get("layout") == "channels_first",
    "channels last": lambda spec: spec.get("layout") == "channels_last",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_drawn(form: str, specs: list[Spec]) -> None:
    assert any(FORMS[form](spec) for spec in specs)


def test_runs_differ() -> None:
    cases = [Case.draw(0, index) for index in range(60)]
    assert {case.weighted for case in cases} == {case.traced for case in cases} == {False, True}
    assert len({case.rows for case in cases}) > 2


def test_all_that_is_drawn_is_valid(specs: list[Spec]) -> None:
    assert all(accepted(spec) is not None for spec in specs)


def test_no_two_specs_are_the_same(specs: list[Spec]) -> None:
    assert len({str(spec["layers"]) for spec in specs}) > COUNT * 0.95


def test_a_case_derives_from_seed_and_index_alone() -> None:
    program = "from specc.fuzz.case import Case; print(Case.draw(3, 7).text, end='')"
    other = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert other.stdout == Case.draw(3, 7).text
    assert Case.draw(3, 8).text != Case.draw(3, 7).text


def test_a_case_is_read_back_from_its_text(tmp_path: Any) -> None:
    for index in range(20):
        case = Case.draw(4, index)
        path = tmp_path / f"{index}.yaml"
        path.write_text(case.text, encoding="utf-8")
        again = Case.load(path)
        assert again.text == case.text
        assert plain(located(again.spec)) == again.spec

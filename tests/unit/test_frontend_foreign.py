"""The names of other tools lead to names that specc has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from specc.frontend import foreign
from specc.frontend.build import SECTIONS
from specc.frontend.training import KEYS
from specc.ir.types import DTYPES
from specc.ops.activations import ACTIVATIONS
from specc.ops.losses import LOSSES
from specc.ops.registry import ALIASES, visible
from specc.training.metrics import METRICS
from specc.training.optimizers import OPTIMIZERS
from specc.training.schedules import SCHEDULES


def names_of(registry: Mapping[str, Any]) -> list[str]:
    return [n for kind, row in registry.items() for n in (kind, *getattr(row, "aliases", ()))]


def attributes() -> Iterator[str]:
    rows = [*visible().values(), *LOSSES.values(), *OPTIMIZERS.values(), *SCHEDULES.values()]
    for row in rows:
        yield from (attribute.name for attribute in row.attributes)


KNOWN = {
    "layer": [*visible(), *ALIASES],
    "loss": names_of(LOSSES),
    "optimizer": names_of(OPTIMIZERS),
    "metric": names_of(METRICS),
    "schedule": names_of(SCHEDULES),
    "activation": names_of(ACTIVATIONS),
    "section": [*SECTIONS],
    "training": [*KEYS],
    "dtype": [*DTYPES],
    "port": ["prediction", "target"],
    "attribute": [*attributes()],
}
ENTRIES = [
    (table, pattern, advice)
    for table, entries in foreign._TABLES.items()
    for pattern, advice in entries.items()
]


def test_every_table_is_checked() -> None:
    assert set(foreign._TABLES) == set(KNOWN)


@pytest.mark.parametrize(("table", "pattern", "advice"), ENTRIES, ids=lambda text: text[:30])
def test_entry(table: str, pattern: str, advice: str) -> None:
    re.compile(pattern)
    if " " not in advice:
        for choice in advice.split("|"):
            # A group of the pattern stands for 1 or 2, the number of directions.
            assert {re.sub(r"\\\d", each, choice) for each in "12"} & set(KNOWN[table])


@pytest.mark.parametrize("op", [*visible().values()], ids=lambda op: op.kind)
def test_what_ops_refuse_leads_to_their_attributes(op: Any) -> None:
    names = {attribute.name for attribute in op.attributes}
    for refused, advice in op.refused.items():
        assert refused not in names
        meant = re.match(r"write (\w+)$", advice)
        assert meant is None or meant[1] in names


@pytest.mark.parametrize(
    ("name", "what", "help_"),
    [
        ("keras.layers.Dense", "layer", "did you mean 'dense'?"),
        ("LSTM", "layer", "did you mean 'lstm'?"),
        ("nn.MultiheadAttention", "layer", "did you mean 'multi_head_attention'?"),
        ("AveragePooling1D", "layer", "did you mean 'average_pooling1d'?"),
        ("MSELoss", "loss", "did you mean 'mse_loss'?"),
        ("RMSprop", "optimizer", "did you mean 'rmsprop'?"),
        ("StepLR", "schedule", "did you mean 'step_lr'?"),
        ("snake", "layer", ""),
    ],
)
def test_translated(name: str, what: str, help_: str) -> None:
    assert foreign.translated(name, what, KNOWN[what]) == help_


def test_a_choice_that_belongs_elsewhere() -> None:
    assert foreign.elsewhere("cosine") == "'cosine' is a schedule of the learning_rate"
    assert foreign.elsewhere("snake") == ""

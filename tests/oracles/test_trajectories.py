"""The generated files of every backend against real Keras and hand-written PyTorch: 40 steps.

``python tests/oracles/campaign.py`` does 200 steps and prints the figures.
"""

from pathlib import Path

import numpy as np
import pytest
from networks import BACKENDS, NETWORKS, Length, differences, movement, outcome, prepare, train

LENGTH = Length(epochs=5, batches=8, batch_size=16)
TOLERANCE = 1e-9


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {name: tmp_path_factory.mktemp(name) for name in NETWORKS}
    found = {name: path.rename(path.with_name(name)) for name, path in found.items()}
    for name, folder in found.items():
        prepare(NETWORKS[name], LENGTH, folder)
    train(found)
    return found


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NETWORKS)
def test_trains_as_the_framework(name: str, backend: str, folders: dict[str, Path]) -> None:
    found = differences(folders[name], backend)
    assert {tensor: d for tensor, d in found.items() if d > TOLERANCE} == {}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_tensor_moves(name: str, folders: dict[str, Path]) -> None:
    moved = movement(folders[name])
    assert {tensor: share for tensor, share in moved.items() if share < 1e-3} == {}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_start_is_the_same_to_the_bit(name: str, folders: dict[str, Path]) -> None:
    first, *others = (outcome(folders[name], backend) for backend in BACKENDS)
    for other in others:
        for tensor, array in first["start"].items():
            assert np.array_equal(array, other["start"][tensor]), tensor
        assert np.array_equal(first["plan"]["orders"], other["plan"]["orders"])

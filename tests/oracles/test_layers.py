"""Every layer and loss against the framework whose convention it follows: values and gradients.

The NumPy files are compared; that the backends agree is tests/ops/test_op_table.py's.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from layer_cases import Arrays, cases, read, write

ORACLES = {"keras": "keras_layers.py", "pytorch": "torch_layers.py"}
CASES = [(name, conventions) for conventions in ORACLES for name in cases(conventions)]
TOLERANCE = 1e-12

Results = dict[tuple[str, str], tuple[dict[str, Arrays], dict[str, Arrays] | str]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """(what the generated file computes, what the framework does) by name and convention."""
    found: Results = {}
    for conventions, script in ORACLES.items():
        root = tmp_path_factory.mktemp(conventions)
        ours = {name: write(case, root / name) for name, case in cases(conventions).items()}
        subprocess.run(
            [sys.executable, str(Path(__file__).with_name(script)), str(root)],
            check=True,
            capture_output=True,
            env={**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        found |= {(name, conventions): (each, read(root / name)) for name, each in ours.items()}
    return found


@pytest.mark.parametrize(("name", "conventions"), CASES)
def test_computes_as_the_framework(name: str, conventions: str, results: Results) -> None:
    ours, theirs = results[name, conventions]
    if isinstance(theirs, str):
        pytest.fail(f"the oracle has failed:\n{theirs}", pytrace=False)
    for group, arrays in ours.items():
        assert arrays.keys() == theirs[group].keys()
        for key, array in arrays.items():
            wanted = theirs[group][key]
            assert array.shape == wanted.shape, f"{group}/{key}"
            scale = max(np.abs(wanted).max(initial=0.0), 1e-3)
            difference = np.abs(array - wanted).max(initial=0.0) / scale
            assert difference <= TOLERANCE, f"{group}/{key}"

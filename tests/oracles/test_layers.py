"""Every layer and loss against the framework whose convention it follows: values and gradients.

The NumPy files are compared; that the backends agree is tests/ops/test_op_table.py's.
"""

import os
import subprocess
import sys
import traceback
from pathlib import Path

import numpy as np
import pytest
from layer_cases import Arrays, Case, cases, read, write

ORACLES = {"keras": "keras_layers.py", "pytorch": "torch_layers.py"}
CASES = [(name, conventions) for conventions in ORACLES for name in cases(conventions)]
TOLERANCE = 1e-12
# What adds the same to every key of attention: the true gradient is 0, and what rounding leaves of
# it is measured by the largest gradient.
INDIFFERENT = ("y.key.bias", "probe2.bias")

# What a file or a framework computes, or the traceback of what went wrong.
Found = dict[str, Arrays] | str
Results = dict[tuple[str, str], tuple[Found, Found]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """(what the generated file computes, what the framework does) by name and convention."""
    found: Results = {}
    for conventions, script in ORACLES.items():
        root = tmp_path_factory.mktemp(conventions)
        ours = {name: attempt(case, root / name) for name, case in cases(conventions).items()}
        subprocess.run(
            [sys.executable, str(Path(__file__).with_name(script)), str(root)],
            check=True,
            capture_output=True,
            env={**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        found |= {(name, conventions): (each, read(root / name)) for name, each in ours.items()}
    return found


def attempt(case: Case, folder: Path) -> Found:
    """One layer that cannot be built fails its own test and no other."""
    try:
        return write(case, folder)
    except Exception:
        return traceback.format_exc()


@pytest.mark.parametrize(("name", "conventions"), CASES)
def test_computes_as_the_framework(name: str, conventions: str, results: Results) -> None:
    ours, theirs = results[name, conventions]
    if isinstance(ours, str):
        pytest.fail(f"the generated file has failed:\n{ours}", pytrace=False)
    if isinstance(theirs, str):
        pytest.fail(f"the oracle has failed:\n{theirs}", pytrace=False)
    attention = name.startswith("multi_head_attention")
    for group, arrays in ours.items():
        assert arrays.keys() == theirs[group].keys()
        largest = max((np.abs(each).max(initial=0.0) for each in arrays.values()), default=0.0)
        for key, array in arrays.items():
            wanted = theirs[group][key]
            assert array.shape == wanted.shape, f"{group}/{key}"
            own = largest if attention and key in INDIFFERENT else np.abs(wanted).max(initial=0.0)
            scale = max(own, 1e-3)
            difference = np.abs(array - wanted).max(initial=0.0) / scale
            assert difference <= TOLERANCE, f"{group}/{key}"

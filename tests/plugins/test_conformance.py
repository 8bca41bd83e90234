"""The core backends conform to what is asked of plug-ins, and the suite notices who does not."""

from pathlib import Path

from specc.testing.backend_tests import BackendTests
from specc.testing.conformance import CHECKS, runs_from_the_command_line, trains_alike

EXAMPLES = Path(__file__).parents[2] / "examples"


class Quick(BackendTests):
    specs = (EXAMPLES / "mlp.yaml",)
    # Comparisons over many steps have their own tests, and so has the command line.
    checks = tuple(c for c in CHECKS if c not in (runs_from_the_command_line, trains_alike))


class TestNumpy(Quick):
    backend = "numpy"
    checks = CHECKS


class TestTorch(Quick):
    backend = "torch"


class TestTensorflow(Quick):
    backend = "tensorflow"

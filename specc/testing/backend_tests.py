"""The conformance suite of backends as pytest tests, one per check and spec.

.. code-block:: python

    from specc.testing.backend_tests import BackendTests

    class TestMine(BackendTests):
        backend = "mine"
        specs = ("mlp.yaml", "cnn.yaml")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import pytest

from specc.testing.conformance import CHECKS, Check, Subject, opened


class BackendTests:
    """Subclass it and name the backend and the specs. `specc.testing.conformance` says the rest."""

    backend: ClassVar[str]
    specs: ClassVar[Sequence[str | Path]]
    sets: ClassVar[Mapping[str, str]] = MappingProxyType({})
    checks: ClassVar[Sequence[Check]] = CHECKS
    steps: ClassVar[int] = 10
    tolerance: ClassVar[float] = 1e-10
    samples: ClassVar[int | None] = 150

    _opened: ClassVar[ExitStack]
    _subjects: ClassVar[dict[str | Path, Subject]]

    @classmethod
    def setup_class(cls) -> None:
        cls._opened, cls._subjects = ExitStack(), {}

    @classmethod
    def teardown_class(cls) -> None:
        cls._opened.close()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        metafunc.parametrize("check", self.checks, ids=[check.__name__ for check in self.checks])
        metafunc.parametrize("spec", self.specs, ids=[Path(spec).stem for spec in self.specs])

    def test_conforms(self, spec: str | Path, check: Check) -> None:
        if spec not in self._subjects:
            # One spec after the other: its processes run for all of its checks.
            self._opened.close()
            self._subjects.clear()
            self._subjects[spec] = self._opened.enter_context(
                opened(
                    self.backend,
                    spec,
                    sets=self.sets,
                    steps=self.steps,
                    tolerance=self.tolerance,
                    samples=self.samples,
                )
            )
        check(self._subjects[spec])

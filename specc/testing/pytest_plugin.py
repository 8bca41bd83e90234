"""The pytest plug-in: ``pytest --specc models/`` runs every spec there as a test.

It is loaded in every project that has specc installed, so it imports nothing of specc until
``--specc`` is given.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

SUFFIXES = (".yaml", ".yml", ".specc")


def _tolerance(text: str) -> float:
    value = float(text)
    if not value >= 0:  # nor is anything larger than NaN: no comparison could fail
        raise argparse.ArgumentTypeError(f"{text} is no tolerance")
    return value


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("specc", "specs that must train identically on every backend")
    group.addoption(
        "--specc",
        action="append",
        default=[],
        metavar="PATH",
        help="collect this spec, or the specs in this folder, as tests (repeatable)",
    )
    group.addoption("--specc-backends", default="numpy,torch,tensorflow", metavar="NAMES")
    group.addoption("--specc-steps", type=int, default=20, metavar="N")
    group.addoption("--specc-dtype", default="float64", choices=["float32", "float64"])
    group.addoption("--specc-tolerance", type=_tolerance, default=1e-10, metavar="X")


_ONLY_SPECS = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    # The paths join those of the command line; where it names none, the specs alone are run.
    paths = config.getoption("--specc")
    alone = bool(paths) and config.args_source is not pytest.Config.ArgsSource.ARGS
    config.stash[_ONLY_SPECS] = alone
    if alone:
        config.args[:] = []
    config.args.extend(path for path in paths if path not in config.args)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    unwanted = collection_path.is_file() and collection_path.suffix not in SUFFIXES
    return True if unwanted and config.stash[_ONLY_SPECS] else None


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> SpecFile | None:
    paths = [Path(path).resolve() for path in parent.config.getoption("--specc")]
    if not paths or file_path.suffix not in SUFFIXES:
        return None
    if not any(file_path == path or path in file_path.parents for path in paths):
        return None
    return SpecFile.from_parent(parent, path=file_path)


class SpecFile(pytest.File):
    """A spec: one test."""

    def collect(self) -> Iterable[pytest.Item]:
        # A fragment that other specs include is no spec: it does not begin by saying which version
        # it is.
        text = self.path.read_text(encoding="utf-8")
        lines = (line.strip() for line in text.splitlines())
        if any(line.startswith(("specc:", "spec ")) for line in lines):
            yield SpecItem.from_parent(self, name="trains_identically")


class SpecItem(pytest.Item):
    """Fails where the backends part."""

    # Plug-ins such as pytest-lsp take every item for a function's, and look for its fixtures.
    funcargs: Mapping[str, object] = {}

    def runtest(self) -> None:
        from specc.testing import assert_equivalent

        option = self.config.getoption
        assert_equivalent(
            self.path,
            option("--specc-backends").split(","),
            steps=option("--specc-steps"),
            dtype=option("--specc-dtype"),
            tolerance=option("--specc-tolerance"),
        )

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        from specc.diagnostics import SpecError

        if isinstance(excinfo.value, AssertionError | SpecError):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo, style))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"specc: {self.path.name}"

"""What the tests of hostile input share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hostile.enclosure import Enclosure


@pytest.fixture(scope="session")
def enclosure() -> Iterator[Enclosure]:
    """Commands under limits of time and memory."""
    with Enclosure() as running:
        yield running

"""Prepared arrays as a file: what generated programs read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from specc.atomic import replacing
from specc.data.conform import Arrays
from specc.data.loading import Dataset


def write_prepared(dataset: Dataset, path: Path) -> None:
    """Writes an npz whose keys are ``part/name``: ``train/image``, ``test/label``, ...

    The file appears whole or not at all. Raises OSError if it cannot be written.
    """
    parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    arrays = {
        f"{part}/{name}": array
        for part, rows in parts.items()
        if rows is not None
        for name, array in {**rows.inputs, **rows.targets}.items()
    }
    with replacing(path, durable=True) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_prepared(path: Path) -> dict[str, Arrays]:
    """The arrays of each part that the file has: ``{"train": {"image": ...}, ...}``."""
    parts: dict[str, Arrays] = {}
    with np.load(path, allow_pickle=False) as archive:
        for key in archive.files:
            part, name = key.split("/", 1)
            parts.setdefault(part, {})[name] = archive[key]
    return parts

"""The data files of the package: the grammar and the JSON schema."""

from __future__ import annotations

from pathlib import Path


def resource_path(folder: str, name: str) -> Path:
    """Where a data file stands: inside an installed package, or beside ``specc/`` in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / folder / name
    return installed if installed.exists() else package.parent / folder / name

"""Files beside the code: the data files of the package, and what is kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def resource_path(folder: str, name: str) -> Path:
    """Where a data file stands: inside an installed package, or beside ``specc/`` in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / folder / name
    return installed if installed.exists() else package.parent / folder / name


def cache_file(name: str) -> Path | None:
    """Where something is kept between runs: in the user's own cache folder, if there is one."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(base) / "specc"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    mine = not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
    return folder / name if mine and os.access(folder, os.W_OK) else None

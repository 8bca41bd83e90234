"""Data of a spec: read, divided and prepared.

``specc.data.spec`` reads the data section without NumPy; ``load`` and what belongs to it are
imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from specc.data.loading import Dataset, Part, apply, load
    from specc.data.prepared import read_prepared, write_prepared

__all__ = ["Dataset", "Part", "apply", "load", "read_prepared", "write_prepared"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'specc.data' has no attribute '{name}'")
    from specc.data import loading, prepared

    return getattr(prepared if name.endswith("prepared") else loading, name)

"""For users' own tests: prove that a spec trains identically on every backend.

.. code-block:: python

    from specc.testing import assert_equivalent

    def test_net():
        assert_equivalent("net.yaml", backends=("numpy", "torch"), steps=50)

With pytest, ``pytest --specc models/`` collects every spec in a folder as such a test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from specc.testing.equivalence import assert_equivalent

__all__ = ["assert_equivalent"]


def __getattr__(name: str) -> Any:
    # pytest imports this package for its plug-in in every project: what it needs comes on use.
    if name not in __all__:
        raise AttributeError(f"module 'specc.testing' has no attribute '{name}'")
    from specc.testing import equivalence

    return getattr(equivalence, name)

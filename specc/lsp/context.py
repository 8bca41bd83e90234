"""What stands at a place of a text that need not be a spec yet."""

from __future__ import annotations

from dataclasses import field

from specc.records import dataclass

Path = tuple[str, ...]
"""Keys from the root to a place, ``-`` for the items of a list: ("layers", "-", "dense", "units").

Where what a key means depends on another one, the key has that behind a colon: the parameters of a
block's use lie under ``with:BLOCK``.
"""


@dataclass
class Place:
    """The place of a cursor: which mapping's keys may stand there, and which values.

    ``start`` is where the word that is being typed begins; ``used`` are the keys that the mapping
    has, ``siblings`` the short values among them. ``statement`` means the beginning of a statement
    of the language, ``quoted`` the inside of a text in quotes.
    """

    start: int
    keys: Path | None = None
    values: Path | None = None
    used: frozenset[str] = frozenset()
    siblings: dict[str, str] = field(default_factory=dict)
    statement: bool = False
    quoted: bool = False

    @property
    def path(self) -> Path:
        return self.keys if self.keys is not None else self.values or ()

    @property
    def block(self) -> str:
        """The block that the place is in; empty outside of blocks."""
        path = self.path
        return path[1] if len(path) > 1 and path[0] == "blocks" else ""

    @property
    def depth(self) -> int:
        """How many repeats are around the place."""
        return self.path.count("repeat")

"""Which part of a tree stands at an offset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field

from specc.frontend.tree import Mapping, Scalar, Sequence, Tree
from specc.lsp.analysis import Analysis
from specc.lsp.context import Path, Place
from specc.records import dataclass


@dataclass(frozen=True)
class Found:
    """A key or value, where it lies, and the mappings that it is in, outermost first."""

    path: Path
    scalar: Scalar
    is_key: bool
    around: tuple[Mapping, ...] = field(default=())

    @property
    def place(self) -> Place:
        """The place as completion sees it; a key's path ends with the key."""
        siblings = {
            str(key.value): str(value.value)
            for key, value in (self.around[-1].entries if self.around else ())
            if isinstance(value, Scalar)
        }
        outer = self.path[:-1] if self.is_key else None
        start = self.scalar.span.start
        return Place(start, outer, None if self.is_key else self.path, siblings=siblings)


def find_scalar(analysis: Analysis, offset: int) -> Found | None:
    """The key or value that an offset stands in, or at the end of."""
    if analysis.tree is None:
        return None
    best: Found | None = None
    for found in _walk(analysis.tree, (), ()):
        span = found.scalar.span
        if not analysis.here(span) or not span.start <= offset <= span.end:
            continue
        if found.is_key and span.text.strip("\"'") != found.scalar.value:
            continue  # a key that the text leaves out
        if best is None or span.end - span.start <= best.scalar.span.end - best.scalar.span.start:
            best = found
    return best


def _walk(tree: Tree, path: Path, around: tuple[Mapping, ...]) -> Iterator[Found]:
    if isinstance(tree, Scalar):
        yield Found(path, tree, False, around)
    elif isinstance(tree, Sequence):
        for item in tree.items:
            yield from _walk(item, (*path, "-"), around)
    else:
        inner = (*around, tree)
        use = tree.get("use")
        for key, value in tree.entries:
            name = str(key.value)
            if name == "with" and isinstance(use, Scalar):
                name = f"with:{use.value}"
            yield Found((*path, name), key, True, inner)
            yield from _walk(value, (*path, name), inner)

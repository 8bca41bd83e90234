"""Included files: blocks and parameters that several specs share.

Only files inside the spec's own folder can be included, so that a spec from a stranger reads
nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import field, replace
from pathlib import Path

from specc.diagnostics import Diagnostic, Note, Span, SpecError, did_you_mean
from specc.frontend.sources import MAX_ERRORS, MAX_SIZE, SUFFIXES, resolve_path
from specc.frontend.tree import SECTIONS, Mapping, Scalar, Sequence, Tree
from specc.records import dataclass

MAX_FILES = 100
"""A spec that includes more files is refused."""

MAX_INCLUDED = 2 * MAX_SIZE
"""A spec that includes files of more bytes together is refused."""

MAX_MERGED = 50_000
"""So are files that include each other in so many ways that more entries are merged."""

_MERGED = ("parameters", "blocks")
_IGNORED = ("specc", "name", "includes")

ReadFile = Callable[[Path, str, Callable[[Scalar], Mapping]], Mapping]
"""Reads one file without its includes, given its path, its name for messages and how to read what
it includes."""


@dataclass
class Includes:
    """The files of one spec. ``read`` reads a single file; ``folder`` bounds what may be
    included.
    """

    folder: Path
    read: ReadFile
    trees: dict[Path, Mapping | SpecError] = field(default_factory=dict)
    bytes: int = 0
    merged: int = 0

    def spec(self, path: Path, name: str) -> Mapping:
        """The spec at ``path`` with the blocks and parameters of all that it includes."""
        return self._merge(self.single(path, name), path, name, (resolve_path(path, name),))

    def single(self, path: Path, name: str) -> Mapping:
        """The spec at ``path`` by itself, read with the names of what it includes."""
        chain = (resolve_path(path, name),)
        return self.read(path, name, lambda leaf: self._included(leaf, path, name, chain))

    def _included(self, leaf: Scalar, path: Path, name: str, chain: tuple[Path, ...]) -> Mapping:
        target, shown = self._locate(leaf, path, name)
        if target in chain:
            message = f"'{leaf.value}' includes itself"
            if len(chain) > 1:
                through = " -> ".join(p.name for p in (*chain[chain.index(target) :], target))
                message = f"this include goes round in a circle: {through}"
            raise SpecError(Diagnostic("E0007", message, leaf.span, help="remove it"))
        if target not in self.trees:
            # A file with mistakes is read once too: there may be many ways that lead to it.
            try:
                self.trees[target] = self._new(leaf, target, shown, (*chain, target))
            except SpecError as error:
                self.trees[target] = error
        found = self.trees[target]
        if isinstance(found, SpecError):
            raise found
        return found

    def _new(self, leaf: Scalar, target: Path, shown: str, chain: tuple[Path, ...]) -> Mapping:
        """A file that is included for the first time, with all that it includes."""
        self.bytes += os.path.getsize(target) if os.path.isfile(target) else 0
        if len(self.trees) >= MAX_FILES:
            message = f"a spec includes at most {MAX_FILES} files"
            raise SpecError(Diagnostic("E0006", message, leaf.span))
        if self.bytes > MAX_INCLUDED:
            message = f"the included files have more than {MAX_INCLUDED:,} bytes together"
            raise SpecError(Diagnostic("E0006", message, leaf.span))
        try:
            tree = self.read(target, shown, lambda each: self._included(each, target, shown, chain))
        except SpecError as error:
            raise _at_include(error, leaf.span) from None
        self._refuse_sections(tree)
        return self._merge(tree, target, shown, chain)

    def _locate(self, leaf: Scalar, path: Path, name: str) -> tuple[Path, str]:
        """The file that is meant and its name for messages. Raises E0006 for one outside the
        folder."""
        text = leaf.value
        if not isinstance(text, str) or not text or "\0" in text:
            message = "an include is the name of a file"
            raise SpecError(
                Diagnostic("E0006", message, leaf.span, help=f'e.g. "blocks{SUFFIXES[-1]}"')
            )
        folder = self.folder.resolve()
        try:
            target = resolve_path(path.parent / text, text)
        except SpecError as error:
            raise _at_include(error, leaf.span) from None
        if not target.is_relative_to(folder):
            message = f"'{text}' lies outside the spec's folder"
            help_text = "only files beside the spec or in folders below it can be included"
            raise SpecError(Diagnostic("E0006", message, leaf.span, help=help_text))
        return target, str(Path(name).parent / text)

    def _refuse_sections(self, tree: Mapping) -> None:
        allowed = (*_MERGED, *_IGNORED)
        diagnostics = []
        for key, _ in tree.entries:
            if key.value in allowed:
                continue
            name = str(key.value)
            message = f"an included file has no '{name}': it holds blocks and parameters"
            help_text = "" if name in SECTIONS else did_you_mean(name, _MERGED)
            diagnostics.append(Diagnostic("E0008", message, key.span, help=help_text))
        if diagnostics:
            raise SpecError(diagnostics)

    def _merge(self, tree: Mapping, path: Path, name: str, chain: tuple[Path, ...]) -> Mapping:
        names = tree.get("includes")
        if names is None:
            return tree
        diagnostics: list[Diagnostic] = []
        included: list[Mapping] = []
        leaves = names.items if isinstance(names, Sequence) else (names,)
        if len(leaves) > MAX_FILES:
            message = f"a spec includes at most {MAX_FILES} files"
            raise SpecError(Diagnostic("E0006", message, names.span))
        for leaf in leaves:
            try:
                if not isinstance(leaf, Scalar):
                    message = "an include is the name of a file"
                    raise SpecError(Diagnostic("E0006", message, leaf.span))
                included.append(self._included(leaf, path, name, chain))
            except SpecError as error:
                diagnostics.extend(error.diagnostics)
            if len(diagnostics) >= MAX_ERRORS:
                raise SpecError(dict.fromkeys(diagnostics))
        parts = [part for each in included for section in _MERGED if (part := each.get(section))]
        self.merged += sum(len(part.entries) for part in parts if isinstance(part, Mapping))
        if self.merged > MAX_MERGED:
            message = f"the included files bring in more than {MAX_MERGED:,} blocks and parameters"
            raise SpecError([*diagnostics, Diagnostic("E0006", message, names.span)])
        for section in _MERGED:
            tree = _merge_section(tree, section, included, diagnostics)
        if diagnostics:
            raise SpecError(dict.fromkeys(diagnostics))
        return replace(tree, entries=tuple(e for e in tree.entries if e[0].value != "includes"))


def _at_include(error: SpecError, span: Span) -> SpecError:
    """The errors of an included file; one that has no place (a missing file) stands at the
    include.
    """
    return SpecError(replace(d, span=d.span or span) for d in error.diagnostics)


def _merge_section(
    tree: Mapping, section: str, included: list[Mapping], diagnostics: list[Diagnostic]
) -> Mapping:
    """The tree with that section's entries of the included files before its own."""
    own = tree.get(section)
    parts = [part for part in (each.get(section) for each in included) if part is not None]
    if not parts or (own is not None and not isinstance(own, Mapping)):
        return tree
    seen: dict[str, Scalar] = {}
    entries: list[tuple[Scalar, Tree]] = []
    for part in [*parts, *([own] if own is not None else [])]:
        for key, value in part.entries if isinstance(part, Mapping) else ():
            name = str(key.value)
            if name not in seen:
                seen[name] = key
                entries.append((key, value))
            elif seen[name].span != key.span:
                first = Note("it is defined here too", seen[name].span)
                message = f"'{name}' of {section} is defined twice"
                diagnostics.append(Diagnostic("E0009", message, key.span, (first,), "rename one"))
    merged = Mapping(tuple(entries), (own or parts[0]).span)
    others = [e for e in tree.entries if e[0].value != section]
    key = tree.key(section) or Scalar(section, merged.span)
    placed = [*others, (key, merged)]
    order = {name: position for position, name in enumerate(SECTIONS)}
    placed.sort(key=lambda e: order.get(str(e[0].value), len(order)))
    return replace(tree, entries=tuple(placed))

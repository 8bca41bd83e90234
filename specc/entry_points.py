"""What installed packages offer under a name of entry points, read straight from their metadata.

Importing importlib.metadata takes longer than checking a spec, and every command asks for plug-ins.
So the folders of ``sys.path`` are read here as the packaging guides specify them: a package has a
folder NAME-VERSION.dist-info (or .egg-info) whose entry_points.txt lists them by group. Where the
path has something else than folders on it, such as a zip file, importlib.metadata is asked instead.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from specc.records import dataclass

_METADATA = (".dist-info", ".egg-info")


@dataclass(frozen=True)
class EntryPoint:
    """``name = value`` of a group; ``package`` is the distribution that brings it, with its
    version.
    """

    name: str
    value: str
    package: str

    def load(self) -> Any:
        """The object at "module:attribute". Raises whatever its import raises."""
        module, _, attribute = self.value.partition(":")
        found: Any = import_module(module.strip())
        for part in filter(None, attribute.strip().split(".")):
            found = getattr(found, part)
        return found


def entry_points(group: str) -> list[EntryPoint]:
    """The entry points of a group, those of each package once, in the order of ``sys.path``."""
    if all(os.path.isdir(folder or ".") or not os.path.exists(folder) for folder in sys.path):
        return [*_read(group)]
    from importlib import metadata

    return [
        EntryPoint(
            each.name, each.value, f"{each.dist.name} {each.dist.version}" if each.dist else ""
        )
        for each in metadata.entry_points(group=group)
    ]


def _read(group: str) -> Iterator[EntryPoint]:
    seen: set[str] = set()
    for folder in sys.path:
        for entry in _metadata_folders(folder or "."):
            stem = entry.name.rpartition(".")[0]
            name, _, version = stem.partition("-")
            # As packages are told apart: case and the kind of separator do not count.
            key = re.sub(r"[-_.]+", "-", name).lower()
            if key not in seen:
                seen.add(key)
                package = f"{name.replace('_', '-')} {version}".strip()
                yield from _listed(entry.path, group, package)


def _metadata_folders(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if e.name.endswith(_METADATA)), key=lambda e: e.name)
    except OSError:  # sys.path may name folders that do not exist or cannot be read
        return []


def _listed(folder: str, group: str, package: str) -> Iterator[EntryPoint]:
    """The lines ``name = value`` below ``[group]``."""
    try:
        with open(os.path.join(folder, "entry_points.txt"), encoding="utf-8") as file:
            text = file.read()
    except (FileNotFoundError, NotADirectoryError):  # most packages have none
        return
    if f"[{group}]" not in text:
        return
    current = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            current = line.strip("[]").strip()
        elif current == group and "=" in line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield EntryPoint(name.strip(), value.partition("[")[0].strip(), package)

"""Finds backends and ops that installed packages bring, through entry points.

The core's own backends come through the same door. A plug-in that fails to load, or a name that two of them claim, is
an error that is said once, in full.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from specc.backends.base import Backend
from specc.diagnostics import Diagnostic, SpecError, did_you_mean

BACKENDS = "specc.backends"
OPERATIONS = "specc.ops"


@cache
def backend_entries() -> dict[str, EntryPoint]:
    """Every backend's entry point by name. Raises SpecError when two packages claim a name."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=BACKENDS):
        other = found.get(entry.name)
        if other is not None and other.value != entry.value:
            raise SpecError(
                Diagnostic(
                    "E0903",
                    f"two packages bring a backend '{entry.name}': {_package(other)} and {_package(entry)}",
                    help="uninstall one of them",
                )
            )
        found[entry.name] = entry
    return found


def find_backend(name: str) -> Backend:
    """The backend of that name. Raises SpecError."""
    entries = backend_entries()
    if name not in entries:
        raise SpecError(
            Diagnostic("E0902", f"there is no backend '{name}'", help=did_you_mean(name, entries))
        )
    backend = _load(entries[name])()
    assert isinstance(backend, Backend)
    return backend


@cache
def load_operations() -> None:
    """Registers the ops of installed packages."""
    from specc.ops.registry import NameClashError, register

    for entry in entry_points(group=OPERATIONS):
        try:
            register(_load(entry))
        except NameClashError as error:
            raise SpecError(Diagnostic("E0903", f"{error} (from {_package(entry)})")) from error


def _load(entry: EntryPoint):  # type: ignore[no-untyped-def]
    try:
        return entry.load()
    except Exception as error:
        message = f"the plug-in '{entry.name}' of {_package(entry)} does not load: {error}"
        raise SpecError(Diagnostic("E0904", message, help="update or uninstall it")) from error


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value

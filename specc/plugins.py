"""Finds backends and ops that installed packages bring, through entry points.

The core's own backends come through the same door. A plug-in that fails to load, or a name that two
of them claim, is an error that is said once, in full.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from specc.diagnostics import Diagnostic, Note, SpecError, did_you_mean
from specc.entry_points import EntryPoint, entry_points
from specc.ops.base import Op
from specc.ops.registry import NameClashError, register

if TYPE_CHECKING:
    from specc.backends.base import Backend

BACKENDS = "specc.backends"
OPERATIONS = "specc.ops"


@cache
def backend_entries() -> dict[str, EntryPoint]:
    """Every backend's entry point by name. Raises SpecError when two packages claim a name."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(BACKENDS):
        other = found.get(entry.name)
        if other is not None and other.value != entry.value:
            raise SpecError(
                Diagnostic(
                    "E0903",
                    f"two packages bring a backend '{entry.name}': {other.package} and "
                    f"{entry.package}",
                    help="uninstall one of them",
                )
            )
        found[entry.name] = entry
    return found


def find_backend(name: str) -> Backend:
    """The backend of that name. Raises SpecError."""
    from specc.backends.base import Backend

    entries = backend_entries()
    if name not in entries:
        raise SpecError(
            Diagnostic("E0902", f"there is no backend '{name}'", help=did_you_mean(name, entries))
        )
    found = _load(entries[name])
    if not (isinstance(found, type) and issubclass(found, Backend)):
        raise _broken(entries[name], f"{found!r} is not a subclass of {_name(Backend)}")
    try:
        return found()
    except Exception as error:
        raise _broken(entries[name], f"{type(error).__name__}: {error}") from error


@cache
def load_operations() -> None:
    """Registers the ops of installed packages, once. Raises SpecError.

    Whoever reads the op table for a user calls this first: the front end, `specc ops`, the schema.
    """
    for entry in entry_points(OPERATIONS):
        found = _load(entry)
        if not isinstance(found, list | tuple) or not all(_is_op(each) for each in found):
            raise _broken(entry, f"{found!r} is not a tuple of subclasses of {_name(Op)}")
        try:
            register(found)
        except NameClashError as error:
            raise SpecError(
                Diagnostic(
                    "E0903",
                    f"{error}: the plug-in '{entry.name}' of {entry.package} brings it again",
                    help="uninstall one of the packages that bring it",
                )
            ) from error


def _is_op(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, Op)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _load(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except Exception as error:
        raise _broken(entry, f"{type(error).__name__}: {error}") from error


def _broken(entry: EntryPoint, cause: str) -> SpecError:
    return SpecError(
        Diagnostic(
            "E0904",
            f"the plug-in '{entry.name}' of {entry.package} does not load",
            notes=(Note(f"{entry.value}: {cause}"),),
            help="update or uninstall it",
        )
    )

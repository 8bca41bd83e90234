"""specc backends."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click

from specc.cli import options
from specc.cli.terminal import console, print_json
from specc.diagnostics import SpecError

if TYPE_CHECKING:
    from specc.entry_points import EntryPoint


@click.command()
@options.json_option
def command(as_json: bool) -> None:
    """List the backends, who brings them, and whether their files can run here.

    Every backend compiles without its framework; only running a file needs it.

    \b
    Examples:
      specc backends
      specc backends --json
    """
    from specc.plugins import backend_entries

    found = [_describe(name, entry) for name, entry in sorted(backend_entries().items())]
    if as_json:
        print_json(found)
        return
    from rich.table import Table

    table = Table("backend", "", "from", "runs here", box=None, header_style="bold")
    for item in found:
        missing = ", ".join(item["missing"].values())
        state = item["problem"] or (f"pip install {missing}" if missing else "yes")
        table.add_row(item["name"], item["title"], item["package"], state)
    console().print(table)


def _describe(name: str, entry: EntryPoint) -> dict[str, Any]:
    """A backend that does not load is listed with the reason: the others still work."""
    from specc.plugins import find_backend

    described: dict[str, Any] = {"name": name, "title": "", "package": entry.package, "problem": ""}
    try:
        backend = find_backend(name)
    except SpecError as error:
        return described | {"installed": {}, "missing": {}, "problem": str(error)}
    requires = backend.requires
    missing = {module: pip for module, pip in requires.items() if find_spec(module) is None}
    installed = {module: _version(module) for module in requires if module not in missing}
    return described | {"title": backend.title, "installed": installed, "missing": missing}


def _version(module: str) -> str:
    """The installed version, without importing the framework."""
    from importlib.metadata import packages_distributions

    for distribution in packages_distributions().get(module, [module]):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return "unknown"

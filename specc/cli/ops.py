"""specc ops."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from specc.cli import options
from specc.cli.terminal import console, print_json
from specc.diagnostics import Diagnostic, SpecError, did_you_mean

if TYPE_CHECKING:
    from specc.ops.attributes import Attribute
    from specc.ops.base import Op


@click.command()
@click.argument("name", required=False)
@options.json_option
def command(name: str | None, as_json: bool) -> None:
    """List the operations that a spec can use, or explain one.

    \b
    Examples:
      specc ops
      specc ops conv2d
      specc ops lstm --json
    """
    from specc.ops.registry import ALIASES, find, visible
    from specc.plugins import load_operations

    load_operations()
    if name is None:
        ops = visible()
        if as_json:
            print_json([describe(op) for op in ops.values()])
        else:
            _print_list(ops)
        return
    op = find(name)
    if op is None or op.internal:
        help_text = did_you_mean(name, [*visible(), *ALIASES])
        raise SpecError(Diagnostic("E1009", f"there is no operation '{name}'", help=help_text))
    if as_json:
        print_json(describe(op))
    else:
        _print_op(op)


def describe(op: Op) -> dict[str, Any]:
    """An op as a program reads it."""
    return {
        "kind": op.kind,
        "aliases": list(op.aliases),
        "family": _family(op),
        "doc": op.doc,
        "inputs": [
            {"name": port.name, "optional": port.optional, "many": port.many, "doc": port.doc}
            for port in op.ports
        ],
        "outputs": list(op.outputs),
        "attributes": [
            {
                "name": attribute.name,
                "wants": attribute.kind.wants(),
                "required": attribute.required,
                **({} if attribute.required else {"default": _defaults(attribute)}),
                "doc": attribute.doc,
            }
            for attribute in op.attributes
        ],
    }


def _family(op: Op) -> str:
    return op.family or type(op).__module__.rpartition(".")[2]


def _defaults(attribute: Attribute) -> Any:
    """The default, or one per convention where they differ."""
    keras, pytorch = (_plain(attribute.default_for(c)) for c in ("keras", "pytorch"))
    return keras if keras == pytorch else {"keras": keras, "pytorch": pytorch}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _print_list(ops: dict[str, Op]) -> None:
    from rich.table import Table

    families: dict[str, list[Op]] = {}
    for op in ops.values():
        families.setdefault(_family(op), []).append(op)
    screen = console()
    for family, members in families.items():
        table = Table(box=None, show_header=False, title=family, title_style="bold")
        table.title_justify = "left"
        table.add_column(min_width=24)
        table.add_column()
        for op in members:
            table.add_row(op.kind, _paragraphs(op.doc).partition(". ")[0].partition("\n")[0])
        screen.print(table)
    screen.print("\nspecc ops NAME explains one.", style="dim")


def _print_op(op: Op) -> None:
    from rich.table import Table

    screen = console()
    aliases = f"  (also {', '.join(op.aliases)})" if op.aliases else ""
    screen.print(f"{op.kind}{aliases}", style="bold", markup=False)
    screen.print(_paragraphs(op.doc), markup=False)
    for port in op.ports:
        remark = " (any number)" if port.many else " (optional)" if port.optional else ""
        screen.print(f"  input {port.name}{remark}  {port.doc}".rstrip(), markup=False)
    if not op.attributes:
        return
    table = Table("attribute", "takes", "default", "", box=None, header_style="bold")
    for attribute in op.attributes:
        default = "" if attribute.required else _shown(_defaults(attribute))
        table.add_row(attribute.name, attribute.kind.wants(), default, attribute.doc)
    screen.print(table)


def _paragraphs(doc: str) -> str:
    """A docstring whose lines are as long as the terminal, and not as the source file."""
    return re.sub(r"(?<!\n)\n(?![\n ])", " ", doc).replace("``", "")


def _shown(default: Any) -> str:
    if isinstance(default, dict):
        return "\n".join(f"{convention}: {value}" for convention, value in default.items())
    return str(default)

"""The reference part of the page on the command line: what ``--help`` says, command by command."""

from __future__ import annotations

import inspect
import re

import click

from specc.cli.group import COMMANDS, cli
from specc.documentation.tables import code, table


def command_reference() -> str:
    """Every command with its help, its options and its examples."""
    context = click.Context(cli, info_name="specc")
    lines: list[str] = []
    for title, commands in COMMANDS.items():
        lines += [f"## {title}", ""]
        for name in commands:
            command = cli.get_command(context, name)
            assert command is not None
            lines += _command(name, command, click.Context(command, context, name))
    return "\n".join(lines).rstrip() + "\n"


def _command(name: str, command: click.Command, context: click.Context) -> list[str]:
    text, _, examples = inspect.cleandoc(command.help or "").partition("\b\nExamples:\n")
    usage = " ".join(["specc", name, *command.collect_usage_pieces(context)])
    records = (
        each.get_help_record(context) for each in command.params if isinstance(each, click.Option)
    )
    rows = [(f"`{record[0]}`", record[1]) for record in records if record is not None]
    shown = re.sub(r"(?m)^  (?=\S)", "", examples)
    return [
        *(f"### {name}", "", *code(usage, "text"), text.strip(), ""),
        *table(("option", "meaning"), rows),
        *code(shown, "text"),
    ]

"""The root command and its table of subcommands."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import click

from specc import __version__
from specc.cli.terminal import write_messages_as
from specc.diagnostics import did_you_mean

# Names and one-line descriptions stand here, so that ``specc --help`` imports no command.
COMMANDS: Mapping[str, Mapping[str, str]] = {
    "From a spec to files": {
        "check": "Say all that is wrong with a spec.",
        "build": "Write the NumPy, PyTorch and TensorFlow files.",
        "resolve": "Print the spec with every default written out.",
        "convert": "Turn YAML into the language, or back.",
        "fmt": "Bring specs into one style.",
        "lsp": "Serve editors: diagnostics, hover, completion and more.",
    },
    "Training": {
        "train": "Train on one backend, or on several side by side.",
        "evaluate": "Score a trained run.",
        "predict": "Apply a trained run to new data.",
        "compare": "Prove that the backends train identically, or find where they part.",
        "fuzz": "Draw random specs, and prove that the backends agree on them.",
        "data": "Write the prepared arrays.",
    },
    "Looking inside": {
        "summary": "Layers with shapes, parameters, FLOPs and memory.",
        "graph": "Draw the network as Mermaid, DOT or SVG.",
        "show": "Print the compiler's program after a pass.",
        "ops": "List the operations, or explain one.",
        "explain": "Explain a diagnostic by its code.",
        "backends": "List the backends and whether they can run here.",
        "schema": "Print the JSON schema of a YAML spec.",
    },
}
_EPILOG = """\b
Examples:
  specc check net.yaml
  specc build net.yaml --backend torch
  specc train net.yaml --backend numpy --backend torch
  specc compare net.yaml --tolerance 1e-10 --report report.html

\b
Exit codes:
  0    all is well
  1    the spec is wrong, or the comparison found a difference
  2    the command line is wrong
  3    a generated file failed, or its framework is missing
  70   a mistake in specc itself
  130  interrupted (143: by SIGTERM)
"""


class LazyGroup(click.Group):
    """A group whose commands are imported on use, from ``specc.cli.NAME:command``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for group in COMMANDS.values() for name in group]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f"specc.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and name not in self.list_commands(ctx):
            hint = did_you_mean(name, self.list_commands(ctx))
            ctx.fail(f"there is no command '{name}'" + (f"; {hint}" if hint else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))


@click.group(
    cls=LazyGroup,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.option(
    "--messages",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    envvar="SPECC_MESSAGES",
    show_envvar=True,
    help="How errors and warnings are written: for people, or each as a line for programs.",
)
def cli(messages: str) -> None:
    """One spec, one computation, any framework.

    Compiles a declarative model spec to standalone NumPy, PyTorch and TensorFlow files that train
    identically.
    """
    write_messages_as(messages)

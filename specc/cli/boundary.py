"""The outermost frame: whatever happens in a command ends as a message and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from specc import __version__
from specc.cli.terminal import point_to_explanations, print_diagnostics
from specc.diagnostics import Diagnostic, Note, SpecError

WRONG, USAGE, FAILED, INTERNAL, INTERRUPTED = 1, 2, 3, 70, 130
_UNRUNNABLE = ("E1001", "E1002", "E1017")
"""Codes that are about generated files that cannot run, and not about the spec."""


def guarded(command: click.Command, arguments: Sequence[str]) -> int:
    """Runs a command line; its exit code, as the help of ``specc`` lists them."""
    try:
        code = command.main(list(arguments), prog_name="specc", standalone_mode=False)
    except SpecError as error:
        print_diagnostics(error.diagnostics)
        point_to_explanations(error.diagnostics)
        return FAILED if any(d.code in _UNRUNNABLE for d in error.diagnostics) else WRONG
    except click.ClickException as error:
        error.show()
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has left (``specc ops | head``): that is no failure.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:
        print_diagnostics([internal_error()])
        return INTERNAL
    return code if isinstance(code, int) else 0


def internal_error() -> Diagnostic:
    """The exception that is being handled as a message; its traceback goes to a log file."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile(
        "w", prefix="specc-", suffix=".log", delete=False, encoding="utf-8"
    ) as log:
        log.write(f"specc {__version__}, Python {sys.version}\n{sys.argv}\n\n")
        log.write(traceback.format_exc())
    problem = traceback.format_exc(limit=0).strip().splitlines()[-1]
    return Diagnostic(
        "E9999",
        f"a mistake in specc itself: {problem}",
        notes=(Note(f"the whole story is in {log.name}"),),
        help="please report it with that file and, if you may, the spec",
    )

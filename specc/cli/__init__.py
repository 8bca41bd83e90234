"""The command line. Importing it imports click alone: each command is loaded when it is used."""

from __future__ import annotations

import sys

from specc.cli.boundary import guarded
from specc.cli.group import cli


def main() -> None:
    """The entry point ``specc``."""
    sys.exit(guarded(cli, sys.argv[1:]))

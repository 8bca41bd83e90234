"""The command line. Importing it imports click alone: each command is loaded when it is used."""

from __future__ import annotations

import gc
import sys

from specc.cli.boundary import guarded
from specc.cli.group import cli


def main() -> None:
    """The entry point ``specc``."""
    # Compiling makes many objects and few cycles: looking for those less often saves a tenth.
    gc.set_threshold(200_000)
    sys.exit(guarded(cli, sys.argv[1:]))

"""``python -m specc.cli``."""

from specc.cli import main

main()

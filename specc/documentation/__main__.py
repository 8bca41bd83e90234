"""``python -m specc.documentation``."""

from specc.documentation import write

write()

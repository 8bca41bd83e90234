"""specc: one spec, one computation, any framework."""

__version__ = "0.1.0"

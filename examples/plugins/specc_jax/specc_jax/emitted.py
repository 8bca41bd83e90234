"""What the emitted part of a generated JAX file defines beside specc.backends.emitted."""

TRAINED: list[str]

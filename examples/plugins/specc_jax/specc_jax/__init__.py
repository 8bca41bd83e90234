"""A JAX backend for specc."""

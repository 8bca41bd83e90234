"""A network as one HTML page: its graph and its figures, beside its spec and generated sources."""

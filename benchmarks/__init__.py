"""Speed and memory of generated files against hand-written peers: ``python -m benchmarks``."""

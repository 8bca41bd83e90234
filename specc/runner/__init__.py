"""Runs generated files, each in its own process, and compares what they compute.

The runner knows a generated file only by its contract (docs: the generated file): it imports no
framework itself, and the process that loads the file cannot import specc.
"""

"""Fast forms of kernels, which take the place of those of the same name where a file is optimised.

They keep the names and arguments of ``prelude``, but work in memory that is used again, in parts of
the batch that stay in the processor's cache, and in place wherever an array is theirs.
"""

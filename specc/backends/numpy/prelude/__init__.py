"""NumPy kernels that generated programs are made of.

Ordinary functions over arrays, one file per family. The compiler never imports them: it reads
their text and copies the functions a program needs, by name, into the generated file. Arrays have
the batch on axis 0 and channels on the last axis. Every function returns new arrays in the dtype
of its inputs (float32 or float64).
"""

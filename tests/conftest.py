"""Settings of all tests."""

import os

# Files are compared three at a time, each in its own process: one thread each is fastest, and what
# TensorFlow tells about the machine is of no interest. They are set before a framework is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

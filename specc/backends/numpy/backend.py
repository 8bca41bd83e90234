"""The NumPy backend: functions over arrays with every gradient written out, for readers as much as
for machines.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from specc.backends.base import Backend
from specc.backends.files import SHARED_PRELUDE, SourceFile, constants, header, top_level
from specc.backends.numpy.program import OWN_THREADS, RESERVED, NumpyProgram
from specc.backends.prelude import read_prelude
from specc.backends.training_functions import Dialect, TrainingWriter
from specc.backends.writer import class_name, format_source, literal
from specc.ir.graph import Program
from specc.ir.levels import DEFAULT_LEVEL
from specc.ops.registry import OPS
from specc.passes.inline_calls import inline_calls
from specc.passes.layout import assign_layout
from specc.training.frameworks import NUMPY, NUMPY_IN_PLACE

_HERE = Path(__file__).parent
_KERNELS = tuple(
    (path, "layers")
    for path in sorted((_HERE / "prelude").glob("*.py"))
    if path.stem not in ("__init__", "losses", "metrics", "training")
)
PRELUDE = (
    *_KERNELS,
    (_HERE / "prelude" / "losses.py", "losses and metrics"),
    (_HERE / "prelude" / "metrics.py", "losses and metrics"),
    *SHARED_PRELUDE,
    (_HERE / "prelude_random.py", "reproducibility"),
    (_HERE / "prelude" / "training.py", "training"),
)
_FAST_SECTIONS = {"blocks": "optimizer and schedule", "losses": "losses and metrics"}
FAST_PRELUDE = (
    *PRELUDE,
    *(
        (path, _FAST_SECTIONS.get(path.stem, "layers"))
        for path in sorted((_HERE / "prelude_fast").glob("*.py"))
    ),
)
# Names that the generated file has at its top level.
NAMES = top_level(read_prelude(FAST_PRELUDE), {"np"})
DIALECT = Dialect(
    NUMPY, {"l1": "np.abs({w}).sum()", "l2": "np.square({w}).sum()"}, "", RESERVED | NAMES
)
FAST_DIALECT = replace(DIALECT, framework=NUMPY_IN_PLACE)


class NumpyBackend(Backend):
    """Plain NumPy, forward and backward."""

    name = "numpy"
    title = "NumPy"
    requires: ClassVar[dict[str, str]] = {}

    def emit(self, program: Program, only: str = "all") -> str:
        program = assign_layout(inline_calls(program), "channels_last", OPS)
        prelude = read_prelude(FAST_PRELUDE if program.optimize else PRELUDE)
        dialect = FAST_DIALECT if program.optimize else DIALECT
        functions = NumpyProgram(program, self.lower, NAMES)
        where = {path: (f"model.parameters[{literal(path)}]",) for path in functions.parameters}
        writer = TrainingWriter(program, dialect, self.lower, (), where, functions.trained)
        trains = program.training is not None and only == "all"
        text = functions.forward_backward() if trains else functions.forward()
        shared = "shared" if OWN_THREADS in text else "alone"
        file = SourceFile(prelude, writer.features() | {shared}, {"np": "import numpy as np"})
        name = class_name(program.name, NAMES)
        file.prelude_names = {"Model": name}
        file.specialized = ("layers", "losses and metrics")
        trained = set(functions.trained)
        frozen = [path for path in functions.parameters if path not in trained]
        file.add("model", model_class(name, frozen))
        file.add("model", text)
        writer.write(file, only)
        return file.text(header(program, self.name, self.title), constants(program, self.name))


def function_after(program: Program, until: str) -> str:
    """The forward and backward function after the pass of ``numpy.passes`` named ``until``."""
    program = replace(program, optimize=DEFAULT_LEVEL)
    program = assign_layout(inline_calls(program), "channels_last", OPS)
    functions = NumpyProgram(program, NumpyBackend().lower, NAMES, until)
    trains = program.training is not None
    return format_source(functions.forward_backward() if trains else functions.forward())


def model_class(name: str, frozen: list[str]) -> str:
    """The class that holds a network's arrays."""
    listed = f"frozenset({{{', '.join(map(literal, frozen))}}})" if frozen else "frozenset()"
    return f'''class {name}:
    """The arrays of a network by path, and the seed of its masks."""

    frozen = {listed}  # not trained by gradients

    def __init__(self, parameters, seed):
        self.parameters, self.seed = parameters, seed
'''

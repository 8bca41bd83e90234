"""The JAX backend: pure functions over a dictionary of arrays, one jitted step."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from specc.backends.base import Backend
from specc.backends.files import SHARED_PRELUDE, SourceFile, constants, header, top_level
from specc.backends.prelude import read_prelude
from specc.backends.training_functions import Dialect, TrainingWriter
from specc.backends.writer import class_name, literal
from specc.ir.graph import Program
from specc.ops.registry import OPS
from specc.passes.inline_calls import inline_calls
from specc.passes.layout import assign_layout
from specc.training.formulas import FunctionalWriter
from specc.training.frameworks import Framework
from specc_jax.forms import TABLE
from specc_jax.forward import ForwardWriter

_HERE = Path(__file__).parent
PRELUDE = (
    (_HERE / "prelude_layers.py", "layers"),
    (_HERE / "prelude_losses.py", "losses and metrics"),
    *SHARED_PRELUDE,
    (_HERE / "prelude_random.py", "reproducibility"),
    (_HERE / "prelude_model.py", "model"),
    (_HERE / "prelude.py", "training"),
)
IMPORTS = {
    "np": "import numpy as np",
    "jax": "import jax",
    "jnp": "import jax.numpy as jnp",
    "lax": "from jax import lax",
}
JAX = Framework(
    name="jax",
    writer=FunctionalWriter,
    functions={"sqrt": "jnp.sqrt", "abs": "jnp.abs", "maximum": "jnp.maximum"},
    zeros="jnp.zeros_like({0})",
    full="jnp.full_like({0}, {1})",
    joint_norm=("norm = jnp.sqrt(sum(jnp.vdot(gradient, gradient) for gradient in gradients))",),
    norm="jnp.linalg.norm({0}.ravel())",
    least="jnp.minimum({0}, {1})",
    most="jnp.maximum({0}, {1})",
    limit="jnp.clip({0}, {1}, {2})",
)
# Names that the generated file has at its top level.
NAMES = top_level(read_prelude(PRELUDE), IMPORTS) | {"p"}
DIALECT = Dialect(
    JAX, {"l1": "jnp.abs({w}).sum()", "l2": "jnp.square({w}).sum()"}, "", NAMES, "parameters"
)


class JaxBackend(Backend):
    """JAX on CPU, GPU or TPU."""

    name = "jax"
    title = "JAX"
    requires: ClassVar[dict[str, str]] = {"jax": "jax>=0.9"}
    table = TABLE

    def emit(self, program: Program, only: str = "all") -> str:
        program = assign_layout(inline_calls(program), "channels_last", OPS)
        forward = ForwardWriter(program, self.lower, NAMES)
        trained = [path for path, each in program.graph.parameters() if each.trainable]
        where = {path: (f"parameters[{literal(path)}]",) for path, _ in program.graph.parameters()}
        writer = TrainingWriter(program, DIALECT, self.lower, (), where, trained)
        file = SourceFile(read_prelude(PRELUDE), writer.features(), IMPORTS)
        file.prelude_names = {"Model": class_name(program.name, NAMES)}
        file.want({"Model"})
        file.add("model", forward.source())
        if only == "all":
            listed = ", ".join(map(literal, trained))
            file.add("model", f"# What the optimizer trains.\nTRAINED = [{listed}]")
        writer.write(file, only)
        return file.text(header(program, self.name, self.title), constants(program, self.name))

"""The TensorFlow backend: a keras.Model of Keras' layers, trained by one graph for all steps."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from specc.backends.base import Backend
from specc.backends.files import SHARED_PRELUDE, SourceFile, constants, header, top_level
from specc.backends.modules import ModuleEmitter
from specc.backends.prelude import read_prelude
from specc.backends.training_functions import Dialect, TrainingWriter, layouts
from specc.ir.graph import Graph, Node, Program
from specc.ir.levels import COMPILED_LEVEL
from specc.ops.base import Form
from specc.ops.registry import OPS
from specc.passes.layout import assign_layout
from specc.training.frameworks import TENSORFLOW

_HERE = Path(__file__).parent
PRELUDE = (
    (_HERE / "prelude_layers.py", "layers"),
    (_HERE / "prelude_ops.py", "layers"),
    (_HERE / "prelude_attention.py", "layers"),
    (_HERE / "prelude_recurrent.py", "layers"),
    (_HERE / "prelude_losses.py", "losses and metrics"),
    *SHARED_PRELUDE,
    (_HERE / "prelude_random.py", "reproducibility"),
    (_HERE / "prelude.py", "training"),
)
IMPORTS = {
    "np": "import numpy as np",
    # Both are imported by the lines below, which take os.
    "tf": "import os",
    "keras": "import os",
}
IMPORT_KERAS = """\
os.environ["KERAS_BACKEND"] = "tensorflow"  # read when TensorFlow imports Keras

import keras
import tensorflow as tf

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        f"keras already runs on {keras.backend.backend()} in this process; import this file first, "
        "or set KERAS_BACKEND=tensorflow"
    )
"""
# The public names of a built keras.Model and keras.Layer (Keras 3.15), and this file's own.
RESERVED = """
activity_regularizer add_loss add_metric add_variable add_weight autocast build
build_from_config built call call_signature_parameters compile compile_from_config compiled
compiled_loss compiled_metrics compute_dtype compute_loss compute_mask compute_metrics
compute_output_shape compute_output_spec count_params distribute_reduction_method
distribute_strategy device dtype dtype_policy evaluate export fit from_config get_build_config
get_compile_config get_config get_layer get_metrics_result get_quantization_layer_structure
get_state_tree get_weights input input_dtype input_spec jit_compile layers load_own_variables
load_weights loss losses make_predict_function make_test_function make_train_function metrics
metrics_names metrics_variables name non_trainable_variables non_trainable_weights optimizer
output path predict predict_function predict_on_batch predict_step quantization_mode quantize
quantized_build quantized_call rematerialized_call reset_metrics run_eagerly save
save_own_variables save_weights seed set_state_tree set_weights stateless_call
stateless_compute_loss steps_per_execution summary supports_jit supports_masking symbolic_call
test_function test_on_batch test_step to_json train_function train_on_batch train_step trainable
trainable_variables trainable_weights unrolled_steps_per_execution variable_dtype variables
weights
"""
# Names that the generated file has at its top level.
NAMES = top_level(read_prelude(PRELUDE), IMPORTS)

DIALECT = Dialect(
    TENSORFLOW,
    {"l1": "tf.reduce_sum(tf.abs({w}))", "l2": "tf.reduce_sum(tf.square({w}))"},
    "model, inputs, step=0, training=False",
    NAMES,
)


class TensorflowModules(ModuleEmitter):
    reserved_names = NAMES
    base = "keras.Model"
    block_base = "keras.Layer"
    method = "call"
    container = "{items}"
    context: ClassVar[dict[str, str]] = {"step": "step", "training": "training=False"}
    reserved_attributes = frozenset(RESERVED.split())

    def passed(self, needs: list[str]) -> list[str]:
        """By keyword: Keras takes positional arguments for tensors of the batch."""
        return [f"{name}={name}" for name in needs]

    def template(self, node: Node, form: Form) -> str:
        """Under the pytorch convention a mask ends with the layer that it is given to."""
        ports = zip(OPS[node.op].ports, node.inputs, strict=False)
        masked = any(port.name == "mask" and value is not None for port, value in ports)
        if form.module is None or not masked or self.program.conventions == "keras":
            return form.expression
        return f"without_mask({form.expression})"


class TensorflowBackend(Backend):
    """TensorFlow 2 with Keras 3 on CPU or GPU."""

    name = "tensorflow"
    title = "TensorFlow"
    requires: ClassVar[dict[str, str]] = {"tensorflow": "tensorflow>=2.18"}

    def emit(self, program: Program, only: str = "all") -> str:
        program = assign_layout(program, "channels_last", OPS)
        modules = TensorflowModules(program, self.lower)
        masks = has_masks(program.graph)
        if masks:
            modules.block_base = "Block"
        source = modules.emit()
        writer = TrainingWriter(
            program,
            DIALECT,
            self.lower,
            tuple(modules.passed(modules.main.needs)),
            modules.where,
            modules.trained(),
        )
        features = writer.features() | ({"masks"} if masks else set())
        features |= {"places"} if modules.several_places else set()
        features.add("compiled" if program.optimize == COMPILED_LEVEL else "uncompiled")
        file = SourceFile(read_prelude(PRELUDE), features, IMPORTS)
        file.prelude_names = {"Model": modules.main_class}
        file.add("model", source)
        file.add("training", layouts(modules.weights, full=False))
        writer.write(file, only)
        compiled = constants(program, self.name)
        return file.text(header(program, self.name, self.title), f"{IMPORT_KERAS}\n{compiled}")


def has_masks(graph: Graph) -> bool:
    """Whether masks of padded steps occur, which Keras would hand on by itself as well."""
    values = [*graph.inputs, *(value for node in graph.nodes for value in node.outputs)]
    bodies = [body for node in graph.nodes for body in node.bodies]
    return any(value.type.dtype == "bool" for value in values) or any(map(has_masks, bodies))

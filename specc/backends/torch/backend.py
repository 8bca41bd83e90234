"""The PyTorch backend: nn.Module classes, autograd, torch's own layers and optimizers where their
meaning is the spec's.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from specc.backends.base import Backend
from specc.backends.files import SHARED_PRELUDE, SourceFile, constants, header, top_level
from specc.backends.modules import ModuleEmitter
from specc.backends.prelude import read_prelude
from specc.backends.training_functions import Dialect, TrainingWriter, layouts
from specc.ir.graph import Program
from specc.ir.levels import COMPILED_LEVEL
from specc.ops.registry import OPS
from specc.passes.layout import assign_layout
from specc.training.frameworks import TORCH

_HERE = Path(__file__).parent
PRELUDE = (
    (_HERE / "prelude_layers.py", "layers"),
    (_HERE / "prelude_attention.py", "layers"),
    (_HERE / "prelude_recurrent.py", "layers"),
    (_HERE / "prelude_losses.py", "losses and metrics"),
    *SHARED_PRELUDE,
    (_HERE / "prelude_random.py", "reproducibility"),
    (_HERE / "prelude.py", "training"),
)
IMPORTS = {
    "np": "import numpy as np",
    "torch": "import torch",
    "nn": "from torch import nn",
    "F": "from torch.nn import functional as F",
}
# Names that the generated file has at its top level.
NAMES = top_level(read_prelude(PRELUDE), IMPORTS)


def mean_loss(values: str) -> str | None:
    """torch's losses take the mean by themselves, unless they are told not to reduce."""
    found = re.fullmatch(r"(F\.\w+\(.*), reduction=['\"]none['\"]\)(\.mean\(.*\))?", values)
    return f"{found[1]})" if found else None


DIALECT = Dialect(
    TORCH,
    {"l1": "{w}.abs().sum()", "l2": "{w}.square().sum()"},
    apply_parameters="",
    reserved=NAMES,
    mean=mean_loss,
)


class TorchModules(ModuleEmitter):
    reserved_names = NAMES
    base = block_base = "nn.Module"
    method = "forward"
    container = "nn.ModuleList({items})"
    context: ClassVar[dict[str, str]] = {"step": "step: int = 0"}
    # The public names of an nn.Module, and where build() leaves the seed.
    reserved_attributes = frozenset(
        """
        T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda
        double dump_patches eval extra_repr float forward get_buffer get_extra_state
        get_parameter get_submodule half ipu load_state_dict modules mtia named_buffers
        named_children named_modules named_parameters parameters register_backward_hook
        register_buffer register_forward_hook register_forward_pre_hook
        register_full_backward_hook register_full_backward_pre_hook
        register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module
        register_parameter register_state_dict_post_hook register_state_dict_pre_hook
        requires_grad_ seed set_extra_state set_submodule share_memory state_dict to to_empty train
        training type xpu zero_grad
        """.split()
    )


class TorchBackend(Backend):
    """Eager PyTorch on CPU, CUDA or MPS."""

    name = "torch"
    title = "PyTorch"
    requires: ClassVar[dict[str, str]] = {"torch": "torch>=2.6"}

    def emit(self, program: Program, only: str = "all") -> str:
        program = assign_layout(program, "channels_first", OPS)
        modules = TorchModules(program, self.lower)
        source = modules.emit()
        writer = TrainingWriter(
            program,
            DIALECT,
            self.lower,
            tuple(modules.main.needs),
            modules.where,
            modules.trained(),
        )
        features = writer.features()
        if any(weight.gates for table in modules.weights.values() for weight in table.values()):
            features.add("gates")
        if "one_bias(" in source and any(
            name.endswith("recurrent_bias") for table in modules.weights.values() for name in table
        ):
            features.add("fixed")
        # channels_last is faster, but nn.BatchNorm2d then sums less exactly.
        normalizes = any(kind.startswith("nn.BatchNorm") for kind in modules.weights)
        if "nn.Conv2d" in modules.weights and not normalizes:
            features.add("images")
        features |= {"compiled"} if program.optimize == COMPILED_LEVEL else set()
        if modules.renamed:
            features |= {
                "renamed",
                *({"renamed_random"} & {f"renamed_{each}" for each in features}),
            }
        file = SourceFile(read_prelude(PRELUDE), features, IMPORTS)
        file.prelude_names = {"Model": modules.main_class}
        file.add("model", source)
        file.add("training", layouts(modules.weights, full=True))
        writer.write(file, only)
        return file.text(header(program, self.name, self.title), constants(program, self.name))

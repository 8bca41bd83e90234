"""A framework's words for optimizers and clipping: all that a backend brings to have every one.

A framework's own optimizers and kernels (torch.optim, TensorFlow's raw ops) are forms of the rows
themselves; without such forms a formula is written with these words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from specc.records import dataclass
from specc.training.formulas import (
    FunctionalWriter,
    InPlaceNumpyWriter,
    NumpyWriter,
    TensorflowWriter,
    TorchWriter,
    Writer,
)


@dataclass(frozen=True)
class Framework:
    """Templates over ``{0}``, ``{1}`` ... that give Python expressions.

    ``writer`` writes a formula's statements: a `FunctionalWriter` where arrays are not changed in
    place, and then ``Optimizer.init`` gives the slots and ``update`` the new parameters and slots.
    """

    name: str
    writer: type[Writer]
    # What formulas call: sqrt, abs and maximum of tensors.
    functions: Mapping[str, str]
    # A slot like the parameter {0}, of zeros or of the constant {1}.
    zeros: str
    full: str
    # Clipping: statements that set ``norm`` to the 2-norm of all ``gradients``, the norm of one
    # tensor, the smaller and the larger of a scalar {0} and a number {1}, and {0} in [{1}, {2}].
    joint_norm: tuple[str, ...]
    norm: str
    least: str
    most: str
    limit: str
    # Makes a gradient dense, where some are not.
    dense: str = ""
    # Above a method that changes parameters.
    decorator: str = ""

    @property
    def functional(self) -> bool:
        """Whether an update returns new arrays."""
        return issubclass(self.writer, FunctionalWriter)


NUMPY = Framework(
    name="numpy",
    writer=NumpyWriter,
    functions={"sqrt": "np.sqrt", "abs": "np.abs", "maximum": "np.maximum"},
    zeros="np.zeros_like({0})",
    full="np.full_like({0}, {1})",
    joint_norm=(
        "norm = math.sqrt(sum(float(np.vdot(gradient, gradient)) for gradient in gradients))",
    ),
    norm="math.sqrt(float(np.vdot({0}, {0})))",
    least="min({0}, {1})",
    most="max({0}, {1})",
    limit="np.clip({0}, {1}, {2})",
)
NUMPY_IN_PLACE = replace(NUMPY, writer=InPlaceNumpyWriter)
TORCH = Framework(
    name="torch",
    writer=TorchWriter,
    functions={"sqrt": "torch.sqrt", "abs": "torch.abs", "maximum": "torch.maximum"},
    zeros="torch.zeros_like({0})",
    full="torch.full_like({0}, {1})",
    joint_norm=(
        "norms = [torch.linalg.vector_norm(gradient) for gradient in gradients]",
        "norm = torch.linalg.vector_norm(torch.stack(norms))",
    ),
    norm="torch.linalg.vector_norm({0})",
    least="torch.clamp({0}, max={1})",
    most="torch.clamp({0}, min={1})",
    limit="torch.clamp({0}, {1}, {2})",
    decorator="@torch.no_grad()",
)
TENSORFLOW = Framework(
    name="tensorflow",
    writer=TensorflowWriter,
    functions={"sqrt": "tf.sqrt", "abs": "tf.abs", "maximum": "tf.maximum"},
    zeros="tf.Variable(tf.zeros_like({0}), trainable=False)",
    full="tf.Variable({1} * tf.ones_like({0}), trainable=False)",
    joint_norm=("norm = tf.linalg.global_norm(gradients)",),
    norm="tf.norm({0})",
    least="tf.minimum({0}, {1})",
    most="tf.maximum({0}, {1})",
    limit="tf.clip_by_value({0}, {1}, {2})",
    dense="tf.convert_to_tensor({0})",
)

"""Gradient clipping: what happens to the gradients between the loss and the optimizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from specc.ir.graph import Configured
from specc.ops.attributes import Attribute, Boolean, Number
from specc.training.base import Registry, Row

MAX_NORM = Attribute(
    "max_norm", Number(0, above=True), doc="The largest norm that is left as it is."
)


class Clipping(Row):
    """Base of the clippings: statements that rebind ``gradients``, by backend."""

    def numpy(self, attributes: Mapping[str, Any]) -> list[str]:
        raise LookupError(self.kind)

    def torch(self, attributes: Mapping[str, Any]) -> list[str]:
        raise LookupError(self.kind)

    def tensorflow(self, attributes: Mapping[str, Any]) -> list[str]:
        raise LookupError(self.kind)


class GlobalNorm(Clipping):
    """Scales all gradients alike: their joint 2-norm is at most max_norm (Pascanu et al., 2013).

    Keras' global_clipnorm divides by the norm, and turns all gradients into NaN where it is not
    finite; torch's clip_grad_norm_ divides by the norm plus 1e-6.
    """

    kind = "global_norm"
    aliases = ("global_clipnorm", "clip_grad_norm")
    attributes = (
        MAX_NORM,
        Attribute("epsilon", Number(0), doc="Added to the norm.", keras=0.0, pytorch=1e-6),
        Attribute(
            "poison",
            Boolean(),
            doc="Whether a norm that is not finite makes all gradients NaN.",
            keras=True,
            pytorch=False,
        ),
    )

    def _scale(self, attributes: Mapping[str, Any], minimum: str, maximum: str) -> list[str]:
        limit, epsilon = attributes["max_norm"], attributes["epsilon"]
        if epsilon:
            scale = minimum.format(f"{limit!r} / (norm + {epsilon!r})")
        else:
            scale = f"{limit!r} / {maximum.format(repr(limit))}"
        lines = [f"scale = {scale}"]
        if attributes["poison"]:
            lines.append("scale = scale + (norm - norm)  # NaN where the norm is not finite")
        return [*lines, "gradients = [gradient * scale for gradient in gradients]"]

    def numpy(self, attributes: Mapping[str, Any]) -> list[str]:
        return [
            "norm = math.sqrt(sum(float(np.vdot(gradient, gradient)) for gradient in gradients))",
            *self._scale(attributes, "min({}, 1.0)", "max(norm, {})"),
        ]

    def torch(self, attributes: Mapping[str, Any]) -> list[str]:
        return [
            "norms = [torch.linalg.vector_norm(gradient) for gradient in gradients]",
            "norm = torch.linalg.vector_norm(torch.stack(norms))",
            *self._scale(attributes, "torch.clamp({}, max=1.0)", "torch.clamp(norm, min={})"),
        ]

    def tensorflow(self, attributes: Mapping[str, Any]) -> list[str]:
        if attributes["poison"] and not attributes["epsilon"]:
            limit = attributes["max_norm"]
            return [f"gradients, _ = tf.clip_by_global_norm(gradients, {limit!r})"]
        return [
            "norm = tf.linalg.global_norm(gradients)",
            *self._scale(attributes, "tf.minimum({}, 1.0)", "tf.maximum(norm, {})"),
        ]


class Norm(Clipping):
    """Scales each gradient by itself so that its 2-norm is at most max_norm (Keras' clipnorm)."""

    kind = "norm"
    aliases = ("clipnorm",)
    attributes = (MAX_NORM,)

    def numpy(self, attributes: Mapping[str, Any]) -> list[str]:
        limit = attributes["max_norm"]
        return [
            "norms = [math.sqrt(float(np.vdot(gradient, gradient))) for gradient in gradients]",
            "gradients = [",
            f"    gradient * ({limit!r} / max(norm, {limit!r}))",
            "    for gradient, norm in zip(gradients, norms, strict=True)",
            "]",
        ]

    def torch(self, attributes: Mapping[str, Any]) -> list[str]:
        limit = attributes["max_norm"]
        return [
            "norms = [torch.linalg.vector_norm(gradient) for gradient in gradients]",
            "gradients = [",
            f"    gradient * ({limit!r} / torch.clamp(norm, min={limit!r}))",
            "    for gradient, norm in zip(gradients, norms, strict=True)",
            "]",
        ]

    def tensorflow(self, attributes: Mapping[str, Any]) -> list[str]:
        limit = attributes["max_norm"]
        return [f"gradients = [tf.clip_by_norm(gradient, {limit!r}) for gradient in gradients]"]


class Value(Clipping):
    """Limits every element of every gradient to [-limit, limit] (Keras' clipvalue)."""

    kind = "value"
    aliases = ("clipvalue", "clip_grad_value")
    attributes = (Attribute("limit", Number(0, above=True), doc="The largest magnitude."),)

    def _each(self, function: str, attributes: Mapping[str, Any]) -> list[str]:
        limit = attributes["limit"]
        call = f"{function}(gradient, {-limit!r}, {limit!r})"
        return [f"gradients = [{call} for gradient in gradients]"]

    def numpy(self, attributes: Mapping[str, Any]) -> list[str]:
        return self._each("np.clip", attributes)

    def torch(self, attributes: Mapping[str, Any]) -> list[str]:
        return self._each("torch.clamp", attributes)

    def tensorflow(self, attributes: Mapping[str, Any]) -> list[str]:
        return self._each("tf.clip_by_value", attributes)


CLIPPINGS: Registry[Clipping] = Registry((GlobalNorm, Norm, Value))
_ARRAYS = {"numpy": "np.ndarray", "torch": "torch.Tensor", "tensorflow": "tf.Tensor"}


def emit_clipping(clips: Sequence[Configured], backend: str) -> str:
    """The source of ``clip_gradients(gradients)``, which applies the clippings in order.

    The result is a new list; on TensorFlow sparse gradients become dense first, since a repeated
    row of an embedding counts once, with its sum, in every norm.
    """
    array = _ARRAYS[backend]
    lines = [
        f"def clip_gradients(gradients: list[{array}]) -> list[{array}]:",
        f'    """Clips by {", then by ".join(clip.kind.replace("_", " ") for clip in clips)}."""',
    ]
    if backend == "tensorflow":
        lines.append("    gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]")
    for clip in clips:
        statements = getattr(CLIPPINGS[clip.kind], backend)(clip.attributes)
        lines += [f"    {statement}" for statement in statements]
    return "\n".join([*lines, "    return gradients", ""])

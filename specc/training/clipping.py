"""Gradient clipping: what happens to the gradients between the loss and the optimizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from specc.ir.graph import Configured
from specc.ops.attributes import Attribute, Boolean, Number
from specc.training.base import Registry, Row
from specc.training.frameworks import TENSORFLOW, Framework

MAX_NORM = Attribute(
    "max_norm", Number(0, above=True), doc="The largest norm that is left as it is."
)


Pairs = Sequence[tuple[int, int]]


class Clipping(Row):
    """Base of the clippings: statements that rebind ``gradients``, in the words of a framework.

    ``pairs`` are the places of tensors that are one parameter of the spec, two by two.
    """

    def statements(
        self, attributes: Mapping[str, Any], words: Framework, pairs: Pairs = ()
    ) -> list[str]:
        raise LookupError(self.kind)

    def tensorflow(self, attributes: Mapping[str, Any]) -> list[str] | None:
        """TensorFlow's own function for it, if there is one."""
        return None


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

    def statements(
        self, attributes: Mapping[str, Any], words: Framework, pairs: Pairs = ()
    ) -> list[str]:
        limit, epsilon = attributes["max_norm"], attributes["epsilon"]
        if epsilon:
            scale = words.least.format(f"{limit!r} / (norm + {epsilon!r})", 1.0)
        else:
            scale = f"{limit!r} / {words.most.format('norm', limit)}"
        lines = [*words.joint_norm, f"scale = {scale}"]
        if attributes["poison"]:
            lines.append("scale = scale + (norm - norm)  # NaN where the norm is not finite")
        return [*lines, "gradients = [gradient * scale for gradient in gradients]"]

    def tensorflow(self, attributes: Mapping[str, Any]) -> list[str] | None:
        if attributes["epsilon"] or not attributes["poison"]:
            return None
        return [f"gradients, _ = tf.clip_by_global_norm(gradients, {attributes['max_norm']!r})"]


class Norm(Clipping):
    """Scales each gradient by itself so that its 2-norm is at most max_norm (Keras' clipnorm)."""

    kind = "norm"
    aliases = ("clipnorm",)
    attributes = (MAX_NORM,)

    def statements(
        self, attributes: Mapping[str, Any], words: Framework, pairs: Pairs = ()
    ) -> list[str]:
        limit = attributes["max_norm"]
        joined = [
            f"for a, b in {list(pairs)}:  # two tensors that are one parameter",
            "    norms[a] = norms[b] = (norms[a] ** 2 + norms[b] ** 2) ** 0.5",
        ]
        return [
            f"norms = [{words.norm.format('gradient')} for gradient in gradients]",
            *(joined if pairs else ()),
            "gradients = [",
            f"    gradient * ({limit!r} / {words.most.format('norm', limit)})",
            "    for gradient, norm in zip(gradients, norms, strict=True)",
            "]",
        ]

    def tensorflow(self, attributes: Mapping[str, Any]) -> list[str] | None:
        limit = attributes["max_norm"]
        return [f"gradients = [tf.clip_by_norm(gradient, {limit!r}) for gradient in gradients]"]


class Value(Clipping):
    """Limits every element of every gradient to [-limit, limit] (Keras' clipvalue)."""

    kind = "value"
    aliases = ("clipvalue", "clip_grad_value")
    attributes = (Attribute("limit", Number(0, above=True), doc="The largest magnitude."),)

    def statements(
        self, attributes: Mapping[str, Any], words: Framework, pairs: Pairs = ()
    ) -> list[str]:
        limit = attributes["limit"]
        call = words.limit.format("gradient", -limit, limit)
        return [f"gradients = [{call} for gradient in gradients]"]


CLIPPINGS: Registry[Clipping] = Registry((GlobalNorm, Norm, Value))


def emit_clipping(
    clips: Sequence[Configured], words: Framework, parameters: Sequence[str] = ()
) -> str:
    """The source of ``clip_gradients(gradients)``, which applies the clippings in order.

    ``parameters`` has the path of each gradient's parameter: two tensors may be one parameter.

    The result is a new list; on TensorFlow sparse gradients become dense first, since a repeated
    row of an embedding counts once, with its sum, in every norm.
    """
    lines = [
        "def clip_gradients(gradients):",
        f'    """Clips by {", then by ".join(clip.kind.replace("_", " ") for clip in clips)}."""',
    ]
    if words.dense:
        lines.append(
            f"    gradients = [{words.dense.format('gradient')} for gradient in gradients]"
        )
    pairs = [(a, a + 1) for a, (one, other) in enumerate(pairwise(parameters)) if one == other]
    for clip in clips:
        row = CLIPPINGS[clip.kind]
        own = row.tensorflow(clip.attributes) if words is TENSORFLOW else None
        lines += [f"    {each}" for each in own or row.statements(clip.attributes, words, pairs)]
    last = max(i for i, line in enumerate(lines) if line[4] not in " ]")
    if lines[last].startswith("    gradients = "):
        lines[last] = lines[last].replace("gradients =", "return", 1)
    else:
        lines.append("    return gradients")
    return "\n".join([*lines, ""])

"""Attributes that many layers share: initializers, regularizers, activations, biases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from specc.ops.attributes import Attribute, Boolean, Optional, Reference
from specc.ops.base import Default


def _initializers() -> Mapping[str, Any]:
    from specc.training.initializers import INITIALIZERS

    return INITIALIZERS


def _regularizers() -> Mapping[str, Any]:
    from specc.training.regularizers import REGULARIZERS

    return REGULARIZERS


def _activations() -> Mapping[str, Any]:
    from specc.ops.activations import ACTIVATIONS

    return ACTIVATIONS


INITIALIZER = Reference("an initializer", _initializers)
REGULARIZER = Optional(Reference("a regularizer", _regularizers))
ACTIVATION = Optional(Reference("an activation", _activations))

USE_BIAS = Attribute("use_bias", Boolean(), True, "Whether a trained bias is added.")


def activation(default: str | None = None) -> Attribute:
    return Attribute("activation", ACTIVATION, default, "What is applied to the result.")


def kernel_initializer(keras: str = "glorot_uniform") -> Attribute:
    return Attribute(
        "kernel_initializer",
        INITIALIZER,
        keras=keras,
        pytorch="fan_in_uniform",
        doc="Initial values of the kernel.",
    )


def bias_initializer() -> Attribute:
    return Attribute(
        "bias_initializer",
        INITIALIZER,
        keras="zeros",
        pytorch="fan_in_uniform",
        doc="Initial values of the bias.",
    )


def initializer(name: str, keras: str, pytorch: str) -> Attribute:
    return Attribute(
        f"{name}_initializer",
        INITIALIZER,
        keras=keras,
        pytorch=pytorch,
        doc=f"Initial values of the {name.replace('_', ' ')}.",
    )


def regularizer(name: str) -> Attribute:
    return Attribute(
        f"{name}_regularizer",
        REGULARIZER,
        None,
        f"Penalty on the {name.replace('_', ' ')}, added to the loss.",
    )


def given(**keywords: tuple[Any, Any]) -> dict[str, Default]:
    """Keyword arguments of a framework's layer as ``name=(value, its default)``."""
    return {name: Default(*pair) for name, pair in keywords.items()}


def listed(**keywords: tuple[Any, Any]) -> str:
    """The same for a call in an expression: ``, name=value`` for each that is not the default."""
    return "".join(f", {name}={v!r}" for name, (v, default) in keywords.items() if v != default)


def short(values: tuple[int, ...]) -> int | tuple[int, ...]:
    """``(3, 3)`` as 3, the way people write it."""
    return values[0] if len(set(values)) == 1 else values

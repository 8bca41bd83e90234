"""Penalties on parameters, added to the loss. ``l2`` is ``sum(w**2)`` times its factor, as Keras
defines it;
PyTorch's weight decay, whose gradient is ``factor * w``, is an attribute of the optimizer."""

from __future__ import annotations

from typing import Any

from specc.ops.attributes import Attribute, Number


class Regularizer:
    """Base of the penalties: a configured one has factors ``l1`` and ``l2``."""

    kind = ""
    attributes: tuple[Attribute, ...] = ()

    @staticmethod
    def complete(values: dict[str, Any]) -> dict[str, Any]:
        return {"l1": 0.0, "l2": 0.0, **values}


class L1(Regularizer):
    """``l1 * sum(|w|)``. The gradient at 0 is 0."""

    kind = "l1"
    attributes = (Attribute("l1", Number(0), 0.01, "Factor of the sum of magnitudes."),)


class L2(Regularizer):
    """``l2 * sum(w**2)``."""

    kind = "l2"
    attributes = (Attribute("l2", Number(0), 0.01, "Factor of the sum of squares."),)


class L1L2(Regularizer):
    """``l1 * sum(|w|) + l2 * sum(w**2)``."""

    kind = "l1_l2"
    attributes = (*L1.attributes, *L2.attributes)


REGULARIZERS = {cls.kind: cls for cls in (L1, L2, L1L2)}

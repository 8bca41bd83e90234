"""What the arguments of a call are called, from the registries: ``conv2d(32, 3)`` is filters and
kernel_size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from specc.records import dataclass


@dataclass(frozen=True)
class Signature:
    """Attribute names in positional order.

    ``families`` says, for attributes whose value is itself a call (``learning_rate=cosine(1e-3,
    100)``), where that call's signature is found; ``wires`` are the attributes that name values of
    the network.
    """

    names: tuple[str, ...]
    required: frozenset[str] = frozenset()
    families: Mapping[str, Family] = field(default_factory=dict)
    wires: frozenset[str] = frozenset()


Family = Callable[[str], Signature | None]
"""From the kind of a call to its signature; None for an unknown kind."""

Signatures = Callable[[str, str], Signature | None]
"""From where a call stands (``layers``, ``loss``, ``optimizer``, ``metrics``, ``clip`` or
``prepare``) and its kind to its signature."""


def registered(section: str, kind: str) -> Signature | None:
    """The signature of a kind in the registries of specc and its plug-ins."""
    row = _row(section, kind)
    if row is None:
        return None
    ports = ("prediction", "target") if section == "loss" else ()
    extra = ("weight",) if section == "loss" else ()
    return _signature(row.attributes, ports, extra)


def _row(section: str, kind: str) -> Any:
    if section == "layers":
        from specc.ops.registry import find

        return find(kind)
    return _named(_registry(section), kind)


def _registry(section: str) -> Mapping[str, Any]:
    match section:
        case "loss":
            from specc.ops.losses import LOSSES

            return LOSSES
        case "optimizer":
            from specc.training.optimizers import OPTIMIZERS

            return OPTIMIZERS
        case "clip":
            from specc.training.clipping import CLIPPINGS

            return CLIPPINGS
        case "metrics":
            from specc.training.metrics import METRICS

            return METRICS
        case "prepare":
            from specc.data.steps import STEPS

            return STEPS
    return {}


def _named(registry: Mapping[str, Any], kind: str) -> Any:
    """The row of that kind or alias."""
    if kind in registry:
        return registry[kind]
    rows = registry.values()
    return next((row for row in rows if kind in getattr(row, "aliases", ())), None)


def _signature(
    attributes: Sequence[Any], before: tuple[str, ...] = (), after: tuple[str, ...] = ()
) -> Signature:
    names = (*before, *(attribute.name for attribute in attributes), *after)
    required = frozenset(before) | {a.name for a in attributes if a.required}
    families = {a.name: _family(a.kind) for a in attributes if _reference(a.kind) is not None}
    return Signature(names, required, families, frozenset(before))


def _reference(kind: Any) -> Any:
    """The registry that an attribute's value is chosen from, also behind 'or null'."""
    inner = getattr(kind, "kind", kind)
    return getattr(inner, "registry", None)


def _family(kind: Any) -> Family:
    def signature(name: str) -> Signature | None:
        row = _named(_reference(kind)(), name)
        return None if row is None else _signature(row.attributes)

    return signature

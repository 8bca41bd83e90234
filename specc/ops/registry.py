"""The op table: every operation that a spec can use, by kind and by alias."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from specc.ops.base import Op

FAMILIES = (
    "activations",
    "arithmetic",
    "attention",
    "batch_normalization",
    "convolution",
    "dense",
    "dropout",
    "embedding",
    "global_pooling",
    "group_normalization",
    "joining",
    "losses",
    "normalization",
    "pooling",
    "recurrent",
    "shapes",
)
OPS: dict[str, Op] = {}
ALIASES: dict[str, str] = {}


class NameClashError(Exception):
    """Two ops claim one name."""


def register(ops: Iterable[type[Op]]) -> None:
    """Adds ops to the table. A name that is taken is refused."""
    for cls in ops:
        for name in (cls.kind, *cls.aliases):
            if name in OPS or name in ALIASES:
                raise NameClashError(
                    f"the op name '{name}' of {cls.__module__}.{cls.__name__} is taken"
                )
        OPS[cls.kind] = cls()
        ALIASES.update(dict.fromkeys(cls.aliases, cls.kind))


def find(kind: str) -> Op | None:
    """The op of that kind or alias."""
    return OPS.get(ALIASES.get(kind, kind))


def visible() -> dict[str, Op]:
    """The ops that a spec may write, by kind; internal ones are the compiler's."""
    return {kind: op for kind, op in sorted(OPS.items()) if not op.internal}


for _family in FAMILIES:
    register(import_module(f"specc.ops.{_family}").OPS)

"""What a use gives a block's parameters."""

from __future__ import annotations

from typing import Any

from specc.diagnostics import Note, SpecError, did_you_mean
from specc.frontend.configure import Environment, Reporter, parameter_value
from specc.frontend.items import Item
from specc.frontend.tree import Mapping, Scalar, Tree


def block_arguments(
    item: Item, block: Mapping, name: str, environment: Environment, reporter: Reporter
) -> tuple[dict[str, Any], bool]:
    """Every parameter of the block with its value in this use, or its default; and whether the use
    gives no others, which are reported.

    Raises SpecError, reported, where a parameter has no value.
    """
    declared = block.get("parameters")
    entries = declared.entries if isinstance(declared, Mapping) else ()
    names = [str(key.value) for key, _ in entries]
    written: dict[str, Tree] = {}
    good, complete = True, True
    for key, tree in _given(item, reporter):
        written[str(key.value)] = tree
        if key.value not in names:
            help_ = did_you_mean(str(key.value), names)
            message = f"block '{name}' has no parameter '{key.value}'"
            reporter.error("E0416", message, key.span, help_)
            good = False
    values: dict[str, Any] = {}
    for key, default in entries:
        each = str(key.value)
        if each in written:
            values[each] = parameter_value(written[each], environment)
        elif isinstance(default, Scalar) and default.value is None:
            help_ = f"add {each}=..." if item.in_language else f"add with: {{{each}: ...}}"
            notes = (Note(f"'{each}' has no default", key.span),)
            message = f"block '{name}' needs '{each}'"
            reporter.error("E0417", message, item.span, help_, notes)
            complete = False
        else:
            values[each] = parameter_value(default, values)
    if not complete:
        raise SpecError(())
    return values, good


def _given(item: Item, reporter: Reporter) -> tuple[tuple[Scalar, Tree], ...]:
    """The entries of ``with``."""
    extra = item.extra
    if extra is None or (isinstance(extra, Scalar) and extra.value is None):
        return ()
    if not isinstance(extra, Mapping):
        message = "'with' is a mapping of the block's parameters"
        reporter.error("E0416", message, extra.span, "e.g. with: {width: 64}")
        raise SpecError(())
    return extra.entries

"""The section ``allow``: warnings that a spec silences by their names."""

from __future__ import annotations

from specc.diagnostics import WARNINGS, did_you_mean
from specc.frontend.configure import Reporter
from specc.frontend.tree import Mapping, Scalar, Sequence, Tree


def allowed_warnings(tree: Tree | None, reporter: Reporter) -> tuple[str, ...]:
    """The names that the section lists, each once; what is no warning is reported."""
    found: dict[str, None] = {}
    items = tree.items if isinstance(tree, Sequence) else () if tree is None else (tree,)
    for item in items:
        name = item.value if isinstance(item, Scalar) else None
        if name in WARNINGS.values():
            found[str(name)] = None
        elif isinstance(item, Mapping | Sequence) or not isinstance(name, str):
            help_ = f"e.g. allow: [{next(iter(WARNINGS.values()))}]"
            reporter.error("E0504", "this is not the name of a warning", item.span, help_)
        elif name.upper() in WARNINGS:
            message = "a warning is silenced by its name"
            reporter.error("E0505", message, item.span, f"write {WARNINGS[name.upper()]}")
        else:
            help_ = did_you_mean(name, WARNINGS.values())
            if name[:1] in "eE" and name[1:].isdigit():
                help_ = "an error cannot be silenced"
            reporter.error("E0505", f"there is no warning '{name}'", item.span, help_)
    return tuple(found)

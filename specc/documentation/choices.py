"""The reference parts of the pages on training and data, from the registries."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from specc.documentation.tables import attribute_table, markdown


def training_reference() -> str:
    """Everything that a training section, or a layer's initializer, can choose from."""
    from specc.ops.losses import LOSSES
    from specc.training.clipping import CLIPPINGS
    from specc.training.initializers import INITIALIZERS
    from specc.training.metrics import METRICS
    from specc.training.optimizers import OPTIMIZERS
    from specc.training.regularizers import REGULARIZERS
    from specc.training.schedules import SCHEDULES

    registries: dict[str, Mapping[str, Any]] = {
        "Losses": LOSSES,
        "Optimizers": OPTIMIZERS,
        "Schedules": SCHEDULES,
        "Clipping": CLIPPINGS,
        "Metrics": METRICS,
        "Initializers": INITIALIZERS,
        "Regularizers": REGULARIZERS,
    }
    lines: list[str] = []
    for title, rows in registries.items():
        lines += [f"## {title}", "", *_rows(rows)]
    return "\n".join(lines).rstrip() + "\n"


def data_reference() -> str:
    """Sources, the split and the preparation steps of a data section."""
    from specc.data.spec import SOURCES
    from specc.data.split import SPLIT
    from specc.data.steps import STEPS

    lines = ["## Sources", ""]
    for source, attributes in SOURCES.items():
        lines += [f"### {source}", "", *attribute_table(attributes)]
    lines += ["## Split", "", *attribute_table(SPLIT), "## Preparation steps", "", *_rows(STEPS)]
    return "\n".join(lines).rstrip() + "\n"


def _rows(registry: Mapping[str, Any]) -> list[str]:
    """A section for each row of a registry."""
    lines: list[str] = []
    for kind in sorted(registry):
        row = registry[kind]
        described = row if isinstance(row, type) else type(row)
        lines += [f"### {kind}", "", markdown(inspect.cleandoc(described.__doc__ or "")), ""]
        if aliases := getattr(row, "aliases", ()):
            lines += [f"Also written {', '.join(f'`{alias}`' for alias in aliases)}.", ""]
        lines += attribute_table(row.attributes)
    return lines

"""Located trees as canonical text of either form, comments kept."""

from __future__ import annotations

from specc.frontend.dsl_writer import to_dsl
from specc.frontend.yaml_writer import to_yaml

__all__ = ["to_dsl", "to_yaml"]

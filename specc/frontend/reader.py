"""A spec file to its located tree: whichever form, includes and ``--set`` applied."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Mapping as Dict
from pathlib import Path

from specc.diagnostics import Diagnostic, Source, SpecError, did_you_mean
from specc.frontend.includes import Includes
from specc.frontend.sets import apply_sets
from specc.frontend.sources import SUFFIXES, load_source
from specc.frontend.tree import Mapping, Scalar


def read_spec(path: str | os.PathLike[str], sets: Dict[str, str] | None = None) -> Mapping:
    """The located tree of a spec file with the blocks and parameters of its includes, and with
    ``sets`` (dotted path to value, as the command line's ``--set`` gives them) in place.

    Raises SpecError with every mistake found: E00xx for files, E01xx for YAML, E02xx for the
    language, E03xx for expressions. What the tree means is checked by later steps.
    """
    file = Path(path)
    tree = Includes(file.parent, read_file).spec(file, str(path))
    return apply_sets(tree, sets or {})


def read_tree(path: str | os.PathLike[str]) -> Mapping:
    """The located tree of one file as it is written: includes are read (the language needs their
    names) but not merged. For conversion and formatting."""
    file = Path(path)
    includes = Includes(file.parent, read_file)
    return includes.single(file, str(path))


def read_source(source: Source, include: Callable[[Scalar], Mapping] | None = None) -> Mapping:
    """The located tree of a text; the ending of its name says which form it has."""
    if source.name.endswith(SUFFIXES[-1]):
        from specc.frontend.dsl_reader import read_dsl

        return read_dsl(source, include=include)
    from specc.frontend.yaml_reader import read_yaml

    return read_yaml(source)


def read_file(
    path: Path,
    name: str,
    include: Callable[[Scalar], Mapping],
    load: Callable[[Path, str | None], Source] = load_source,
) -> Mapping:
    """The located tree of one file, its text from ``load``. Raises SpecError."""
    if path.suffix not in SUFFIXES and os.path.isfile(path):
        message = f"'{name}' is not a spec: its name ends with '{path.suffix}'"
        if not path.suffix:
            message = f"'{name}' is not a spec: its name has no ending"
        raise SpecError(Diagnostic("E0005", message, help=did_you_mean(path.suffix, SUFFIXES)))
    return read_source(load(path, name), include)

"""Specs as canonical text: trees of either form written out, and texts brought into one style."""

from __future__ import annotations

from specc.diagnostics import Source, SpecError
from specc.frontend.signatures import Signatures, registered
from specc.frontend.sources import SUFFIXES, check_characters
from specc.frontend.tree import Mapping


def to_yaml(tree: Mapping) -> str:
    """The tree as YAML that ``read_yaml`` reads back to an equal tree, in specc's style."""
    from specc.frontend import yaml_writer

    return format_text(Source("spec.yaml", yaml_writer.to_yaml(tree)))


def to_dsl(tree: Mapping, signatures: Signatures = registered) -> str:
    """The tree in the language, which ``read_dsl`` reads back to its normal form, in specc's style.

    Raises SpecError (E0211) for what the language has no way to say, such as a name with a space in
    it.
    """
    from specc.frontend import dsl_writer

    return format_text(Source("spec.specc", dsl_writer.to_dsl(tree, signatures)))


def format_text(source: Source) -> str:
    """The text of a spec in specc's style; the ending of its name says which form it has.

    Every comment stays, and so does what the spec means: that is checked before the text is given
    back, and a text that would mean something else is left as it is. Raises SpecError for a text
    that is no spec of that form (E00xx to E03xx).
    """
    source = check_characters(source)
    return _format_dsl(source) if source.name.endswith(SUFFIXES[-1]) else _format_yaml(source)


def _format_dsl(source: Source) -> str:
    from specc.frontend.dsl_format import format_dsl, meaning

    text = format_dsl(source)
    return text if meaning(Source(source.name, text)) == meaning(source) else source.text


def _format_yaml(source: Source) -> str:
    from specc.frontend.tree import to_plain
    from specc.frontend.yaml_format import format_yaml
    from specc.frontend.yaml_reader import read_yaml

    before = repr(to_plain(read_yaml(source)))
    text = format_yaml(source)
    try:
        after = repr(to_plain(read_yaml(Source(source.name, text))))
    except SpecError:
        return source.text
    return text if after == before else source.text

"""What a spec and its blocks declare: names, and bodies of the right form, checked before anything
is built of them."""

from __future__ import annotations

from collections.abc import Iterator

from specc.diagnostics import Note, Span, SpecError, did_you_mean
from specc.frontend.configure import Reporter
from specc.frontend.expressions import RESERVED, Expression, names
from specc.frontend.tree import Mapping, Scalar, Sequence, Tree
from specc.ops.registry import find

BODY = ("parameters", "inputs", "shared", "layers", "outputs")
EXAMPLES = {
    "parameters": "parameters: {width: 64}",
    "inputs": "inputs: {image: {shape: [28, 28, 1]}}",
    "targets": "targets: {label: {shape: [], dtype: int}}",
    "blocks": "blocks: {tower: {inputs: [x], layers: [{dense: 32}]}}",
    "shared": "shared: {embed: {dense: 32}}",
    "layers": "layers: [{dense: 32}]",
}
MAX_NAME = 100
"""A longer name is refused: it becomes the name of files and of what generated code holds."""
_LETTERS = "use letters, digits and underscores, starting with a letter"


def check_word(name: str, span: Span, reporter: Reporter) -> None:
    """Refuses what cannot be a part of a path. Raises SpecError, reported."""
    if len(name) > MAX_NAME:
        message = f"a name has at most {MAX_NAME} characters, and this one has {len(name):,}"
        reporter.error("E0403", message, span)
        raise SpecError(())
    if not name.isidentifier() or not name.isascii() or not name.strip("_"):
        reporter.error("E0403", f"'{name}' cannot be a name", span, _LETTERS)
        raise SpecError(())
    if name.startswith("__"):
        message = f"'{name}' cannot be a name: Python keeps those with two underscores for itself"
        reporter.error("E0403", message, span, f"e.g. {name.strip('_') or 'x'}")
        raise SpecError(())


def check_name(name: str, span: Span, reporter: Reporter) -> None:
    """Refuses what cannot name a value, a layer or a block. Raises SpecError, reported."""
    check_word(name, span, reporter)
    op = find(name)
    if op is not None and not op.internal:
        message = f"'{name}' is the name of an op and cannot name a value"
        reporter.error("E0405", message, span, f"e.g. {name}_1")
        raise SpecError(())


def check_parameter(key: Scalar, reporter: Reporter) -> None:
    """Refuses names that expressions could not read. Raises SpecError, reported."""
    name = str(key.value)
    check_word(name, key.span, reporter)
    if name in RESERVED:
        message = f"'{name}' has a meaning of its own in expressions and cannot be a parameter"
        reporter.error("E0403", message, key.span, f"e.g. {name}_1")
        raise SpecError(())


def entries_of(
    body: Mapping, section: str, reporter: Reporter, of: str = ""
) -> tuple[tuple[Scalar, Tree], ...]:
    """The entries of a section that names things; one of another form is reported (E0426)."""
    tree = body.get(section)
    if tree is None or isinstance(tree, Mapping):
        return tree.entries if tree is not None else ()
    message = f"{section}{of} is a mapping, one entry for each name"
    reporter.error("E0426", message, tree.span, f"e.g. {EXAMPLES[section]}")
    return ()


def check_blocks(tree: Mapping, reporter: Reporter) -> dict[str, Mapping | None]:
    """The blocks of a spec by name; a wrong one, which is reported, is None."""
    blocks: dict[str, Mapping | None] = {}
    for key, body in entries_of(tree, "blocks", reporter):
        name = str(key.value)
        blocks[name] = body if isinstance(body, Mapping) else None
        try:
            check_name(name, key.span, reporter)
            if not isinstance(body, Mapping):
                help_ = f"e.g. {EXAMPLES['blocks']}"
                reporter.error("E0426", "a block is a mapping with layers", body.span, help_)
                continue
            check_body(body, f"block '{name}'", key.span, reporter)
        except SpecError as error:
            reporter.extend(error)
            blocks[name] = None
    return blocks


def check_body(body: Mapping, what: str, place: Span, reporter: Reporter) -> None:
    """The form of a block or repeat: its keys, its inputs and parameters, and that it has layers.

    Raises SpecError, reported.
    """
    known = len(reporter.diagnostics)
    for key, _ in body.entries if what.startswith("block") else ():
        if key.value not in BODY:
            help_ = did_you_mean(str(key.value), BODY)
            reporter.error("E0501", f"a block has no attribute '{key.value}'", key.span, help_)
    _check_inputs(body.get("inputs"), what, reporter)
    for key, _ in entries_of(body, "parameters", reporter, f" of {what}"):
        check_parameter(key, reporter)
    entries_of(body, "shared", reporter, f" of {what}")
    if len(reporter.diagnostics) > known:
        raise SpecError(())
    layers = body.get("layers")
    empty = layers is None or (isinstance(layers, Sequence) and not layers.items)
    if empty and body.get("outputs") is None:
        at = layers.span if layers is not None else place
        reporter.error("E0422", f"{what} has no layers", at, f"e.g. {EXAMPLES['layers']}")
        raise SpecError(())


def input_names(body: Mapping) -> list[str]:
    """The inputs of a block or repeat, ``x`` where none are written."""
    tree = body.get("inputs")
    items = tree.items if isinstance(tree, Sequence) else () if tree is None else (tree,)
    return [str(each.value) for each in items if isinstance(each, Scalar)] or ["x"]


def _check_inputs(tree: Tree | None, what: str, reporter: Reporter) -> None:
    items = tree.items if isinstance(tree, Sequence) else () if tree is None else (tree,)
    if tree is not None and not items:
        message = f"{what} has no inputs"
        reporter.error("E0423", message, tree.span, "name what it takes: inputs: [x]")
    seen: dict[str, Span] = {}
    for each in items:
        if not isinstance(each, Scalar) or not isinstance(each.value, str):
            message = f"the inputs of {what} are a list of names"
            reporter.error("E0406", message, each.span, "e.g. inputs: [x]")
            continue
        if each.value in seen:
            notes = (Note(f"'{each.value}' is first defined here", seen[each.value]),)
            message = f"{what} has two inputs '{each.value}'"
            reporter.error("E0404", message, each.span, "choose another name", notes)
        seen[each.value] = each.span
        try:
            check_name(each.value, each.span, reporter)
        except SpecError as error:
            reporter.extend(error)


def warn_of_unused_parameters(tree: Mapping, reporter: Reporter) -> None:
    """Warns of parameters of the spec that no expression reads, but not of included ones."""
    read = set(_names_read(tree))
    for key, _ in entries_of(tree, "parameters", reporter):
        if key.value not in read and key.span.source is tree.span.source:
            message = f"the parameter '{key.value}' is never used"
            reporter.warning("W1001", message, key.span)


def _names_read(tree: Tree) -> Iterator[str]:
    """The names that the expressions of a tree read."""
    if isinstance(tree, Scalar):
        if isinstance(tree.value, Expression):
            yield from names(tree.value)
    elif isinstance(tree, Sequence):
        for each in tree.items:
            yield from _names_read(each)
    else:
        for _, value in tree.entries:
            yield from _names_read(value)

"""What an input or target is: its shape and the type of its elements."""

from __future__ import annotations

from specc.diagnostics import SpecError, did_you_mean
from specc.frontend.configure import Environment, Reporter, plain
from specc.frontend.declarations import EXAMPLES, check_word
from specc.frontend.limits import MAX_ELEMENTS
from specc.frontend.tree import Mapping, Scalar, Sequence, Tree
from specc.ir.dims import BATCH, Dim, symbol
from specc.ir.types import DTYPES, TensorType
from specc.ops.attributes import show


def declared_type(
    tree: Tree, what: str, environment: Environment, reporter: Reporter
) -> TensorType:
    """The type of an input or target, ``[28, 28]`` or ``{shape: [], dtype: int}``; ``what`` is "an
    input" or "a target". Raises SpecError, reported."""
    if not isinstance(tree, Mapping):
        tree = Mapping(((Scalar("shape", tree.span), tree),), tree.span)
    shape, dtype = tree.get("shape"), tree.get("dtype")
    for key, _ in tree.entries:
        if key.value not in ("shape", "dtype"):
            help_ = did_you_mean(str(key.value), ("shape", "dtype"))
            reporter.error("E0501", f"{what} has no attribute '{key.value}'", key.span, help_)
            if shape is None:
                raise SpecError(())
    name = plain(dtype, environment) if dtype is not None else "float"
    if not isinstance(name, str) or name not in DTYPES:
        assert dtype is not None
        from specc.frontend.foreign import translated

        help_ = translated(str(name), "dtype", DTYPES) or did_you_mean(str(name), DTYPES)
        reporter.error("E0503", f"{show(name)} is not a type", dtype.span, help_)
        raise SpecError(())
    if not isinstance(shape, Sequence):
        place = (shape or tree).span
        reporter.error(
            "E0427",
            f"{what} needs a shape, a list without the batch",
            place,
            f"e.g. {_example(shape, what)}",
        )
        raise SpecError(())
    return TensorType(
        str(name), (BATCH, *(_dim(each, environment, reporter) for each in shape.items))
    )


def _example(shape: Tree | None, what: str) -> str:
    """A shape as it is written, with the size that stands there without brackets."""
    if isinstance(shape, Scalar) and isinstance(shape.value, int):
        return f"shape: [{shape.value}]"
    return EXAMPLES["inputs" if what == "an input" else "targets"]


def _dim(tree: Tree, environment: Environment, reporter: Reporter) -> Dim:
    if isinstance(tree, Scalar) and isinstance(tree.value, str) and tree.value.isidentifier():
        check_word(tree.value, tree.span, reporter)
        if symbol(tree.value) == BATCH:
            message = "the batch is no part of a shape: it is implied"
            reporter.error("E0428", message, tree.span, f"remove {tree.value}")
            raise SpecError(())
        return symbol(tree.value)
    value = plain(tree, environment)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MAX_ELEMENTS:
        message = f"{show(value)} is not a size: a positive integer or a name"
        help_ = "e.g. 28, or T for a size that differs between batches"
        if value in (None, -1):
            help_ = f"the batch is implied: leave it out; {help_}"
        if isinstance(value, int) and value > MAX_ELEMENTS:
            message, help_ = f"{value} is too large for a size", ""
        notes = reporter.declared(tree, environment)
        reporter.error("E0428", message, tree.span, help_, notes)
        raise SpecError(())
    return value

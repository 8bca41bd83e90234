"""Initial values from which a layer cannot learn."""

from __future__ import annotations

from specc.diagnostics import Note
from specc.frontend.configure import Reporter
from specc.frontend.suspicious.flow import Flow
from specc.ir.graph import Node, Parameter

_ELEMENTWISE = ("relu", "leaky_relu", "elu", "gelu", "sigmoid", "tanh", "softplus")
_CONSTANT = {"zeros": 0.0, "ones": 1.0}


def check_initial_values(flow: Flow, reporter: Reporter) -> None:
    """W1007 for the layers of a graph."""
    for node in flow.nodes:
        scale = _scale(node)
        if scale is None or not node.outputs:
            continue
        readers = flow.readers(node.outputs[0])
        into_relu = readers and all(reader.op == "relu" for reader in readers)
        if into_relu and _constant(scale) == 0 and _never_positive(node):
            _report_dead(node, scale, readers[0], reporter)
            continue
        after = _next_layer(node, flow)
        if after is not None and _scale(after) is not None and scale.shape[-1] > 1:
            _report_copies(node, scale, after, reporter)


def _report_dead(node: Node, scale: Parameter, relu: Node, reporter: Reporter) -> None:
    message = (
        f"{node.op} starts at 0 for every input, where relu passes no gradient: it never learns"
    )
    notes = [Note("this relu gives 0, and so does its gradient", relu.span)]
    if relu.span == node.span:
        notes.clear()
    place = scale.initializer.span or node.span
    reporter.warning("W1007", message, place, f"give its {scale.name} random values", tuple(notes))


def _report_copies(node: Node, scale: Parameter, after: Node, reporter: Reporter) -> None:
    second = _scale(after)
    assert second is not None
    if _constant(scale) == 0 == _constant(second):
        message = f"{node.op} and the {after.op} after it start at 0: no gradient reaches either"
    else:
        message = (
            f"the {scale.shape[-1]} outputs of this {node.op} start alike and get the same "
            "gradients: they stay copies of one"
        )
    notes = (Note("this one starts from a constant too", second.initializer.span or after.span),)
    place = scale.initializer.span or node.span
    reporter.warning("W1007", message, place, "give one of them random values", notes)


def _next_layer(node: Node, flow: Flow) -> Node | None:
    """The layer with parameters that alone reads the output, activations left aside."""
    after = flow.reader(node.outputs[0])
    while after is not None and after.op in _ELEMENTWISE:
        after = flow.reader(after.outputs[0])
    return after


def _scale(node: Node) -> Parameter | None:
    """The parameter that multiplies a layer's input, if it is trained and starts from a constant
    which makes all outputs alike: of a normalization that is 0 alone."""
    kernel, gamma = node.parameter("kernel"), node.parameter("gamma")
    found = kernel or gamma
    if found is None or not found.trainable or _constant(found) is None:
        return None
    return found if found is kernel or _constant(found) == 0 else None


def _never_positive(node: Node) -> bool:
    """Whether what is added to the product is nowhere above 0."""
    added = [p for p in (node.parameter("bias"), node.parameter("beta")) if p is not None]
    values = list(map(_constant, added))
    return all(value is not None and value <= 0 for value in values)


def _constant(parameter: Parameter) -> float | None:
    initializer = parameter.initializer
    if initializer.kind == "constant":
        return float(initializer.attributes["value"])
    return _CONSTANT.get(initializer.kind)

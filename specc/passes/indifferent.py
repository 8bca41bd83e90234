"""Finds the parameters whose true gradient is zero.

A batch_norm subtracts the mean of each channel, so a constant that a layer before it adds to the
channel changes nothing: its bias could be anything. A softmax does the same to what is added to all
of its classes alike. And whatever is normalized by itself alone, a single number, comes out the
same: nothing before it is felt. An adaptive optimizer still moves such parameters, by rounding
noise turned into full steps, so two runs that compute the same end with other values there. A
comparison leaves them out, and only those that are proved here.
"""

from __future__ import annotations

from collections import defaultdict

from specc.ir.dims import product
from specc.ir.graph import Graph, Loss, Node, Parameter, Program, Value
from specc.ops.losses import LOSSES
from specc.passes.inline_calls import inline_calls

# These give the same shift at their output as at their input, channel by channel.
_SHIFTED = frozenset({"max_pool1d", "max_pool2d", "add"})
_GLOBAL = frozenset(f"global_{kind}_pool{rank}d" for kind in ("max", "average") for rank in (1, 2))
# The last thing that these do is to add this parameter, channel by channel.
_BIASES = {
    **dict.fromkeys(("dense", "conv1d", "conv2d", "depthwise_conv2d"), "bias"),
    **dict.fromkeys(("batch_norm", "layer_norm", "group_norm"), "beta"),
}
_NORMALIZING = frozenset({"softmax", "layer_norm", "group_norm"})
# Softmax over keys: what is added to all keys alike adds the same to all scores of a query; the
# only key has the weight 1 whatever its score.
_OWN = {"multi_head_attention": ("key.bias",)}
_ONLY = ("query.kernel", "query.bias", "key.kernel", "key.bias")


def indifferent(program: Program) -> tuple[str, ...]:
    """The paths of the parameters and running means that noise alone moves."""
    graph = inline_calls(program).graph
    readers, losses = _readers(graph), _losses(program, graph)
    kept = {id(value) for value in graph.outputs}

    def feels(value: Value, axes: frozenset[int]) -> bool:
        """Whether a loss feels a shift of ``value``, or it is an output that has no loss."""
        own = losses[id(value)]
        return not all(_absorbs(loss.node, axes) for loss in own) if own else id(value) in kept

    def sinks(value: Value, axes: frozenset[int]) -> list[Node] | None:
        """The batch_norms that absorb a shift of ``value`` which varies along ``axes`` alone.

        None if something else feels it.
        """
        found: list[Node] = []
        for node in readers[id(value)]:
            inner = None
            axis = _axes(node)
            if _subtracts_mean(node) and axes <= axis:
                inner = [node]
            elif node.op == "softmax" and not axes & axis:
                inner = []
            elif node.op in _SHIFTED and (node.op == "add" or axes <= axis):
                # What has fewer axes than the sum gets them right after the batch.
                more = node.outputs[0].type.rank - value.type.rank
                inner = sinks(node.outputs[0], frozenset(each + more for each in axes))
            elif node.op in _GLOBAL and axes <= axis:
                inner = sinks(node.outputs[0], axes if node["keepdims"] else frozenset({1}))
            elif axes == {2} and _is_key(node, value):
                inner = []
            if inner is None:
                return None
            found += inner
        if feels(value, axes) or not (readers[id(value)] or losses[id(value)]):
            return None
        return found

    absorbed: dict[str, list[Node] | None] = {}
    own: list[str] = []
    for node in graph.nodes:
        scores = _ONLY if _has_one_key(node) else _OWN.get(node.op, ())
        own += [f"{node.layer}.{name}" for name in scores if _free(node, name)]
        name = _BIASES.get(node.op, "")
        if _free(node, name):
            path = f"{node.layer}.{name}"
            before = absorbed.get(path, [])
            after = sinks(node.outputs[0], _axes(node))
            # Every call of a shared layer must be absorbed.
            absorbed[path] = None if before is None or after is None else before + after
    names = [
        name
        for path, norms in absorbed.items()
        if norms is not None
        for name in (path, *(f"{norm.layer}.moving_mean" for norm in norms))
    ]
    return tuple(dict.fromkeys(own + names + _unfelt(graph, kept | losses.keys())))


def _readers(graph: Graph) -> dict[int, list[Node]]:
    """The nodes that read each value, by its identity."""
    found: dict[int, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        for value in node.inputs:
            if value is not None:
                found[id(value)].append(node)
    return found


def _losses(program: Program, graph: Graph) -> dict[int, list[Loss]]:
    """The losses of each output of the inlined graph."""
    found: dict[int, list[Loss]] = defaultdict(list)
    inlined = {id(a): b for a, b in zip(program.graph.outputs, graph.outputs, strict=True)}
    for loss in program.training.losses if program.training is not None else ():
        found[id(inlined[id(loss.prediction)])].append(loss)
    return found


def _absorbs(loss: Node, axes: frozenset[int]) -> bool:
    """Whether a loss takes the softmax over another axis than a shift varies along."""
    return LOSSES[loss.op].fuses == "softmax" and loss["from_logits"] and not axes & _axes(loss)


def _axes(node: Node) -> frozenset[int]:
    """The axes of the first input along which a layer works: those of its channels."""
    value = node.inputs[0]
    rank = value.type.rank if value is not None else 0
    if "layout" in node.attributes:
        return frozenset({1 if node["layout"] == "channels_first" else rank - 1})
    axis = node.attributes.get("axis", -1)
    return frozenset(each % rank for each in (axis if isinstance(axis, tuple) else (axis,)))


def _unfelt(graph: Graph, kept: set[int]) -> list[str]:
    """Parameters and statistics of layers that are felt in what is ``kept`` only by way of values
    that are the same whatever comes in."""
    felt, behind, reached, names = set(kept), set(kept), set[str](), list[str]()
    for node in reversed(graph.nodes):
        feels = any(id(value) in felt for value in node.outputs)
        constant = _is_constant(node)
        if feels and not constant:
            felt |= {id(value) for value in node.inputs}
        if not any(id(value) in behind for value in node.outputs):
            continue
        behind |= {id(value) for value in node.inputs}
        for parameter in node.parameters:
            path = f"{node.layer}.{parameter.name}"
            # What a constant is shifted by shows; what it is multiplied by does not.
            if feels and not (constant and parameter.name == "gamma"):
                reached.add(path)
            elif not _is_pulled(parameter):
                names.append(path)
    return [name for name in reversed(names) if name not in reached]


def _is_constant(node: Node) -> bool:
    """Whether it normalizes single numbers: its result is the same for any of them."""
    value = node.inputs[0]
    if node.op not in _NORMALIZING or value is None:
        return False
    shape = value.type.shape
    if node.op == "group_norm":
        return bool(product(shape[1:]) == node["groups"])
    return all(shape[axis] == 1 for axis in _axes(node))


def _subtracts_mean(node: Node) -> bool:
    """Whether it normalizes by the batch and takes off all of a shift.

    A frozen one of Keras goes by its moving statistics; a masked one divides by the count + 1e-7,
    so that a trace of the shift is left.
    """
    masked = len(node.inputs) > 1 and node.inputs[1] is not None
    normalizes = node.op == "batch_norm" and (node["trainable"] or not node["freeze_statistics"])
    return normalizes and not masked


def _is_key(node: Node, value: Value) -> bool:
    """Whether attention takes ``value`` as its key and as nothing else: a shift of all keys alike
    adds the same to all scores of a query."""
    others = (each for place, each in enumerate(node.inputs) if place != 2)
    return node.op == "multi_head_attention" and all(each is not value for each in others)


def _has_one_key(node: Node) -> bool:
    """Whether it is attention to a single step."""
    query, value = (*node.inputs, None)[:2]
    attended = value or query
    return node.op in _OWN and attended is not None and attended.type.shape[1] == 1


def _free(node: Node, name: str) -> bool:
    """Whether the layer has this parameter, and nothing but the loss pulls at it."""
    found = node.parameter(name)
    return found is not None and found.trainable and not _is_pulled(found)


def _is_pulled(parameter: Parameter) -> bool:
    """Whether a penalty moves it. At 0 it has no gradient, and rounding decides which way one of
    magnitudes goes."""
    start = parameter.initializer
    zero = start.kind == "zeros" or (start.kind == "constant" and not start.attributes["value"])
    return bool(parameter.l1 or parameter.l2) and not zero

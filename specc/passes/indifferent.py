"""Finds the parameters whose true gradient is zero.

A batch_norm subtracts the mean of each channel, so a constant that a layer before it adds to the
channel changes nothing: its bias could be anything. An adaptive optimizer still moves it, by
rounding noise turned into full steps, so two runs that compute the same end with other values
there. A comparison leaves such tensors out, and only those that are proved here.
"""

from __future__ import annotations

from collections import defaultdict

from specc.ir.graph import Node, Program, Value
from specc.passes.inline_calls import inline_calls

# These give the same shift at their output as at their input, channel by channel.
_SHIFTED = frozenset({"max_pool1d", "max_pool2d", "add"})
_GLOBAL = frozenset(f"global_{kind}_pool{rank}d" for kind in ("max", "average") for rank in (1, 2))
# The last thing that these do is to add the bias to each channel.
_BIASED = frozenset({"dense", "conv1d", "conv2d", "depthwise_conv2d"})
# Softmax over keys: what is added to all keys alike adds the same to all scores of a query.
_OWN = {"multi_head_attention": ("key.bias",)}


def indifferent(program: Program) -> tuple[str, ...]:
    """The paths of the parameters and running means that noise alone moves."""
    graph = inline_calls(program).graph
    readers: dict[int, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        for value in node.inputs:
            if value is not None:
                readers[id(value)].append(node)
    kept = {id(value) for value in graph.outputs}
    if program.training is not None:
        kept |= {id(loss.prediction) for loss in program.training.losses}

    def sinks(value: Value, axis: int) -> list[Node] | None:
        """The batch_norms that absorb a shift of each slice of ``value`` along ``axis``.

        None if something else feels it.
        """
        found: list[Node] = []
        for node in readers[id(value)]:
            inner = None
            if _subtracts_mean(node) and node["axis"] % value.type.rank == axis:
                inner = [node]
            elif node.op in _SHIFTED:
                inner = sinks(node.outputs[0], axis)
            elif node.op in _GLOBAL:
                inner = sinks(node.outputs[0], 1)
            elif axis == 2 and _is_key(node, value):
                inner = []
            if inner is None:
                return None
            found += inner
        return None if id(value) in kept or not readers[id(value)] else found

    absorbed: dict[str, list[Node] | None] = {}
    own: list[str] = []
    for node in graph.nodes:
        own += [f"{node.layer}.{name}" for name in _OWN.get(node.op, ()) if _free(node, name)]
        if node.op in _BIASED and _free(node):
            before = absorbed.get(node.layer, [])
            after = sinks(node.outputs[0], _channels(node))
            # Every call of a shared layer must be absorbed.
            absorbed[node.layer] = None if before is None or after is None else before + after
    names = [
        name
        for layer, norms in absorbed.items()
        if norms is not None
        for name in (f"{layer}.bias", *(f"{norm.layer}.moving_mean" for norm in norms))
    ]
    return tuple(dict.fromkeys(own + names))


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


def _channels(node: Node) -> int:
    """The axis along which the bias lies."""
    first = node.attributes.get("layout") == "channels_first"
    return 1 if first else node.outputs[0].type.rank - 1


def _free(node: Node, name: str = "bias") -> bool:
    """Whether the layer has a bias that nothing but the loss pulls at."""
    bias = node.parameter(name)
    return bias is not None and bias.trainable and not (bias.l1 or bias.l2)

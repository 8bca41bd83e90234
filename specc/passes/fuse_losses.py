"""A softmax or sigmoid that feeds its loss becomes part of the loss, in the stable form."""

from __future__ import annotations

from dataclasses import replace

from specc.ir.graph import Loss, Node, Program, Value
from specc.ops.losses import LOSSES


def fuse_losses(program: Program) -> Program:
    """Losses take logits where what they absorb is in the graph; outputs stay as they are."""
    if program.training is None:
        return program
    producers = {id(value): node for node in program.graph.nodes for value in node.outputs}
    losses = tuple(_fuse(loss, producers) for loss in program.training.losses)
    return replace(program, training=replace(program.training, losses=losses))


def _fuse(loss: Loss, producers: dict[int, Node]) -> Loss:
    activation = producers.get(id(loss.prediction))
    fuses = LOSSES[loss.node.op].fuses
    if activation is None or activation.op != fuses or loss.node["from_logits"]:
        return loss
    rank = loss.prediction.type.rank
    if (activation.attributes.get("axis", -1) - loss.node.attributes.get("axis", -1)) % rank:
        return loss
    logits = activation.inputs[0]
    assert isinstance(logits, Value)
    node = replace(
        loss.node,
        inputs=(logits, *loss.node.inputs[1:]),
        attributes={**loss.node.attributes, "from_logits": True},
    )
    return replace(loss, node=node, prediction=logits)

"""Draws what a network is trained towards and how: outputs, losses, optimizer, metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from specc.fuzz.draft import Draft, declaration
from specc.fuzz.layers import op_layer
from specc.fuzz.spec import Spec, accepted
from specc.fuzz.values import ATTEMPTS, Values
from specc.ir.types import TensorType
from specc.ops.base import Op, OpProblem, Site
from specc.ops.losses import LOSSES
from specc.training.clipping import CLIPPINGS
from specc.training.metrics import METRICS
from specc.training.optimizers import OPTIMIZERS

MAX_OUTPUTS = 3
_LOSSES = 6
"""So many losses are tried on an output, which may depend on nothing that is trained."""
_MISMATCHES = ("W1002", "W1003")
"""What the front end says of a loss that takes logits for probabilities, or the reverse."""


def add_training(draft: Draft) -> bool:
    """Gives the draft outputs and a training section; False where none of its values can be
    trained."""
    loose = [name for name in draft.loose() if draft.values[name].dtype == "float"]
    draft.random.shuffle(loose)
    for name in loose[:MAX_OUTPUTS]:
        _add_output(draft, name)
    if "training" not in draft.spec:
        return False
    # Paths of parameters and names of outputs and targets are what texts are about.
    words = [*draft.spec["outputs"], *draft.spec["targets"], "bias", "kernel", "gamma"]
    draw = Values(draft.random, draft.settings["conventions"], words)
    _add(draft, lambda: {"optimizer": draw.choice(OPTIMIZERS)}, 1.0)
    _add(draft, lambda: {"clip": _named(draw.choice(CLIPPINGS))}, 0.3)
    for _ in range(2):
        present = draft.spec["training"].get("metrics", [])
        _add(draft, lambda known=present: {"metrics": [*known, draw.choice(METRICS)]}, 0.4)
    plain = {
        "epochs": draft.random.randint(1, 3),
        "batch_size": draft.random.randint(2, 5),
        "shuffle": draft.random.random() < 0.7,
    }
    _add(draft, lambda: plain, 1.0)
    return True


def _named(choice: Any) -> Spec:
    return {choice: {}} if isinstance(choice, str) else choice


def _add(draft: Draft, entries: Any, chance: float) -> None:
    """Adds entries to the training section, with some chance; drawn again until they fit."""
    if draft.random.random() > chance:
        return
    for _ in range(ATTEMPTS):
        spec = {**draft.spec, "training": {**draft.spec["training"], **entries()}}
        if accepted(spec) is not None:
            draft.spec = spec
            return


def _add_output(draft: Draft, name: str) -> None:
    """Makes a value an output with a loss, after the activation that its loss expects."""
    for _ in range(_LOSSES):
        loss = LOSSES[draft.random.choice(list(LOSSES))]
        attributes = draft.draw.attributes(loss.attributes)
        output, before = name, (draft.spec, draft.values)
        if loss.fuses and not attributes.get("from_logits"):
            if not op_layer(draft, loss.fuses, [name]):
                continue
            output = draft.layers[-1]["name"]
        targets = list(_targets(draft, loss, attributes, output))
        if draft.random.random() < 0.4:
            attributes["weight"] = float(f"{draft.random.uniform(0.1, 2):.2g}")
        if any(_trained(draft, loss.kind, attributes, output, target) for target in targets):
            return
        draft.spec, draft.values = before


def _targets(
    draft: Draft, loss: Op, attributes: Mapping[str, Any], output: str
) -> Iterator[TensorType]:
    """Types that a target may have: that of its output or one with an axis less, as the loss
    allows."""
    prediction, conventions = draft.values[output], draft.draw.conventions
    shape = prediction.shape
    shapes = [shape, *(shape[:axis] + shape[axis + 1 :] for axis in range(1, len(shape)))]
    kinds = [TensorType(dtype, each) for each in shapes for dtype in ("float", "int")]
    draft.random.shuffle(kinds)
    complete = {each.name: each.default_for(conventions) for each in loss.attributes}
    site = Site((prediction, prediction), {**complete, **attributes}, conventions)
    for kind in kinds:
        try:
            loss.infer(replace(site, inputs=(prediction, kind)))
            # A choice between one class only has no gradient but rounding.
            if "axis" in site.attributes and site.static(site["axis"], "") == 1:
                continue
        except OpProblem:
            continue
        yield kind


def _trained(
    draft: Draft, kind: str, attributes: Mapping[str, Any], output: str, target: TensorType
) -> bool:
    """Adds a loss and its target if the front end agrees without a warning about it."""
    name = draft.name("t")
    training = draft.spec.get("training", {"loss": []})
    loss = {kind: {"prediction": output, "target": name, **attributes}}
    spec = {
        **draft.spec,
        "targets": {**draft.spec.get("targets", {}), name: declaration(target)},
        "outputs": [*draft.spec.get("outputs", []), output],
        "training": {**training, "loss": [*training["loss"], loss]},
    }
    found = accepted(spec)
    if found is None or any(warning.code in _MISMATCHES for warning in found[1]):
        return False
    draft.spec = spec
    return True

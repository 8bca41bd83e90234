"""Makes a failing case small: whatever can go goes, as long as it still fails in the same way.

Every change is a plain edit of the spec that the front end has to accept. Big ones come first, and
all are tried again until none helps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from specc.fuzz.case import Case
from specc.fuzz.check import Failure
from specc.fuzz.draft import declaration
from specc.fuzz.spec import FrontEndCrash, Spec, accepted, given_by, pruned
from specc.ops.registry import OPS

Judge = Callable[[Case], Failure | None]
MAX_TRIES = 300


def shrink(case: Case, failure: Failure, judge: Judge) -> tuple[Case, Failure]:
    """The smallest case found that fails as ``case`` does, and its failure.

    ``judge`` runs a case; at most `MAX_TRIES` are run.
    """
    explicit = case.with_spec(_explicit(case.spec))
    if _stands(explicit) and failure.like(found := judge(explicit)) and found is not None:
        case, failure = explicit, found
    tries, again, seen = 0, True, {case.text}
    while again:
        again = False
        for each in _smaller(case):
            smaller = each if _stands(each) else each.with_spec(_retargeted(each.spec))
            if smaller.text in seen or not _stands(smaller):
                continue
            seen.add(smaller.text)
            if tries == MAX_TRIES:
                return case, failure
            tries += 1
            found = judge(smaller)
            if found is not None and failure.like(found):
                case, failure, again = smaller, found, True
                break
    return case, failure


def _stands(case: Case) -> bool:
    """Whether the front end takes the spec, or fails as it must not."""
    try:
        return accepted(case.spec) is not None
    except FrontEndCrash:
        return True


def _retargeted(spec: Spec) -> Spec:
    """The spec with squared errors and targets of its outputs' types, where these have changed."""
    model = {key: each for key, each in spec.items() if key not in ("training", "targets")}
    found = accepted(model)
    if found is None:
        return spec
    losses, targets = [], {}
    for index, (name, value) in enumerate(found[0].outputs.items()):
        targets[f"t{index}"] = declaration(value.type)
        losses.append({"mean_squared_error": {"prediction": name, "target": f"t{index}"}})
    training = {key: each for key, each in spec["training"].items() if key != "metrics"}
    return {**spec, "targets": targets, "training": {**training, "loss": losses}}


def _explicit(spec: Spec) -> Spec:
    """The spec with a name and a source for every layer, so that any of them can go."""
    layers: list[Spec] = []
    before = list(spec["inputs"])[:1]
    for index, layer in enumerate(spec["layers"]):
        layer = {"name": f"n{index}", **layer} if "name" not in layer else layer
        layers.append(layer if "from" in layer else {**layer, "from": before})
        before = [layer["name"]]
    return {**spec, "layers": layers}


def _smaller(case: Case) -> Iterator[Case]:
    """Cases with one thing less, the larger ones first."""
    spec = case.spec
    for edit in (
        _without_outputs,
        _without_layers,
        _without_forms,
        _simpler_training,
        _plain_attributes,
        _smaller_sizes,
        _without_unused,
    ):
        for smaller in edit(spec):
            if smaller != spec:
                yield case.with_spec(smaller)
    if case.weighted:
        yield replace(case, weighted=False)
    if (case.rows, case.short) != (3, 3):
        yield replace(case, rows=3, short=3)


def _without_outputs(spec: Spec) -> Iterator[Spec]:
    """One output and its losses less, and then one loss less."""
    training = spec["training"]
    losses = training["loss"] if isinstance(training["loss"], list) else [training["loss"]]
    for index, loss in enumerate(losses if len(losses) > 1 else ()):
        ((_, wires),) = loss.items()
        kept = [each for place, each in enumerate(losses) if place != index]
        still = {next(iter(each.values()))["prediction"] for each in kept}
        outputs = [each for each in spec["outputs"] if each in still] or spec["outputs"]
        targets = {k: v for k, v in spec["targets"].items() if k != wires["target"]}
        shorter = {key: each for key, each in training.items() if key != "metrics"}
        yield pruned(
            {**spec, "outputs": outputs, "targets": targets, "training": {**shorter, "loss": kept}}
        )


def _without_layers(spec: Spec) -> Iterator[Spec]:
    """One layer less: what took its value takes what it took, of the same kind if need be."""
    layers = spec["layers"]
    for index in range(len(layers) - 1, -1, -1):
        layer, rest = layers[index], [*layers[:index], *layers[index + 1 :]]
        names = given_by(layer) if "name" in layer else []
        for source in _sources(spec, index):
            renamed = spec | {"layers": rest}
            for name in names:
                renamed = _renamed(renamed, name, source)
            yield pruned(renamed)


def _sources(spec: Spec, index: int) -> list[str]:
    """What a layer takes, and the inputs of the spec."""
    source = spec["layers"][index].get("from", ())
    given = list(source.values()) if isinstance(source, dict) else list(source)
    return list(dict.fromkeys([*given, *spec["inputs"]]))


def _renamed(spec: Spec, old: str, new: str) -> Spec:
    """The spec with a value called otherwise wherever it is read."""

    def each(value: Any) -> Any:
        return new if value == old else value

    layers = []
    for layer in spec["layers"]:
        source = layer.get("from")
        if isinstance(source, list):
            layer = {**layer, "from": [each(name) for name in source]}
        elif isinstance(source, dict):
            layer = {**layer, "from": {port: each(name) for port, name in source.items()}}
        layers.append(layer)
    losses = [
        {kind: {**wires, "prediction": each(wires["prediction"])}}
        for loss in spec["training"]["loss"]
        for kind, wires in loss.items()
    ]
    outputs = list(dict.fromkeys(map(each, spec["outputs"])))
    return {**spec, "layers": layers, "outputs": outputs} | {
        "training": {**spec["training"], "loss": losses}
    }


def _without_forms(spec: Spec) -> Iterator[Spec]:
    """A repeat goes round once, bodies lose layers, and shared layers become single ones."""
    for index, layer in enumerate(spec["layers"]):
        if "repeat" in layer:
            body = layer["repeat"]
            if body["times"] > 1:
                yield _with_layer(spec, index, {**layer, "repeat": {**body, "times": 1}})
            for smaller in _bodies(body):
                yield _with_layer(spec, index, {**layer, "repeat": smaller})
        if layer.get("layer") in spec.get("shared", {}):
            declared = spec["shared"][layer["layer"]]
            single = {key: each for key, each in layer.items() if key != "layer"} | declared
            yield _with_layer(spec, index, single)
    for name, block in spec.get("blocks", {}).items():
        for smaller in _bodies(block):
            yield {**spec, "blocks": {**spec["blocks"], name: smaller}}


def _bodies(body: Spec) -> Iterator[Spec]:
    """A body with one layer less, or with simpler ones."""
    layers = body["layers"]
    for index in range(len(layers) - 1, -1, -1):
        source = layers[index].get("from", ())
        given = list(source.values()) if isinstance(source, dict) else list(source)
        for taken in dict.fromkeys([*given, *body["inputs"]]):
            shorter: Spec = {
                "outputs": body["outputs"],
                "layers": [*layers[:index], *layers[index + 1 :]],
                "training": {"loss": []},
            }
            for name in given_by(layers[index]):
                shorter = _renamed(shorter, name, taken)
            yield {**body, "layers": shorter["layers"], "outputs": shorter["outputs"]}
    for index, layer in enumerate(layers):
        for simpler in _simpler_layers(layer):
            yield {**body, "layers": [*layers[:index], simpler, *layers[index + 1 :]]}


def _simpler_training(spec: Spec) -> Iterator[Spec]:
    """Plain descent, nothing clipped, no metrics, losses without attributes."""
    training = spec["training"]
    for key in ("metrics", "clip", "epochs", "shuffle", "batch_size"):
        if key in training:
            yield spec | {"training": {k: v for k, v in training.items() if k != key}}
    optimizer = training.get("optimizer")
    if optimizer != "sgd":
        yield spec | {"training": {**training, "optimizer": "sgd"}}
    for simpler in _simpler_choice(optimizer):
        yield spec | {"training": {**training, "optimizer": simpler}}
    for index, loss in enumerate(training["loss"]):
        ((kind, wires),) = loss.items()
        for name in wires:
            if name not in ("prediction", "target"):
                fewer = {kind: {key: each for key, each in wires.items() if key != name}}
                losses = [*training["loss"][:index], fewer, *training["loss"][index + 1 :]]
                yield spec | {"training": {**training, "loss": losses}}


def _simpler_choice(choice: Any) -> Iterator[Any]:
    """A choice from a registry with one attribute less."""
    if isinstance(choice, dict):
        ((kind, attributes),) = choice.items()
        for name in attributes or ():
            yield {kind: {key: each for key, each in attributes.items() if key != name}}


def _plain_attributes(spec: Spec) -> Iterator[Spec]:
    """A layer with one attribute at its default."""
    for index, layer in enumerate(spec["layers"]):
        for simpler in _simpler_layers(layer):
            yield _with_layer(spec, index, simpler)
    for setting in ("layout", "conventions", "seed"):
        if setting in spec:
            yield {key: each for key, each in spec.items() if key != setting}


def _simpler_layers(layer: Spec) -> Iterator[Spec]:
    """A layer with one attribute less, or one integer smaller."""
    for kind in (kind for kind in layer if kind in OPS):
        attributes = layer[kind]
        for name in attributes or ():
            yield {**layer, kind: {key: each for key, each in attributes.items() if key != name}}
        for name, value in (attributes or {}).items():
            for smaller in _smaller_integers(value):
                yield {**layer, kind: {**attributes, name: smaller}}


def _smaller_integers(value: Any) -> Iterator[int]:
    if type(value) is int and value > 1:
        yield from dict.fromkeys((1, 2, value - 1))


def _smaller_sizes(spec: Spec) -> Iterator[Spec]:
    """One size of an input smaller."""
    for name, declared in spec["inputs"].items():
        for axis, size in enumerate(declared["shape"]):
            for smaller in _smaller_integers(size):
                shape = list(declared["shape"])
                shape[axis] = smaller
                yield {**spec, "inputs": {**spec["inputs"], name: {**declared, "shape": shape}}}


def _without_unused(spec: Spec) -> Iterator[Spec]:
    yield pruned(spec)


def _with_layer(spec: Spec, index: int, layer: Spec) -> Spec:
    return {**spec, "layers": [*spec["layers"][:index], layer, *spec["layers"][index + 1 :]]}

"""Draws the layers of a spec: single ones, shared ones, blocks and repeats.

Nothing here knows an op by name. An op's samples say what kinds of inputs it has a use for, its
attributes say what they take, and the front end says whether it all fits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from specc.fuzz.draft import Draft, declarable
from specc.fuzz.spec import Spec
from specc.fuzz.values import ATTEMPTS
from specc.ir.dims import BATCH, Dim, symbol
from specc.ir.types import TensorType
from specc.ops.base import Op, Port, Sample
from specc.ops.registry import OPS, visible

_EXISTING = 0.85
"""How often an input is a value that is already there, if one fits."""


def add_layers(draft: Draft, count: int, forms: Sequence[Callable[[Draft], bool]]) -> None:
    """Adds so many layers, or fewer if too much is refused."""
    for _ in range(count):
        any(draft.random.choice(forms)(draft) for _ in range(ATTEMPTS))


def single(draft: Draft) -> bool:
    """One op."""
    kind = draft.random.choice(list(visible()))
    return op_layer(draft, kind)


def op_layer(draft: Draft, kind: str, sources: list[str] | None = None, **given: Any) -> bool:
    """An op of that kind, on ``sources`` if they are given."""
    op = OPS[kind]
    for _ in range(ATTEMPTS):
        sample = draft.random.choice(op.samples)
        attributes = draft.draw.attributes(op.attributes, sample.attributes) | given
        wires, inputs = ([], {}) if sources else _wires(draft, op, sample)
        layer = {"name": draft.name("v"), kind: attributes, "from": sources or wires}
        if draft.propose(layer, inputs):
            return True
    return False


def shared(draft: Draft) -> bool:
    """A layer declared by itself and called on two values, or one called again."""
    earlier = [(layer, kind) for layer in draft.layers for kind in layer if kind in visible()]
    sources = [draft.random.choice(list(draft.values)) for _ in range(2)] if draft.values else []
    if earlier and draft.random.random() < 0.5:
        layer, _ = draft.random.choice(earlier)
        again = {"name": draft.name("v"), "layer": layer["name"], "from": sources[:1]}
        return draft.propose(again)
    kind = draft.random.choice(list(visible()))
    op = OPS[kind]
    if op.ports[0].many or not sources:
        return False
    name = draft.name("shared")
    attributes = draft.draw.attributes(op.attributes, draft.random.choice(op.samples).attributes)
    declared = {name: {kind: attributes}}
    calls = [{"name": draft.name("v"), "layer": name, "from": [each]} for each in sources]
    return draft.propose(calls[0], shared=declared) and draft.propose(calls[1])


def block(draft: Draft) -> bool:
    """A block of a few layers, used once or twice."""
    known = draft.spec.get("blocks", {})
    if known and draft.random.random() < 0.4:
        name = draft.random.choice(list(known))
        count = len(known[name]["inputs"])
        sources = [draft.random.choice(list(draft.values)) for _ in range(count)]
        return draft.propose(_use(draft, name, known[name]["parameters"], sources))
    body = _body(draft, draft.random.randint(1, 2))
    if body is None:
        return False
    sources, inner = body
    name = draft.name("part")
    layers, parameters = _with_parameter(draft.random, inner.layers)
    outputs = _ends(inner)
    entry = {"parameters": parameters, "inputs": list(inner.spec["inputs"]), "layers": layers}
    use = _use(draft, name, parameters, sources)
    if len(outputs) > 1:
        use["outputs"] = [f"{use['name']}_{index}" for index in range(len(outputs))]
    return draft.propose(use, blocks={name: {**entry, "outputs": outputs}})


def repeat(draft: Draft) -> bool:
    """A few layers, two or three times one after the other."""
    body = _body(draft, 1)
    if body is None:
        return False
    sources, inner = body
    layers, parameters = _with_parameter(draft.random, inner.layers)
    for name, value in parameters.items():
        layers = _replaced(layers, f"${name}", f"${{{value} + i}}")
    times = draft.random.randint(2, 3)
    inputs = {"index": "i", "inputs": list(inner.spec["inputs"])}
    repeated = {"times": times, **inputs, "layers": layers, "outputs": _ends(inner)[-1:]}
    return draft.propose({"name": draft.name("v"), "repeat": repeated, "from": sources})


EVERYWHERE: Sequence[Callable[[Draft], bool]] = (*[single] * 10, shared)
OUTSIDE: Sequence[Callable[[Draft], bool]] = (*[single] * 14, shared, shared, block, block, repeat)
"""What is drawn in bodies, and what outside of them, as often as it stands here."""


# Wiring


def _wires(draft: Draft, op: Op, sample: Sample) -> tuple[Any, dict[str, TensorType]]:
    """Values for the ports, of the ranks of a sample, and the new inputs that this needs."""
    new: dict[str, TensorType] = {}
    if op.ports[0].many:
        count = draft.random.randint(2, max(2, len(sample.inputs)))
        first = _wire(draft, op.ports[0], sample.inputs[0], new, None)
        if not first:
            return [], new
        alike = [name for name, kind in draft.values.items() if kind == _type(draft, new, first)]
        pool = alike if alike and draft.random.random() < 0.7 else [*draft.values]
        rest = [
            draft.random.choice(pool)
            if pool and draft.random.random() < _EXISTING
            else _new_input(draft, _type(draft, new, first), new, None)
            for _ in range(count - 1)
        ]
        return [first, *(each or first for each in rest)], new
    wires: dict[str, str] = {}
    first_type: TensorType | None = None
    for port, kind in zip(op.ports, sample.inputs, strict=False):
        if port.optional and (kind is None or draft.random.random() < 0.4):
            continue
        name = _wire(draft, port, kind, new, first_type)
        if name:
            wires[port.name] = name
            first_type = first_type or _type(draft, new, name)
    return list(wires.values()) if list(wires) == [op.ports[0].name] else wires, new


def _type(draft: Draft, new: Mapping[str, TensorType], name: str) -> TensorType:
    return new[name] if name in new else draft.values[name]


def _wire(
    draft: Draft,
    port: Port,
    like: TensorType | None,
    new: dict[str, TensorType],
    beside: TensorType | None,
) -> str:
    """A value of the port's type and of a sample's rank, most often one that is loose; "" where a
    closed draft has none."""
    dtypes = (port.dtype,) if port.dtype != "any" else ("float", "int")
    fitting = [
        name
        for name, kind in draft.values.items()
        if kind.dtype in dtypes and (like is None or kind.rank == like.rank)
    ]
    loose = [name for name in draft.loose() if name in fitting]
    if fitting and draft.random.random() < _EXISTING:
        return draft.random.choice(loose if loose and draft.random.random() < 0.7 else fitting)
    return _new_input(draft, like, new, beside) or (draft.random.choice(fitting) if fitting else "")


def _new_input(
    draft: Draft, like: TensorType | None, new: dict[str, TensorType], beside: TensorType | None
) -> str:
    """A new input of the spec of a sample's type, its sizes drawn anew; "" in a closed draft.

    Sizes that stand where those of a value ``beside`` it stand are often the same.
    """
    if draft.closed or like is None:
        return ""
    sizes: list[Dim] = []
    for axis in range(1, like.rank):
        near = beside.shape[axis] if beside is not None and axis < beside.rank else None
        if near is not None and draft.random.random() < 0.8:
            sizes.append(near)
        elif axis == 1 and like.rank > 2 - (like.dtype == "int") and draft.random.random() < 0.06:
            sizes.append(symbol(draft.random.choice("TS")))
        else:
            sizes.append(_size(draft.random, axis == like.rank - 1))
    kind = TensorType(like.dtype, (BATCH, *sizes))
    if not declarable(kind):
        return ""
    name = draft.name("x")
    new[name] = kind
    return name


def _size(random: Random, last: bool) -> int:
    return random.choice((1, 2, 3, 3, 4, 5, 6) if last else (1, 3, 4, 5, 5, 6, 7, 8))


# Bodies of blocks and repeats


def _body(draft: Draft, inputs: int) -> tuple[list[str], Draft] | None:
    """Values of the draft, and a few layers on values of these types; None if there are none."""
    names = [name for name, kind in draft.values.items() if declarable(kind)]
    if not names:
        return None
    sources = [draft.random.choice(names) for _ in range(inputs)]
    given = {f"in{index}": draft.values[name] for index, name in enumerate(sources)}
    inner = Draft(draft.random, draft.settings, given)
    add_layers(inner, draft.random.randint(1, 3), EVERYWHERE)
    # Every input has a reader, and there is a layer at all.
    if not inner.layers or any(name in given for name in inner.loose()):
        return None
    return sources, inner


def _ends(draft: Draft) -> list[str]:
    """What a body gives: its loose values, two at most."""
    return draft.loose()[-2:]


def _use(draft: Draft, name: str, parameters: Mapping[str, int], sources: list[str]) -> Spec:
    """A use of a block, perhaps with other values of its parameters."""
    use: Spec = {"name": draft.name("v"), "use": name, "from": sources}
    if parameters and draft.random.random() < 0.5:
        use["with"] = {each: draft.random.randint(1, 4) for each in parameters}
    return use


def _with_parameter(random: Random, layers: list[Spec]) -> tuple[list[Spec], dict[str, int]]:
    """Layers in which, as often as not, a size is a parameter, and its value."""
    places = [
        (index, kind, attribute)
        for index, layer in enumerate(layers)
        for kind in layer
        if kind in OPS
        for attribute, value in layer[kind].items()
        if type(value) is int and value > 0
    ]
    if not places or random.random() < 0.5:
        return layers, {}
    index, kind, attribute = random.choice(places)
    layer = layers[index]
    changed = {**layer, kind: {**layer[kind], attribute: "$size"}}
    return [*layers[:index], changed, *layers[index + 1 :]], {"size": layer[kind][attribute]}


def _replaced(value: Any, old: Any, new: Any) -> Any:
    """A plain value with one part of it replaced wherever it stands."""
    if isinstance(value, dict):
        return {key: _replaced(each, old, new) for key, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, old, new) for each in value]
    return new if value == old else value

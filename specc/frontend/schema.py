"""The JSON schema of a spec, generated from the op table and the registries: completion and checks
in editors.

The kind of a layer is a key, so that an editor offers the attributes of just that kind, and a
validator goes straight
to them. Any attribute may be an expression; ranges are left to the compiler, which knows the
values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from specc.diagnostics import WARNINGS
from specc.ops.attributes import Attribute, Kind, Optional
from specc.ops.base import Op
from specc.ops.registry import visible

Schema = dict[str, Any]
NAME: Schema = {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]*$"}
EXPRESSION: Schema = {"type": "string", "pattern": r"^\$", "description": "$name or ${expression}"}
VALUES: Schema = {"type": "array", "items": {"type": "string"}}


def spec_schema() -> Schema:
    """The schema of a whole spec file."""
    from specc.frontend.build import SECTIONS

    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "specc: a network, its training and its data",
        "type": "object",
        "required": ["specc", "layers"],
        "additionalProperties": False,
        "properties": {
            name: {"description": doc, **_section(name)} for name, doc in SECTIONS.items()
        },
        "$defs": _definitions(),
    }


def _section(name: str) -> Schema:
    tensors = {"type": "object", "additionalProperties": {"$ref": "#/$defs/tensor"}}
    sections: dict[str, Schema] = {
        "specc": {"const": 1},
        "name": NAME,
        "conventions": {"enum": ["keras", "pytorch"]},
        "layout": {"enum": ["channels_last", "channels_first"]},
        "dtype": {"enum": ["float32", "float64"]},
        "seed": {"$ref": "#/$defs/integer"},
        "allow": _warnings(),
        "includes": VALUES,
        "parameters": {"type": "object"},
        "inputs": tensors,
        "targets": tensors,
        "blocks": {"type": "object", "additionalProperties": {"$ref": "#/$defs/block"}},
        "shared": {"type": "object", "additionalProperties": {"$ref": "#/$defs/layer"}},
        "layers": {"$ref": "#/$defs/layers"},
        "outputs": VALUES,
        "training": {"$ref": "#/$defs/training"},
        "data": {"$ref": "#/$defs/data"},
    }
    return sections[name]


def _warnings() -> Schema:
    name = {"enum": sorted(WARNINGS.values())}
    return {"anyOf": [name, {"type": "array", "items": name}]}


def _definitions() -> Schema:
    from specc.ops.losses import LOSSES
    from specc.training.clipping import CLIPPINGS
    from specc.training.initializers import INITIALIZERS
    from specc.training.metrics import METRICS
    from specc.training.optimizers import OPTIMIZERS
    from specc.training.regularizers import REGULARIZERS
    from specc.training.schedules import SCHEDULES

    ops = visible()
    return {
        "integer": {"anyOf": [{"type": "integer"}, EXPRESSION]},
        "number": {"anyOf": [{"type": "number"}, EXPRESSION]},
        "tensor": _tensor(),
        "block": _block(),
        "layers": {"type": "array", "items": {"$ref": "#/$defs/layer"}},
        "layer": {"anyOf": [{"enum": list(_names(ops))}, _layer(ops)]},
        "optimizer": _registry(OPTIMIZERS),
        "schedule": _registry(SCHEDULES),
        "initializer": _registry(INITIALIZERS),
        "regularizer": _registry(REGULARIZERS),
        "metric": _registry(METRICS),
        "clipping": _registry(CLIPPINGS),
        "activation": _registry({k: op for k, op in ops.items() if op.family == "activations"}),
        "loss": _losses(LOSSES),
        "training": _training(),
        "data": _data(),
    }


def _tensor() -> Schema:
    size = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]}
    shape = {"type": "array", "items": size, "description": "without the batch"}
    full = {
        "type": "object",
        "required": ["shape"],
        "additionalProperties": False,
        "properties": {"shape": shape, "dtype": {"enum": ["float", "int", "bool"]}},
    }
    return {"anyOf": [shape, full]}


def _block() -> Schema:
    return {
        "type": "object",
        "required": ["layers"],
        "additionalProperties": False,
        "properties": {
            "parameters": {"type": "object", "description": "name: default; ~ for none"},
            "inputs": VALUES,
            "shared": {"type": "object", "additionalProperties": {"$ref": "#/$defs/layer"}},
            "layers": {"$ref": "#/$defs/layers"},
            "outputs": VALUES,
        },
    }


def _layer(ops: Mapping[str, Op]) -> Schema:
    repeat = {
        "type": "object",
        "required": ["times", "layers"],
        "additionalProperties": False,
        "properties": {
            "times": {"$ref": "#/$defs/integer"},
            "index": NAME,
            "inputs": VALUES,
            "shared": {"type": "object", "additionalProperties": {"$ref": "#/$defs/layer"}},
            "layers": {"$ref": "#/$defs/layers"},
            "outputs": VALUES,
        },
    }
    kinds = {
        name: _attributes(ops[kind].attributes, ops[kind].doc) for name, kind in _names(ops).items()
    }
    source = {"anyOf": [{"type": "string"}, VALUES, {"type": "object"}]}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "name": {**NAME, "description": "path of the layer and name of its output"},
            "from": {**source, "description": "what it takes; the previous output when not given"},
            "outputs": {"anyOf": [{"type": "string"}, VALUES]},
            "use": {"type": "string", "description": "a block"},
            "with": {"type": "object", "description": "parameters of the block"},
            "layer": {"type": "string", "description": "a layer to call again"},
            "repeat": repeat,
            **kinds,
        },
    }


def _names(table: Mapping[str, Any]) -> dict[str, str]:
    """Every name by which an entry can be written, to its kind."""
    return {
        name: kind for kind, row in table.items() for name in (kind, *getattr(row, "aliases", ()))
    }


def _attributes(declared: Iterable[Attribute], doc: str) -> Schema:
    attributes = list(declared)
    full: Schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {a.name: {**_value(a.kind), "description": _describe(a)} for a in attributes},
    }
    required = [attribute.name for attribute in attributes if attribute.required]
    if required:
        full["required"] = required
    forms: list[Schema] = [full]
    if not required:
        forms.append({"type": "null"})
    if attributes:
        # `dense: 64` gives the first attribute.
        forms.append(_value(attributes[0].kind))
    return {"description": doc.split("\n\n")[0].replace("\n", " "), "anyOf": forms}


def _describe(attribute: Attribute) -> str:
    if attribute.required:
        return f"{attribute.doc} Required."
    keras, pytorch = (attribute.default_for(c) for c in ("keras", "pytorch"))
    default = f"Default {keras}." if keras == pytorch else f"Default {keras} (pytorch: {pytorch})."
    return f"{attribute.doc} {default}".strip()


def _value(kind: Kind) -> Schema:
    inner = kind.kind if isinstance(kind, Optional) else kind
    forms = [inner.schema(), EXPRESSION]
    if isinstance(kind, Optional):
        forms.append({"type": "null"})
    return {"anyOf": forms}


def _registry(table: Mapping[str, Any]) -> Schema:
    names = _names(table)
    return {
        "anyOf": [
            {"enum": list(names)},
            {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": False,
                "properties": {
                    name: _attributes(table[kind].attributes, table[kind].__doc__ or "")
                    for name, kind in names.items()
                },
            },
        ]
    }


def _losses(table: Mapping[str, Op]) -> Schema:
    wiring = (
        ("prediction", {"type": "string", "description": "a value of the network"}),
        ("target", {"type": "string", "description": "a target"}),
    )
    properties = {}
    for name, kind in _names(table).items():
        op = table[kind]
        properties[name] = {
            "type": "object",
            "description": op.doc.split("\n\n")[0].replace("\n", " "),
            "required": ["prediction", "target"],
            "additionalProperties": False,
            "properties": {
                **dict(wiring),
                "weight": {"$ref": "#/$defs/number"},
                **{a.name: {**_value(a.kind), "description": _describe(a)} for a in op.attributes},
            },
        }
    return {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
        "properties": properties,
    }


def _training() -> Schema:
    def one_or_many(name: str) -> Schema:
        item = {"$ref": f"#/$defs/{name}"}
        return {"anyOf": [item, {"type": "array", "items": item}]}

    from specc.frontend.training import TRAINING

    return {
        "type": "object",
        "required": ["loss"],
        "additionalProperties": False,
        "properties": {
            "loss": one_or_many("loss"),
            "optimizer": {"$ref": "#/$defs/optimizer"},
            "metrics": one_or_many("metric"),
            "clip": {"type": "object", "description": "gradient clipping, e.g. {global_norm: 1.0}"},
            **{a.name: {**_value(a.kind), "description": a.doc} for a in TRAINING},
        },
    }


def _data() -> Schema:
    arrays = {"type": "object", "additionalProperties": {"type": ["string", "array"]}}
    return {
        "type": "object",
        "required": ["source"],
        "properties": {
            "source": {"enum": ["npz", "csv", "sklearn"]},
            "path": {"type": "string", "description": "relative to the spec's folder"},
            "name": {"type": "string", "description": "of a data set of scikit-learn"},
            "inputs": {**arrays, "description": "input: array or column"},
            "targets": {**arrays, "description": "target: array or column"},
            "test": {**arrays, "description": "the test part, where the source brings one"},
            "split": {"type": "object", "description": "validation, test, stratify, by"},
            "prepare": {"type": "object", "additionalProperties": {"type": "array"}},
        },
    }

"""One page per operation, from its class: what it takes, and what becomes of it on each backend."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any

from specc.compiler import compile_program
from specc.diagnostics import Source
from specc.documentation.tables import attribute_table, code, first_sentence, markdown, table, yaml
from specc.frontend.build import build_program
from specc.frontend.formatter import to_dsl, to_yaml
from specc.frontend.tree import Mapping as Tree
from specc.frontend.yaml_reader import read_yaml
from specc.ir.graph import Node, Program
from specc.ops.base import Op, Sample, Site

_BACKENDS = {"torch": "PyTorch", "tensorflow": "TensorFlow", "numpy": "NumPy"}
_WRITTEN = {"PyTorch": "Example", "TensorFlow": "Example", "NumPy": "forward"}


def op_index(ops: Mapping[str, Op]) -> str:
    """The list of operations by family."""
    families: dict[str, list[Op]] = {}
    for op in ops.values():
        families.setdefault(op.family, []).append(op)
    lines = ["# Operations", ""]
    for family, members in sorted(families.items()):
        rows = [(f"[{op.kind}]({op.kind}.md)", first_sentence(op.doc)) for op in members]
        lines += [f"## {family.capitalize()}", "", *table(("operation", ""), rows)]
    return "\n".join(lines).rstrip() + "\n"


def op_page(op: Op) -> str:
    """The page of one operation."""
    lines = [f"# {op.kind}", "", markdown(op.doc), ""]
    if op.aliases:
        lines += [f"Also written {', '.join(f'`{alias}`' for alias in op.aliases)}.", ""]
    lines += ["## Inputs", "", *table(("input", "takes", ""), map(_port, op.ports))]
    if attributes := attribute_table(op.attributes):
        lines += ["## Attributes", "", *attributes]
    if op.refused:
        lines += ["## Not taken", ""]
        lines += [f"- `{name}`: {advice}." for name, advice in op.refused.items()]
        lines.append("")
    lines += ["## Masks", "", _mask_rule(op), "", *_example(op, op.samples[0]), *_uses(op)]
    return "\n".join(lines).rstrip() + "\n"


def _port(port: Any) -> tuple[str, str, str]:
    takes = f"any number of {port.dtype} values" if port.many else f"{port.dtype} values"
    remark = ", optional" if port.optional else ""
    return f"`{port.name}`", takes + remark, port.doc


def _mask_rule(op: Op) -> str:
    """What the operation does with the mask of padded steps, in a sentence or two."""
    said = []
    if any(port.name == "mask" for port in op.ports):
        said.append(
            "Reads the mask of its input from `mask`; under `conventions: keras` it is wired there "
            "by itself."
        )
    if type(op).make_mask is not Op.make_mask:
        return " ".join([*said, "Begins a mask where its attributes ask for one."])
    if type(op).join_masks is not Op.join_masks:
        return " ".join([*said, "Joins the masks of its inputs into one."])
    passes = {op.passes_mask(_node_site(op, sample)) for sample in op.samples}
    what = {
        (True,): "The mask of the input goes on with the output.",
        (False,): "A mask ends here.",
        (False, True): "The mask goes on with the output where that has the same steps, else it "
        "ends here.",
    }
    return " ".join([*said, what[tuple(sorted(passes))]])


def _example(op: Op, sample: Sample) -> list[str]:
    """A spec in both forms, its parameters, and the lines of each generated file."""
    tree = _spec(op, sample)
    program = _program(tree)
    node = program.graph.nodes[-1]
    outputs = ", ".join(f"`{value.type}`" for value in node.outputs)
    lines = ["## Example", "", *code(to_yaml(tree), "yaml"), *code(to_dsl(tree), "specc")]
    lines += [f"The output is {outputs}.", ""]
    rows = [
        (
            f"`{node.path}.{p.name}`",
            f"`{yaml(p.shape)}`",
            "trained" if p.trainable else "running statistic",
            f"`{yaml(p.initializer)}`",
        )
        for p in node.parameters
    ]
    lines += table(("parameter", "shape", "", "starts as"), rows)
    lines += ["What the generated files hold (NumPy: in inference):", ""]
    for name, title in _BACKENDS.items():
        text = _excerpt(compile_program(program, name, "model", optimize=0), _WRITTEN[title])
        lines += [f"**{title}**", "", *code(text, "python")]
    return lines


def _spec(op: Op, sample: Sample) -> Tree:
    """A spec whose last layer ``y`` is the sample."""
    ports = {port.name: kind for port, kind in zip(op.ports, sample.inputs, strict=False) if kind}
    wires = {name: "x" if number == 0 else name for number, name in enumerate(ports)}
    if op.ports[0].many:
        wires = {f"x{number}": f"x{number}" for number in range(1, len(sample.inputs) + 1)}
        ports = {name: kind for name, kind in zip(wires, sample.inputs, strict=True) if kind}
    inputs = {
        wires[name]: {"shape": [_size(size) for size in kind.shape[1:]]}
        | ({} if kind.dtype == "float" else {"dtype": kind.dtype})
        for name, kind in ports.items()
    }
    layer: dict[str, Any] = {"name": "y", op.kind: dict(sample.attributes)}
    if len(wires) > 1:
        layer["from"] = list(wires) if op.ports[0].many else wires
    spec: dict[str, Any] = {"specc": 1, "name": "example"}
    if sample.conventions != "keras":
        spec["conventions"] = sample.conventions
    spec |= {"inputs": inputs, "layers": [layer], "outputs": ["y"]}
    return read_yaml(Source(f"{op.kind}.yaml", json.dumps(spec)))


def _size(size: Any) -> int | str:
    return size if isinstance(size, int) else str(size)


def _program(tree: Tree) -> Program:
    return build_program(tree)[0]


def _node_site(op: Op, sample: Sample) -> Site:
    """The use of an operation in a sample, its attributes filled in."""
    node: Node = _program(_spec(op, sample)).graph.nodes[-1]
    types = tuple(value.type if value else None for value in node.inputs)
    return Site(types, node.attributes, sample.conventions)


def _excerpt(text: str, name: str) -> str:
    """A class or function of a generated file, without what serves tracing."""
    found = next(node for node in ast.parse(text).body if getattr(node, "name", "") == name)
    assert isinstance(found, ast.ClassDef | ast.FunctionDef)
    lines = text.splitlines()[found.lineno - 1 : found.end_lineno]
    kept = [line for line in lines if not line.strip().startswith(("record(", '"""'))]
    if kept[1] == "":
        del kept[1]
    return "\n".join(kept)


def _uses(op: Op) -> list[str]:
    """The other samples, one a row."""
    rows = [
        (
            sample.conventions,
            ", ".join(f"`{kind}`" for kind in sample.inputs if kind is not None),
            f"`{op.kind}: {yaml(sample.attributes)}`",
        )
        for sample in op.samples[1:]
    ]
    if not rows:
        return []
    return ["## More uses", "", *table(("conventions", "inputs", "layer"), rows)]

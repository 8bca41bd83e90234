"""Writes the reference pages of docs/ from the code: ``python -m specc.documentation``.

Pages: one per operation, one for training (losses, optimizers, schedules, clipping, metrics,
initializers, regularizers) and one for the diagnostics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from specc.diagnostics import CODES
from specc.ops.attributes import Attribute
from specc.ops.base import Op, Sample
from specc.ops.registry import visible

ROOT = Path(__file__).parents[1] / "docs"
_NOTE = "<!-- Written by `python -m specc.documentation`; change the code instead. -->\n"


def pages() -> dict[str, str]:
    """Every generated page: path below docs/ to text."""
    ops = visible()
    found = {f"ops/{kind}.md": op_page(op) for kind, op in ops.items()}
    found["ops/README.md"] = op_index(ops)
    found["training.md"] = training_page()
    found["data.md"] = data_page()
    found["diagnostics.md"] = diagnostics_page()
    return found


def op_index(ops: Mapping[str, Op]) -> str:
    """The list of operations by family."""
    families: dict[str, list[Op]] = {}
    for op in ops.values():
        families.setdefault(op.family, []).append(op)
    lines = [_NOTE, "# Operations\n"]
    for family, members in sorted(families.items()):
        lines.append(f"## {family.capitalize()}\n")
        lines += [f"- [{op.kind}]({op.kind}.md): {_first_sentence(op.doc)}" for op in members]
        lines.append("")
    return "\n".join(lines)


def op_page(op: Op) -> str:
    """The page of one operation."""
    lines = [_NOTE, f"# {op.kind}\n", op.doc + "\n"]
    if op.aliases:
        lines.append(f"Also written {', '.join(f'`{alias}`' for alias in op.aliases)}.\n")
    lines += ["## Inputs\n", "| input | takes | |", "|---|---|---|"]
    for port in op.ports:
        kind = "any number of values" if port.many else f"{port.dtype} values"
        lines.append(
            f"| `{port.name}` | {kind}{', optional' if port.optional else ''} | {port.doc} |"
        )
    lines += ["", *_attribute_table(op.attributes)]
    if op.refused:
        lines += ["## Not taken\n"]
        lines += [f"- `{name}`: {advice}." for name, advice in op.refused.items()]
        lines.append("")
    lines += _examples(op)
    return "\n".join(lines).rstrip() + "\n"


def _examples(op: Op) -> list[str]:
    samples = [sample for sample in op.samples if None not in sample.inputs][:3]
    if not samples:
        return []
    lines = ["## Examples\n", "| conventions | input | layer |", "|---|---|---|"]
    for sample in samples:
        inputs = ", ".join(f"`{kind}`" for kind in sample.inputs if kind is not None)
        lines.append(f"| {sample.conventions} | {inputs} | `{_layer(op, sample)}` |")
    return [*lines, ""]


def _layer(op: Op, sample: Sample) -> str:
    listed = ", ".join(f"{name}: {_yaml(value)}" for name, value in sample.attributes.items())
    return f"{op.kind}: {{{listed}}}"


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k}: {_yaml(v)}' for k, v in value.items())}}}"
    return "null" if value is None else str(value)


def _attribute_table(attributes: Iterable[Attribute]) -> list[str]:
    rows = [
        f"| `{a.name}` | {a.kind.wants().replace('|', '/')} | {_default(a)} | {a.doc} |"
        for a in attributes
    ]
    if not rows:
        return []
    return [
        "## Attributes\n",
        "| attribute | value | default | meaning |",
        "|---|---|---|---|",
        *rows,
        "",
    ]


def _default(attribute: Attribute) -> str:
    if attribute.required:
        return "required"
    keras, pytorch = (_yaml(attribute.default_for(each)) for each in ("keras", "pytorch"))
    return f"`{keras}`" if keras == pytorch else f"`{keras}` (pytorch: `{pytorch}`)"


def training_page() -> str:
    """Everything that a training section can choose from."""
    from specc.ops.losses import LOSSES
    from specc.training.clipping import CLIPPINGS
    from specc.training.initializers import INITIALIZERS
    from specc.training.metrics import METRICS
    from specc.training.optimizers import OPTIMIZERS
    from specc.training.regularizers import REGULARIZERS
    from specc.training.schedules import SCHEDULES

    tables: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("Losses", LOSSES),
        ("Optimizers", OPTIMIZERS),
        ("Schedules", SCHEDULES),
        ("Clipping", CLIPPINGS),
        ("Metrics", METRICS),
        ("Initializers", INITIALIZERS),
        ("Regularizers", REGULARIZERS),
    )
    lines = [_NOTE, "# Training\n"]
    for title, table in tables:
        lines.append(f"## {title}\n")
        for kind in sorted(table):
            lines += _row(kind, table[kind])
    return "\n".join(lines).rstrip() + "\n"


def _row(kind: str, row: Any) -> list[str]:
    import inspect

    cls = row if isinstance(row, type) else type(row)
    names = ", ".join(f"`{alias}`" for alias in getattr(row, "aliases", ()))
    lines = [f"### {kind}\n", inspect.cleandoc(cls.__doc__ or "") + "\n"]
    if names:
        lines.append(f"Also written {names}.\n")
    return lines + _attribute_table(row.attributes)[1:]


def data_page() -> str:
    """Sources, the split and the preparation steps of a data section."""
    from specc.data.spec import SOURCES
    from specc.data.split import SPLIT
    from specc.data.steps import STEPS

    lines = [_NOTE, "# Data\n", _DATA]
    for source, attributes in SOURCES.items():
        lines += [f"## source: {source}\n", *_attribute_table(attributes)[1:]]
    lines += ["## split\n", *_attribute_table(SPLIT)[1:], "## prepare\n"]
    for kind in sorted(STEPS):
        lines += _row(kind, STEPS[kind])
    return "\n".join(lines).rstrip() + "\n"


_DATA = """The section maps a source to the inputs and targets of the network:

```yaml fragment
data:
  source: npz
  path: data/mnist10k.npz                # relative to the spec's folder, and inside it
  inputs: {image: x}                     # input: array of the file, or columns of a csv
  targets: {label: y}
  test: {image: x_test, label: y_test}   # where the source brings its own test part
  split: {validation: 0.1, stratify: true}
  prepare:
    image: [{rescale: 255}]              # steps in order; fitted on the training part only
```

`specc check` reads the section and opens no file; `specc data net.yaml -o data.npz` writes the
prepared arrays, named `train/image`, `validation/label` and so on, for generated files. What the
steps learnt from the training part is kept with a run, and `specc predict` applies it again.
"""


def diagnostics_page() -> str:
    """Every code with its title."""
    lines = [
        _NOTE,
        "# Diagnostics\n",
        "E: the spec is wrong, and nothing is written. W: a remark. Each is shown with the place, "
        "the cause and, where there is one, the mend.\n",
        "| code | |",
        "|---|---|",
        *(f"| {code} | {title} |" for code, title in sorted(CODES.items())),
    ]
    return "\n".join(lines) + "\n"


def _first_sentence(text: str) -> str:
    return text.split("\n\n")[0].replace("\n", " ")


def main() -> None:
    """Writes the pages, and takes away those of operations that are gone."""
    found = pages()
    (ROOT / "ops").mkdir(parents=True, exist_ok=True)
    for old in (ROOT / "ops").glob("*.md"):
        if f"ops/{old.name}" not in found:
            old.unlink()
    for name, text in found.items():
        (ROOT / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

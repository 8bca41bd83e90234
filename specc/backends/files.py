"""Assembles a generated file: header, constants and sections, with the prelude's definitions in
their places.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from pathlib import Path

from specc import __version__
from specc.backends.prelude import Definition, Prelude, import_lines, names_in, without_annotations
from specc.backends.writer import LINE_LENGTH, format_source, literal
from specc.ir.graph import Program, Value
from specc.records import dataclass

_HERE = Path(__file__).parent
# What every backend's files have in common, as (file, section); it stands before a backend's own.
SHARED_PRELUDE = (
    (_HERE / "prelude_shared.py", "reproducibility"),
    (_HERE / "prelude_arrays.py", "training"),
    (_HERE / "prelude_program.py", "command line"),
)
SECTIONS = (
    "layers",
    "model",
    "losses and metrics",
    "optimizer and schedule",
    "reproducibility",
    "training",
    "command line",
)


# What the emitters, and not the preludes, define at the top level of a file.
_EMITTED = """
NAME BACKEND SEED DTYPE INPUTS TARGETS OUTPUTS INTEGERS BOOLEANS EPOCHS BATCH_SIZE LAYOUTS
Optimizer apply clip_gradients forward forward_backward initial_parameters learning_rate math
metric_values os to_outputs total_loss
"""


def top_level(prelude: Prelude, imports: Iterable[str]) -> frozenset[str]:
    """Every name that a generated file may have at its top level: no name of a spec may hide it."""
    return frozenset({*prelude.definitions, *prelude.imports, *imports, *_EMITTED.split()})


@dataclass
class SourceFile:
    """A file in the making: emitted pieces by section, and the prelude names that it needs."""

    prelude: Prelude
    features: set[str]
    imports: dict[str, str] = field(default_factory=dict)
    pieces: dict[str, list[str]] = field(default_factory=dict)
    wanted: set[str] = field(default_factory=set)
    # Names that the prelude uses for emitted things: Model -> the class of this network.
    prelude_names: dict[str, str] = field(default_factory=dict)
    # Sections whose functions lose the options that this file does not use.
    specialized: tuple[str, ...] = ()

    def add(self, section: str, text: str) -> None:
        """Appends emitted source to a section; what it refers to in the prelude comes along."""
        if text.strip():
            self.pieces.setdefault(section, []).append(without_annotations(text.strip("\n")))
            self.wanted |= names_in(text)

    def want(self, names: Iterable[str]) -> None:
        self.wanted |= set(names)

    def text(self, header: str, constants: str) -> str:
        """The whole file, formatted."""
        sections: dict[str, list[str]] = {name: [] for name in SECTIONS}
        names = set(names_in(constants))
        for definition in self._definitions():
            text = definition.text
            names |= definition.uses
            for name, actual in self.prelude_names.items():
                text = re.sub(rf"\b{name}\b", actual, text)
            sections[definition.section].append(text)
        for section, pieces in self.pieces.items():
            names = names.union(*map(names_in, pieces))
            # Layers and losses that the emitted code builds on stand above it, what builds on it
            # below.
            sections[section] = (
                sections[section] + pieces if section != "training" else pieces + sections[section]
            )
        parts = [constants]
        for name in SECTIONS:
            if sections[name]:
                title = f"# {name[0].upper()}{name[1:]} "
                first, *others = sections[name]
                parts += [title + "-" * (98 - len(title)) + "\n" + first, *others]
        body = "\n\n\n".join(parts)
        imports = import_lines(self.prelude, names, self.imports)
        return format_source("\n\n".join([header, imports, body]))

    def _definitions(self) -> list[Definition]:
        """What the file copies from the prelude."""
        found = self.prelude.collect(sorted(self.wanted), self.features)
        if not self.specialized:
            return found

        from specc.backends.specialize import specialize

        own = [each for each in found if each.section in self.specialized]
        rest = [each for each in found if each.section not in self.specialized]
        emitted = [text for pieces in self.pieces.values() for text in pieces]
        texts, callers = specialize(
            {each.name: each.text for each in own}, [*emitted, *(each.text for each in rest)]
        )
        written = iter(callers)
        self.pieces = {name: [next(written) for _ in each] for name, each in self.pieces.items()}
        rest = [replace(each, text=text) for each, text in zip(rest, written, strict=True)]
        uses = {name: names_in(text) for name, text in texts.items()}
        used = _reached(uses, callers)
        kept = [
            replace(each, text=texts[each.name], names={"": [*uses[each.name]]})
            for each in own
            if each.name in used
        ]
        return sorted([*kept, *rest], key=lambda each: each.order)


def _reached(uses: Mapping[str, frozenset[str]], callers: Iterable[str]) -> set[str]:
    """The functions, by name with the names that they use, that the callers need."""
    found: set[str] = set()
    waiting = set().union(*map(names_in, callers)) & uses.keys()
    while waiting:
        found |= waiting
        waiting = set().union(*(uses[name] for name in waiting)) & uses.keys() - found
    return found


def header(program: Program, backend: str, title: str) -> str:
    """The docstring: what this file is, where it is from, how it is run."""
    name = f"{program.name}_{backend}.py"
    origin = program.origin.rpartition("/")[2].replace("\\", "/") or "a spec"
    safe = "".join(c for c in origin if c.isalnum() or c in "._-")
    made = f"{program.name} for {title}, written by specc {__version__}"
    source = f"from {safe} ({program.digest[:12]})."
    separator = " " if len(made) + len(source) < LINE_LENGTH - 5 else "\n"
    usage = (
        f"python {name} train data.npz --epochs 3 --out w.safetensors\n"
        f"`specc data {safe} -o data.npz` writes the arrays; --help shows more."
    )
    if program.training is None:
        usage = "The model alone: build() makes it, load() reads its parameters."
    return f'"""{made}{separator}{source}\n\n{usage}\n"""'


def constants(program: Program, backend: str) -> str:
    """What was compiled, as module constants; None in a shape is free."""
    integers, booleans = _named(program, "int"), _named(program, "bool")
    lines = [
        f"NAME = {literal(program.name)}",
        f"BACKEND = {literal(backend)}",
        f"SEED = {program.seed}",
        f"DTYPE = {literal(program.dtype)}",
        f"INPUTS = {_shapes({v.name: v for v in program.inputs})}",
        f"TARGETS = {_shapes({v.name: v for v in program.targets})}",
        f"OUTPUTS = {_shapes(program.outputs)}",
        f"INTEGERS = {{{', '.join(map(literal, integers))}}}" if integers else "INTEGERS = set()",
    ]
    if booleans:
        lines.append(f"BOOLEANS = {{{', '.join(map(literal, booleans))}}}")
    if program.training is not None:
        lines += [
            f"EPOCHS = {program.training.epochs}",
            f"BATCH_SIZE = {program.training.batch_size}",
        ]
    return "\n".join(lines)


def _named(program: Program, dtype: str) -> list[str]:
    """Inputs and targets of that type."""
    return sorted(v.name for v in (*program.inputs, *program.targets) if v.type.dtype == dtype)


def _shapes(values: Mapping[str, Value]) -> str:
    table = {
        name: tuple(dim if isinstance(dim, int) else None for dim in value.type.shape)
        for name, value in values.items()
    }
    return literal(table)

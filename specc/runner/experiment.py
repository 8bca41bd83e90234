"""A spec made ready to run: its files compiled and its data prepared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specc.diagnostics import Diagnostic, Note, SpecError
from specc.ir.levels import DEFAULT_LEVEL
from specc.runner.run_folder import write_text

if TYPE_CHECKING:
    from specc.data.loading import Dataset, Part
    from specc.ir.graph import Program


@dataclass(frozen=True)
class Experiment:
    """The generated file of each backend in a folder, and the prepared parts of the data."""

    program: Program
    warnings: tuple[Diagnostic, ...]
    sources: Mapping[str, Path]
    dataset: Dataset
    dtype: str
    samples: int | None = None

    @classmethod
    def prepare(
        cls,
        spec: Path,
        folders: Mapping[str, Path],
        *,
        sets: Mapping[str, str] | None = None,
        dtype: str | None = None,
        samples: int | None = None,
        optimize: int = DEFAULT_LEVEL,
    ) -> Experiment:
        """Compiles ``spec`` for each backend into its folder and prepares its data.

        ``samples`` keeps the first rows of the training part only.

        Raises:
            SpecError: the spec is wrong, has no data or training section, or its data do not fit.
        """
        from specc.compiler import compile_program, load_program

        program, warnings = load_program(spec, sets)
        require(program, "training", "data")
        sources = {}
        for backend, folder in folders.items():
            text = compile_program(program, backend, optimize=optimize)
            folder.mkdir(parents=True, exist_ok=True)
            sources[backend] = folder / f"{program.name}_{backend}.py"
            write_text(sources[backend], text)
        precision = dtype or program.dtype
        dataset, suspicious = load_checked(program, spec.parent, precision)
        return cls(program, warnings + suspicious, sources, dataset, precision, samples)

    @classmethod
    def load(
        cls,
        spec: Path,
        sources: Mapping[str, Path],
        *,
        sets: Mapping[str, str] | None = None,
        dtype: str | None = None,
    ) -> Experiment:
        """As `prepare`, with generated files that are there already."""
        from specc.compiler import load_program

        program, warnings = load_program(spec, sets)
        require(program, "training", "data")
        precision = dtype or program.dtype
        dataset, suspicious = load_checked(program, spec.parent, precision)
        return cls(program, warnings + suspicious, sources, dataset, precision)

    @property
    def indifferent(self) -> tuple[str, ...]:
        """The tensors that rounding noise alone moves, as the compiler proves."""
        from specc.passes.indifferent import indifferent

        return indifferent(self.program)

    @property
    def parts(self) -> dict[str, dict[str, Any]]:
        """The data as a worker takes them."""
        dataset = self.dataset
        found = {"train": arrays(dataset.train, self.samples)}
        for name, part in (("validation", dataset.validation), ("test", dataset.test)):
            if part is not None:
                found[name] = arrays(part)
        return found

    @property
    def steps_per_epoch(self) -> int:
        rows = len(self.dataset.train)
        return -(-min(rows, self.samples or rows) // self.batch_size)

    @property
    def epochs(self) -> int:
        return self.program.training.epochs if self.program.training else 0

    @property
    def batch_size(self) -> int:
        return self.program.training.batch_size if self.program.training else 1


def arrays(part: Part, rows: int | None = None) -> dict[str, Any]:
    """A part of the data, or its first rows, as a worker takes it."""
    return {
        "inputs": {name: array[:rows] for name, array in part.inputs.items()},
        "targets": {name: array[:rows] for name, array in part.targets.items()},
    }


def require(program: Program, *sections: str) -> None:
    """Raises SpecError (E1007) for a section that a command needs and the spec lacks."""
    missing = [section for section in sections if getattr(program, section) is None]
    if missing:
        raise SpecError(
            Diagnostic("E1007", f"the spec has no {section} section", help=_HELP[section])
            for section in missing
        )


_HELP = {
    "training": "say how to train it: training: {loss: ..., optimizer: ..., epochs: ...}",
    "data": "say where its data are: data: {source: npz, path: ..., inputs: ..., targets: ...}",
}


def bounds(program: Program) -> dict[str, int]:
    """How many values an integer input or target may take: the classes, or an embedding's rows."""
    found: dict[str, int] = {}
    for loss in program.training.losses if program.training else ():
        if loss.target.type.dtype == "int":
            classes = loss.prediction.type.shape[loss.node.attributes.get("axis", -1)]
            binary = loss.prediction.type.shape == loss.target.type.shape
            found[loss.target.name] = (
                2 if binary else classes if isinstance(classes, int) else 2**31
            )
    for node in program.graph.nodes:
        rows = node.attributes.get("input_dim")
        for value in node.inputs:
            if rows is not None and value in program.inputs:
                assert value is not None
                found[value.name] = min(rows, found.get(value.name, rows))
    return found


def _origins(program: Program) -> dict[tuple[str, str], Note]:
    """Where the spec says of which type an array is, and what bounds its integers, for messages."""
    found = {
        (value.name, "type"): Note(f"'{value.name}' is declared as {value.type}", value.span)
        for value in (*program.inputs, *program.targets)
    }
    for loss in program.training.losses if program.training else ():
        prediction, target = loss.prediction, loss.target
        note = Note(f"'{prediction.name}' is {prediction.type}", prediction.span)
        if prediction.type.shape == target.type.shape:
            note = Note(f"{loss.node.op} compares 0 and 1", loss.node.span)
        found[target.name, "bound"] = note
    for node in program.graph.nodes:
        for value in node.inputs:
            if value is not None and "input_dim" in node.attributes:
                rows = f"this {node.op} has {node['input_dim']} rows"
                found.setdefault((value.name, "bound"), Note(rows, node.span))
    return found


def load_data(program: Program, folder: Path, dtype: str | None = None) -> Dataset:
    """The prepared data of a program whose spec lies in ``folder``."""
    from specc.data.loading import load

    return load(
        program.data,
        folder,
        {value.name: (value.type.shape[1:], value.type.dtype) for value in program.inputs},
        {value.name: (value.type.shape[1:], value.type.dtype) for value in program.targets},
        program.seed,
        dtype or program.dtype,
        bounds(program),
        _origins(program),
    )


def load_checked(
    program: Program, folder: Path, dtype: str | None = None
) -> tuple[Dataset, tuple[Diagnostic, ...]]:
    """As ``load_data``, and the warnings about what the data are like."""
    from specc.data.suspicious import suspicious_data

    dataset = load_data(program, folder, dtype)
    return dataset, suspicious_data(program, dataset)

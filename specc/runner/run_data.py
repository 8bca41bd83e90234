"""Rows to evaluate a finished run on or predict for, prepared as its training data were."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specc.diagnostics import Diagnostic, SpecError
from specc.runner.experiment import arrays, load_data
from specc.runner.run_folder import SPEC, Run

if TYPE_CHECKING:
    from specc.data.sources import Table
    from specc.data.spec import DataSpec
    from specc.ir.graph import Program


def prepared_part(run: Run, part: str, file: Path | None, targets: bool = True) -> dict[str, Any]:
    """``{"inputs", "targets"}`` of a part of the run's own data, or of another npz or csv file.

    A file holds raw rows, under the names of the spec's inputs and targets or under those that its
    data section gives them. Without ``targets`` it need not hold any.

    Raises:
        SpecError: the part or an array is missing, or does not fit what the run was trained on.
    """
    from specc.compiler import load_program

    program, _ = load_program(run.path / SPEC)
    if file is not None:
        return _from_file(run, program, file, targets)
    folder = Path(str(run.about["spec"])).parent
    dataset = load_data(program, folder, str(run.about["dtype"]))
    found = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}[part]
    if found is None:
        raise SpecError(
            Diagnostic(
                "E1008",
                f"the data of {run.about['name']} have no {part} part",
                help="choose another --part, or other rows with --data",
            )
        )
    return arrays(found)


def _from_file(run: Run, program: Program, file: Path, targets: bool) -> dict[str, Any]:
    from specc.data.loading import apply
    from specc.data.steps import DataProblem

    names = {"inputs": [v.name for v in program.inputs]}
    names["targets"] = [v.name for v in program.targets] if targets else []
    spec: DataSpec = program.data
    references = {name: located.value for name, located in spec.references.items()}
    try:
        table = _open(file, str(spec.options.get("date_format", "%Y-%m-%d")))
        raw = {
            name: table.take(name if name in table.names else references.get(name, name))
            for name in _all(names.values())
        }
    except DataProblem as problem:
        raise SpecError(Diagnostic(problem.code, problem.message, help=problem.help)) from problem
    prepared = apply(run.fitted, raw)
    return {kind: {name: prepared[name] for name in found} for kind, found in names.items()}


def _open(file: Path, date_format: str) -> Table:
    from specc.data.sources import CsvTable, NpzTable

    return CsvTable(file, date_format) if file.suffix.lower() == ".csv" else NpzTable(file)


def _all(groups: Iterable[list[str]]) -> list[str]:
    return [name for group in groups for name in group]

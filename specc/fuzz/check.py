"""Compiles a case for every backend and level, runs the files and judges what they computed."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from specc.compiler import compile_program
from specc.diagnostics import Source, SpecError
from specc.frontend.build import build_program
from specc.frontend.formatter import to_dsl, to_yaml
from specc.frontend.reader import read_source
from specc.fuzz.case import Case
from specc.fuzz.crew import Crash, Crew, Variant
from specc.fuzz.data import batches, data_of
from specc.fuzz.judge import Finding, judge
from specc.fuzz.spec import tree_of
from specc.ir.graph import Program
from specc.ir.levels import DEFAULT_LEVEL, LEVELS
from specc.ir.text import program_text

SHAKES, MARGIN = 3, 10.0
"""A difference that fails is compared with that of so many changes in the last bit: it counts if it
is more than so many times the largest of them."""


@dataclass(frozen=True)
class Failure:
    """The first thing that is wrong with a case.

    ``check`` is what was looked at, ``tensor`` the first one that differs, or what was raised.
    ``share`` is the difference as a share of the one that is allowed.
    """

    check: str
    tensor: str
    message: str
    variants: tuple[str, ...] = ()
    share: float = float("inf")
    notes: tuple[str, ...] = ()

    def like(self, other: Failure | None) -> bool:
        """Whether the other one is the same failure, as far as another spec can tell."""
        return other is not None and self._way == other._way

    def involves(self, backend: str) -> bool:
        """Whether a file of that backend shows it."""
        return any(variant.partition(" ")[0] == backend for variant in self.variants)

    @property
    def _way(self) -> tuple[str, ...]:
        raised = (self.tensor,) if self.check in ("compile", "run", "forms") else ()
        return (self.check.partition(" ")[0], *raised)

    def to_json(self) -> dict[str, Any]:
        """The failure as a report has it; a difference that is not finite is a word."""
        found = vars(self) | {"variants": list(self.variants), "notes": list(self.notes)}
        return found | {"share": self.share if np.isfinite(self.share) else str(self.share)}


@dataclass
class Outcome:
    """What came of a case: its failure, if any, and how near to its bounds each check came.

    ``finite`` says whether all losses and gradients were numbers, without which a comparison says
    little. ``unsettled`` lists tensors that differ, but no more than a backend differs from itself
    when its inputs change in their last bit.
    """

    case: Case
    failure: Failure | None = None
    shares: dict[str, float] = field(default_factory=dict)
    finite: bool = True
    unsettled: tuple[str, ...] = ()


def check(case: Case, crew: Crew, folder: Path, backends: Sequence[str]) -> Outcome:
    """Runs a case on the backends, its files in ``folder``, and compares all that they compute."""
    outcome = Outcome(case)
    try:
        program = build_program(tree_of(case.spec))[0]
        outcome.failure = _forms(case, program)
        files = _compile(program, folder, backends)
    except Exception as error:
        outcome.failure = raised(error)
    if outcome.failure is not None:
        return outcome
    rows = batches(case.rows, case.short)
    key = f"{case.seed}/{case.index}"
    data = data_of(program, key, case.rows + case.short, case.weighted)
    request = {"traced": case.traced, "data": data, "steps": rows}
    found = crew.examine(files, request)
    outcome.failure = next(_crashes(found), None)
    if outcome.failure is None:
        results = {v: each for v, each in found.items() if not isinstance(each, Crash)}
        outcome.finite = all(_finite(each) for each in results.values())
        shakes = Shakes(program, crew, files, request, results)
        _judge(outcome, judge(program, results, data["inputs"]), shakes)
    return outcome


class Shakes:
    """How far each variant moves from itself when inputs and parameters change in their last bit.

    No two programs that round can be asked to be nearer than that. It is computed when it is
    first asked for, by running the files again.
    """

    def __init__(
        self,
        program: Program,
        crew: Crew,
        files: Mapping[Variant, Path],
        request: Mapping[str, Any],
        results: Mapping[Variant, Any],
    ) -> None:
        self._program, self._results, self._request = program, results, request
        self._crew, self._files = crew, files

    @cached_property
    def _moved(self) -> dict[tuple[str, str], float]:
        found: dict[tuple[str, str], float] = {}
        for shake in range(1, SHAKES + 1):
            found_shaken = self._crew.examine(self._files, {**self._request, "shake": shake})
            for variant, shaken in found_shaken.items():
                if isinstance(shaken, Crash):
                    continue
                pair = {variant: self._results[variant], Variant("shaken", shake): shaken}
                for each in judge(self._program, pair, self._request["data"]["inputs"]):
                    key = each.check, each.tensor
                    if len(each.variants) == 2:
                        found[key] = max(found.get(key, 0.0), each.difference)
        return found

    def settle(self, finding: Finding) -> bool:
        """Whether a difference is more than such a change makes: then it is one."""
        if finding.exact:
            return True
        moved = self._moved.get((finding.check, finding.tensor), 0.0)
        return not finding.difference <= MARGIN * moved


def _judge(outcome: Outcome, findings: Iterator[Finding], shakes: Shakes) -> None:
    for finding in findings:
        kind = finding.check.partition(" ")[0]
        if finding.share <= 1:
            outcome.shares[kind] = max(outcome.shares.get(kind, 0.0), finding.share)
        elif shakes.settle(finding):
            outcome.failure = _difference(finding)
            return
        else:
            name = f"{finding.check}: {finding.tensor}"
            outcome.unsettled = tuple(dict.fromkeys((*outcome.unsettled, name)))


def _difference(finding: Finding) -> Failure:
    where = f"{finding.check}: {finding.tensor}"
    size = f"differs by {finding.difference:.3g}, where {finding.bound:.3g} is allowed"
    message = f"{where} {finding.message or size}"
    return Failure(finding.check, finding.tensor, message, finding.variants, finding.share)


def _crashes(found: Mapping[Variant, Any]) -> Iterator[Failure]:
    for variant, each in found.items():
        if isinstance(each, Crash):
            message = each.diagnostic.message
            kind = message.partition(": ")[2].partition(":")[0]
            notes = tuple(note.message for note in each.diagnostic.notes)
            check = "hang" if each.hung else "run"
            yield Failure(check, kind, message, (str(variant),), notes=notes)


def raised(error: BaseException) -> Failure:
    """The failure of a compiler that raised something."""
    kind = type(error).__name__
    if isinstance(error, SpecError):
        kind = error.diagnostics[0].code
    lines = traceback.format_exception(error)
    return Failure("compile", kind, f"{kind}: {error}", notes=tuple(lines[-3:]))


def _compile(program: Program, folder: Path, backends: Sequence[str]) -> dict[Variant, Path]:
    """The file of each backend at each level; levels that give the same text count once."""
    files: dict[Variant, Path] = {}
    for backend in backends:
        texts: set[str] = set()
        for level in sorted(LEVELS, reverse=True):
            text = compile_program(program, backend, optimize=level)
            if text in texts:
                continue
            texts.add(text)
            path = folder / f"{backend}_{level}.py"
            path.write_text(text, encoding="utf-8")
            files[Variant(backend, level, level == DEFAULT_LEVEL)] = path
    return files


def _forms(case: Case, program: Program) -> Failure | None:
    """Both forms of the spec give the same program as its plain values."""
    tree = tree_of(case.spec)
    for name, text in (("case.yaml", to_yaml(tree)), ("case.specc", to_dsl(tree))):
        again = build_program(read_source(Source(name, text)))[0]
        for what, one, other in zip(_PARTS, _parts(program), _parts(again), strict=True):
            if one != other:
                return Failure("forms", what, f"{what} differ in {name}:\n{one}\n{other}")
    return None


_PARTS = ("graphs", "parameters", "settings", "training")


def _parts(program: Program) -> tuple[Any, ...]:
    training = program.training
    assert training is not None
    return (
        program_text(program),
        list(program.graph.parameters()),
        (program.name, program.conventions, program.layout, program.dtype, program.seed),
        (
            training.optimizer,
            training.clip,
            [(each.node.op, each.node.attributes, each.weight) for each in training.losses],
            training.metrics,
            (training.epochs, training.batch_size, training.shuffle),
        ),
    )


def _finite(results: Mapping[str, Any]) -> bool:
    arrays = [*results["gradients"].values(), *results["steps"][-1].values(), results["loss"]]
    return all(np.isfinite(array).all() for array in arrays)

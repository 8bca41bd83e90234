"""Case after case: drawn, run, judged, and where one fails, made small and written down."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from specc.fuzz.case import Case
from specc.fuzz.check import Failure, Outcome, check, raised
from specc.fuzz.crew import Crew
from specc.fuzz.shrink import shrink
from specc.fuzz.spec import FrontEndCrash

AHEAD = 4
"""So many cases per crew wait to be run."""


@dataclass
class Campaign:
    """What came of a campaign: how near to its bounds each check came, and every failure."""

    backends: Sequence[str]
    seed: int
    cases: int = 0
    not_finite: int = 0
    unsettled: dict[int, tuple[str, ...]] = field(default_factory=dict)
    seconds: float = 0.0
    shares: dict[str, float] = field(default_factory=dict)
    worst: dict[str, int] = field(default_factory=dict)
    failures: list[Found] = field(default_factory=list)
    interrupted: bool = False

    def add(self, outcome: Outcome) -> None:
        """Counts a case."""
        self.cases += 1
        self.not_finite += not outcome.finite
        if outcome.unsettled:
            self.unsettled[outcome.case.index] = outcome.unsettled
        for check_, share in outcome.shares.items():
            if share >= self.shares.get(check_, 0.0):
                self.shares[check_], self.worst[check_] = share, outcome.case.index

    def to_json(self) -> dict[str, Any]:
        """The object that ``specc fuzz --json`` prints."""
        return {
            "seed": self.seed,
            "backends": list(self.backends),
            "cases": self.cases,
            "failed": len(self.failures),
            "not_finite": self.not_finite,
            "unsettled": {str(index): list(names) for index, names in self.unsettled.items()},
            "seconds": round(self.seconds, 1),
            "share_of_bound": {
                name: {"largest": share, "case": self.worst[name]}
                for name, share in self.shares.items()
            },
            "failures": [each.to_json() for each in self.failures],
            "interrupted": self.interrupted,
        }


@dataclass(frozen=True)
class Found:
    """A failing case as it was drawn, as small as it got, and where it was written."""

    drawn: Case
    case: Case
    failure: Failure
    folder: Path | None = None

    def to_json(self) -> dict[str, Any]:
        place = {"folder": str(self.folder)} if self.folder else {}
        return {"index": self.drawn.index, **place, **self.failure.to_json()}


def run(
    seed: int,
    indices: Sequence[int],
    backends: Sequence[str],
    *,
    folder: Path,
    jobs: int | None = None,
    small: bool = True,
    on_case: Callable[[Outcome], None] | None = None,
) -> Campaign:
    """Runs the cases of a seed; failures are shrunk (if ``small``) and written below ``folder``.

    ``jobs`` crews, each with a process per backend, work side by side: by default one per
    processor. Ctrl-C ends the campaign early: what it found until then is returned.
    """
    campaign, begun = Campaign(backends, seed), time.monotonic()
    with ExitStack() as stack:
        count = jobs or os.cpu_count() or 1
        crews: SimpleQueue[Crew] = SimpleQueue()
        for _ in range(count):
            crews.put(stack.enter_context(Crew(backends)))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        threads = ThreadPoolExecutor(count)
        stack.callback(threads.shutdown, cancel_futures=True)

        def one(index: int) -> Outcome:
            crew = crews.get()
            try:
                return _one(seed, index, crew, backends)
            finally:
                crews.put(crew)

        try:
            for outcome in _in_order(threads, one, indices, count * AHEAD):
                campaign.add(outcome)
                if outcome.failure is not None:
                    crew = crews.get()
                    try:
                        found = _write(outcome, crew, scratch, folder, backends, small)
                    except KeyboardInterrupt:
                        found = _write(outcome, crew, scratch, folder, backends, small=False)
                        campaign.failures.append(found)
                        raise
                    finally:
                        crews.put(crew)  # a thread that waits for one could not end
                    campaign.failures.append(found)
                campaign.seconds = time.monotonic() - begun
                if on_case is not None:
                    on_case(outcome)
        except KeyboardInterrupt:
            campaign.interrupted = True
    return campaign


def rerun(
    paths: Sequence[Path], backends: Sequence[str], on_case: Callable[[Outcome], None] | None = None
) -> Campaign:
    """Runs cases that were written down, or specs. Raises SpecError for a file that is none."""
    campaign, begun = Campaign(backends, 0), time.monotonic()
    cases = [Case.load(path) for path in paths]
    with Crew(backends) as crew, tempfile.TemporaryDirectory() as folder:
        for path, case in zip(paths, cases, strict=True):
            outcome = check(case, crew, Path(folder), backends)
            campaign.add(outcome)
            if outcome.failure is not None:
                campaign.failures.append(Found(case, case, outcome.failure, path))
            campaign.seconds = time.monotonic() - begun
            if on_case is not None:
                on_case(outcome)
    return campaign


def _one(seed: int, index: int, crew: Crew, backends: Sequence[str]) -> Outcome:
    try:
        case = Case.draw(seed, index)
    except FrontEndCrash as error:
        cause = error.__cause__ or error
        return Outcome(Case(seed, index, error.spec), raised(cause))
    with tempfile.TemporaryDirectory() as folder:
        return check(case, crew, Path(folder), backends)


def _in_order(
    threads: ThreadPoolExecutor, work: Callable[[int], Outcome], indices: Sequence[int], ahead: int
) -> Iterator[Outcome]:
    """The results in the order of their indices, a few of them computed ahead."""
    waiting: list[Future[Outcome]] = []
    for index in indices:
        waiting.append(threads.submit(work, index))
        if len(waiting) > ahead:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()


def _write(
    outcome: Outcome, crew: Crew, scratch: Path, folder: Path, backends: Sequence[str], small: bool
) -> Found:
    """Makes a failing case small and writes it down."""
    assert outcome.failure is not None
    case, failure = outcome.case, outcome.failure
    if small:
        involved = [name for name in backends if failure.involves(name)] or backends
        case, failure = shrink(
            case, failure, lambda each: check(each, crew, scratch, involved).failure
        )
    place = case.save(folder, failure.to_json())
    return Found(outcome.case, case, failure, place)

"""A training from the spec to the finished run folder, or on from where an earlier one stopped."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specc import __version__
from specc.diagnostics import Diagnostic, Note, SpecError
from specc.ir.levels import DEFAULT_LEVEL
from specc.runner import run_folder
from specc.runner.diverged import diagnosis, unexplained
from specc.runner.experiment import Experiment
from specc.runner.interruption import Interrupted, uninterrupted
from specc.runner.run_folder import FAILED, FINISHED, INTERRUPTED, RUNNING, Run
from specc.runner.run_place import Place
from specc.runner.train import BrokenDownError, Event, OnEvent, Plan, Trained, train

if TYPE_CHECKING:
    from specc.runner.compare import Part

    Buffer = Any  # what hashlib reads; collections.abc has it from Python 3.12 on

DEFAULT_BACKENDS = ("numpy",)


@dataclass(frozen=True)
class Request:
    """What the user wants trained. What is None was not said: a resumed run knows it."""

    spec: Path
    run_dir: Path | None = None
    backends: tuple[str, ...] | None = None
    sets: Mapping[str, str] | None = None
    dtype: str | None = None
    device: str | None = None
    optimize: int | None = None
    every: Mapping[str, float] | None = None

    @property
    def place(self) -> Path:
        return self.run_dir or Path("runs") / self.spec.stem

    @property
    def resume(self) -> str:
        """The command that goes on with this run."""
        where = ["--run-dir", str(self.run_dir)] if self.run_dir else []
        return shlex.join(["specc", "train", str(self.spec), *where, "--resume"])


@dataclass
class TrainingRun:
    """A run in the folder in which it is trained."""

    request: Request
    place: Place
    experiment: Experiment
    runs: dict[str, Run]
    kept: dict[str, int]
    """The steps of each backend's last checkpoint."""

    def carry_out(self, on_event: OnEvent, on_stop: Callable[[], None]) -> dict[str, Trained]:
        """Trains to the end and writes the run.

        Raises:
            SpecError: E1011 if the loss is no number any more, and what `train` raises; with the
                command to go on with where there is a checkpoint.
            Interrupted: a signal came.
        """

        def listen(backend: str, event: Event) -> None:
            if "kept" in event:
                self.kept[backend] = event["kept"]
            else:
                on_event(backend, event)

        plan = Plan(
            epochs=self.experiment.epochs,
            batch_size=self.experiment.batch_size,
            dtype=self.experiment.dtype,
            device=self.request.device,
            keys={name: run.about["key"] for name, run in self.runs.items()},
            every=self.request.every,
        )
        try:
            trained = train(
                {name: run.source for name, run in self.runs.items()},
                self.experiment.parts,
                plan,
                {name: run.path for name, run in self.runs.items()},
                on_event=listen,
                on_stop=on_stop,
                inherit=(self.place.lock,),
            )
            with uninterrupted():
                self._write(trained)
                self.place.finish()
        except BrokenDownError as error:
            self._mark(FAILED)
            raise SpecError(self._told(self._diagnosis(error))) from None
        except SpecError as error:
            self._mark(FAILED)
            raise SpecError(map(self._told, error.diagnostics)) from None
        except Interrupted as signal:
            self._mark(INTERRUPTED)
            signal.resumable = self.place.kept
            raise
        return trained

    @property
    def files(self) -> dict[str, Path]:
        """Where the generated files are, as the user calls the place."""
        final, path = self.place.final, self.place.path
        return {name: final / run.source.relative_to(path) for name, run in self.runs.items()}

    def _write(self, trained: Mapping[str, Trained]) -> None:
        for name, result in trained.items():
            run_folder.write_json(self.runs[name].path / run_folder.HISTORY, result.history)
        for name, result in trained.items():
            ended = {
                "state": FINISHED,
                "finished": _now(),
                "seconds": round(result.seconds, 3),
                "scores": {"test": result.scores} if result.scores else {},
                "environment": result.environment,
            }
            self.runs[name] = run_folder.update(self.runs[name], ended)

    def _mark(self, state: str) -> None:
        # Where the disk is full the run goes as one that was killed, and can be gone on with too.
        with contextlib.suppress(SpecError):
            for name, run in self.runs.items():
                if not run.finished:  # else only its move is missing, which the next command makes
                    self.runs[name] = run_folder.update(run, {"state": state})

    def _diagnosis(self, error: BrokenDownError) -> Diagnostic:
        if error.report is None:
            return unexplained(error.backend, error.step)
        experiment = self.experiment
        return diagnosis(experiment.program, error.backend, experiment.dtype, error.report)

    def _told(self, diagnostic: Diagnostic) -> Diagnostic:
        """With a note on what has been kept, if anything has."""
        if not self.kept:
            return diagnostic
        steps = ", ".join(f"{step} steps on {name}" for name, step in self.kept.items())
        replaces = self.place.path != self.place.final.absolute()
        where = self.place.path if replaces else self.request.place
        kept = f"what was trained is kept in {where}: {steps}"
        if diagnostic.code == "E1011":
            note = f"{kept}; evaluate and predict take it with --unfinished"
        else:
            note = f"{kept}; go on with: {self.request.resume}"
        return replace(diagnostic, notes=(*diagnostic.notes, Note(note)))


def begin(place: Place, request: Request) -> TrainingRun:
    """Compiles the spec, prepares its data and writes what a run has before it is trained."""
    backends = request.backends or DEFAULT_BACKENDS
    request = replace(request, backends=backends)
    folders = _folders(place.path, backends)
    experiment = Experiment.prepare(
        request.spec,
        folders,
        sets=request.sets,
        dtype=request.dtype,
        optimize=DEFAULT_LEVEL if request.optimize is None else request.optimize,
    )
    text = _resolved(request)
    settings = _settings(request, experiment, text)
    for name, folder in folders.items():
        source = experiment.sources[name]
        run_folder.write_text(folder / run_folder.SPEC, text)
        run_folder.write_json(folder / run_folder.FITTED, experiment.dataset.fitted)
        about = {
            "specc": __version__,
            "name": experiment.program.name,
            "spec": str(request.spec.resolve()),
            "settings": dict(request.sets or {}),
            "backend": name,
            "source": source.name,
            "started": _now(),
            "seed": experiment.program.seed,
            "dtype": experiment.dtype,
            "state": RUNNING,
            "resume": request.resume,
            "checkpoint_every": request.every,
            "trained_with": settings,
            "key": _digest(json.dumps([name, settings], sort_keys=True).encode()),
        }
        run_folder.write_json(folder / run_folder.ABOUT, about)
    place.begin()
    runs = {
        name: run_folder.read_run(folder) for name, folder in _folders(place.path, backends).items()
    }
    return TrainingRun(request, place, experiment, runs, {})


def go_on(place: Place, request: Request) -> tuple[TrainingRun, tuple[Diagnostic, ...]]:
    """The unfinished run, with warnings about checkpoints that are damaged.

    Raises:
        SpecError: E1014 if the spec, its data or the settings are not those of the run.
    """
    found = [run_folder.read_run(folder) for folder in run_folder.backends_of(place.path)]
    for run in found:
        run_folder.require_files(run)
    about = found[0].about
    settings = about.get("trained_with", {})
    if settings.keys() != _SETTINGS or not {"key", "settings"} <= about.keys():
        message = f"the run in {place.final} does not say what it was trained with"
        raise SpecError(Diagnostic("E1014", message, help="begin anew with --overwrite"))
    every = about["checkpoint_every"] if isinstance(about.get("checkpoint_every"), dict) else None
    request = replace(
        request,
        backends=request.backends or tuple(settings["backends"]),
        sets=about["settings"] if request.sets is None else request.sets,
        dtype=request.dtype or about["dtype"],
        device=request.device or settings["device"],
        every=request.every or every,
        optimize=settings["optimize"] if request.optimize is None else request.optimize,
    )
    sources = {run.backend: run.source for run in found}
    experiment = Experiment.load(request.spec, sources, sets=request.sets, dtype=request.dtype)
    text = _resolved(request)
    earlier = (found[0].path / run_folder.SPEC).read_text(encoding="utf-8")
    notes = (
        *_changed_spec(earlier, text),
        *_changed_settings(settings, _settings(request, experiment, text)),
    )
    if notes:
        raise SpecError(
            Diagnostic(
                "E1014",
                f"the run in {place.final} cannot be gone on with: it would not be the same run",
                notes=notes,
                help="resume with what it began with, or train anew: --overwrite, or --run-dir",
            )
        )
    runs, kept = {}, {}
    warnings: list[Diagnostic] = []
    for run in sorted(found, key=lambda run: settings["backends"].index(run.backend)):
        last, bad = run.checkpoint()
        warnings += run_folder.damaged(bad)
        if last is not None:
            kept[run.backend] = last.step
            for path in bad:
                path.unlink()  # the next checkpoint must not keep a damaged file as the one before
        runs[run.backend] = run_folder.update(run, {"state": RUNNING})
    return TrainingRun(request, place, experiment, runs, kept), tuple(warnings)


def _folders(path: Path, backends: tuple[str, ...]) -> dict[str, Path]:
    return {name: path / name if len(backends) > 1 else path for name in backends}


def _resolved(request: Request) -> str:
    from specc.compiler import resolve_spec

    return resolve_spec(request.spec, request.sets)


def _settings(request: Request, experiment: Experiment, text: str) -> dict[str, Any]:
    """All that decides what a training computes, as run.json keeps it."""
    return {
        "spec": _digest(text.encode()),
        "backends": list(request.backends or ()),
        "dtype": experiment.dtype,
        "device": request.device,
        "optimize": DEFAULT_LEVEL if request.optimize is None else request.optimize,
        "sources": {
            name: _digest(source.read_bytes()) for name, source in experiment.sources.items()
        },
        "data": dict(_data_digests(experiment.parts)),
    }


_SETTINGS = {"spec", "backends", "dtype", "device", "optimize", "sources", "data"}


def _data_digests(parts: Mapping[str, Part]) -> Iterator[tuple[str, str]]:
    for part, kinds in parts.items():
        for arrays in kinds.values():
            for name, array in arrays.items():
                head = f"{array.dtype.str} {array.shape} ".encode()
                yield f"{part}/{name}", _digest(head, array.reshape(-1).view("u1"))


def _digest(*parts: Buffer) -> str:
    found = hashlib.blake2b(digest_size=8)
    for part in parts:
        found.update(part)
    return found.hexdigest()


def _changed_spec(earlier: str, now: str) -> Iterator[Note]:
    """What differs between two resolved specs, five places at most."""
    import yaml

    before, after = (dict(_leaves(yaml.safe_load(text), "")) for text in (earlier, now))
    paths = [path for path in before | after if before.get(path) != after.get(path)]
    for path in paths[:5]:
        old, new = (str(each.get(path, "not there")) for each in (before, after))
        yield Note(f"{path} was {old} when the run began, and is {new} now")
    if len(paths) > 5:
        yield Note(f"and {len(paths) - 5} more places of the spec")


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of all that is no mapping or list; layers go by their names."""
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = (
            (each.get("name", index) if isinstance(each, dict) else index, each)
            for index, each in enumerate(value)
        )
    else:
        yield path, value
    for key, inner in items:
        yield from _leaves(inner, f"{path}.{key}" if path else str(key))


def _changed_settings(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Note]:
    for name in ("backends", "dtype", "device", "optimize"):
        if earlier[name] != now[name]:
            old, new = (_shown(each[name]) for each in (earlier, now))
            yield Note(f"{name} was {old} when the run began, and is {new} now")
    for name, digest in earlier["sources"].items():
        if now["sources"].get(name) != digest:
            yield Note(f"its generated file for {name} has been changed")
    data, others = earlier["data"], now["data"]
    for name in sorted(data.keys() | others.keys()):
        if data.get(name) != others.get(name):
            yield Note(f"the data of {name} are not those that the run began with")


def _shown(value: Any) -> str:
    if value is None:
        return "of the spec"
    return ", ".join(value) if isinstance(value, list) else str(value)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

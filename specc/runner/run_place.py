"""Where a run lives while it is trained, and how it takes its place.

A run is made ready in a hidden folder and then gets its place, or, where an earlier run has that
and is to be replaced, a hidden folder beside it (``.NAME.next``): the earlier run is replaced when
the new one is finished, and not before. What is there after a process was killed can always be
gone on with.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from specc.diagnostics import Diagnostic, SpecError
from specc.runner import checkpoint, lock
from specc.runner.run_folder import backends_of, is_finished, is_run, read_run


class Place:
    """A run that is being written. ``path`` is where its files are at present."""

    lock: int  # the descriptor, which the workers keep open too

    def __init__(self, final: Path, path: Path, overwrite: bool = False) -> None:
        self.final, self.path, self.begun = final, path, False
        self._overwrite = overwrite

    def begin(self) -> None:
        """Gives a run that is ready the folder in which it is trained. Raises SpecError."""
        refuse_existing(self.final, self._overwrite)  # time has passed
        home = next_to(self.final) if is_complete(self.final) else self.final.absolute()
        old = self.path.with_name(f"{self.path.name}.old")
        if home.exists():
            with contextlib.suppress(OSError):
                home.rmdir()  # an empty folder is no loss
        if home.exists():
            # An unfinished run, which is replaced: not under the feet of its process.
            with lock.locked(home, self.final):
                os.replace(home, old)
        try:
            os.replace(self.path, home)
        except OSError:
            raise lock.in_use(self.final, lock.holder(home)) from None  # another was quicker
        self.path, self.begun = home, True
        shutil.rmtree(old, ignore_errors=True)

    def finish(self) -> None:
        """Makes a run whose files are all written the one at its place. Raises SpecError."""
        complete(self.final, self.path)

    @property
    def kept(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return any(
            (folder / name).exists()
            for folder in backends_of(self.path)
            for name in (checkpoint.NAME, checkpoint.PREVIOUS)
        )


@contextlib.contextmanager
def new_run(path: Path, overwrite: bool = False) -> Iterator[Place]:
    """A new run for ``path``: the body writes its files, begins, trains, writes more and finishes.

    If the body fails before there is a checkpoint, nothing is left of the run. A finished run that
    was at ``path`` stays until the end; an unfinished one is given up when the body begins.
    """
    settle(path)
    refuse_existing(path, overwrite)
    whole = path.absolute()  # "." has no name of its own
    draft = whole.with_name(f".{whole.name}.{os.getpid()}")
    made = [folder for folder in whole.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.mkdir()
    except OSError as error:
        problem = error.strerror or str(error)
        raise SpecError(Diagnostic("E1006", f"cannot write {path}: {problem}")) from None
    place = Place(path, draft, overwrite)
    try:
        with lock.locked(draft, path) as place.lock:
            yield place
    finally:
        if place.path.exists() and not (place.begun and (place.kept or is_complete(place.path))):
            shutil.rmtree(place.path, ignore_errors=True)
        for folder in made:
            # One that holds the run, or what somebody else has put there, stays.
            with contextlib.suppress(OSError):
                folder.rmdir()


@contextlib.contextmanager
def unfinished_run(path: Path) -> Iterator[Place]:
    """The unfinished run for ``path``, to go on with. It stays what it is if the body fails.

    Raises SpecError: E1013 if a process is at it, E1016 if there is none.
    """
    settle(path)
    home = next_to(path) if next_to(path).exists() else path.absolute()
    if not backends_of(home):
        raise SpecError(
            Diagnostic(
                "E1016", f"there is no run in {path} to resume", help="leave --resume out to begin"
            )
        )
    if is_complete(home):
        help_ = "specc evaluate scores it; --overwrite trains it anew"
        raise SpecError(
            Diagnostic("E1016", f"the run in {path} is finished: nothing to resume", help=help_)
        )
    with lock.locked(home, path) as descriptor:
        for folder in (home, *backends_of(home)):
            checkpoint.sweep(folder)
        place = Place(path, home)
        place.lock, place.begun = descriptor, True
        yield place


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raises SpecError (E1004, E1012, E1013) if a run, or anything else, would be lost."""
    for home in (path, next_to(path)):
        if process := lock.holder(home):
            raise lock.in_use(path, process)
    home = next_to(path) if next_to(path).exists() else path
    found = backends_of(home)
    if found and not overwrite and not is_complete(home):
        resume = read_run(found[0]).about.get("resume", "specc train --resume")
        raise SpecError(
            Diagnostic(
                "E1012",
                f"{path} is a run that is not finished",
                help=f"go on with: {resume}, or begin anew with --overwrite",
            )
        )
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not overwrite:
        help_ = "choose another place with --run-dir, or replace it with --overwrite"
        raise SpecError(Diagnostic("E1004", f"{path} already exists", help=help_))
    if not is_run(path) and not all(is_run(e) or e.name == lock.NAME for e in path.iterdir()):
        message = f"{path} holds more than a run, and all of it would be lost"
        raise SpecError(Diagnostic("E1004", message, help="choose another place with --run-dir"))


def is_complete(place: Path) -> bool:
    """Whether there is a run, and the run of every backend is finished or cannot be read."""
    found = backends_of(place)
    return bool(found) and all(map(is_finished, found))


def _is_proved_complete(place: Path) -> bool:
    """Whether there is a run, and every backend's says that it is finished."""
    try:
        found = [read_run(folder) for folder in backends_of(place)]
    except SpecError:
        return False
    return bool(found) and all(run.finished for run in found)


def next_to(path: Path) -> Path:
    """Where the run that will replace the one at ``path`` lives until it is finished."""
    whole = path.absolute()
    return whole.with_name(f".{whole.name}.next")


def complete(path: Path, home: Path) -> None:
    """Removes what only training needs, and moves a finished run to its place. Raises SpecError."""
    whole = path.absolute()
    try:
        for folder in backends_of(home):
            checkpoint.discard(folder)
        if home != whole:
            if whole.exists():
                _drop(_replaced(path))
                os.replace(whole, _replaced(path))
            os.replace(home, whole)
            _drop(_replaced(path))
        # Last of all: until then nobody else may do the same.
        (whole / lock.NAME).unlink(missing_ok=True)
    except OSError as error:
        problem = error.strerror or str(error)
        raise SpecError(Diagnostic("E1006", f"cannot write {path}: {problem}")) from None


def settle(path: Path) -> None:
    """Does what a process that was killed could not do any more, and removes what it left."""
    whole = path.absolute()
    for home in (whole, next_to(path)):
        if home.exists() and _is_proved_complete(home) and not lock.holder(home):
            complete(path, home)
    if whole.exists():
        _drop(_replaced(path))
    for draft in whole.parent.glob(f".{whole.name}.*"):
        process = draft.name.removeprefix(f".{whole.name}.").removesuffix(".old")
        if process.isdigit() and not lock.alive(int(process)):
            shutil.rmtree(draft, ignore_errors=True)


def _drop(old: Path) -> None:
    """Removes a run that has been replaced; of one that a link led to, the link."""
    if old.is_symlink():
        old.unlink()
    else:
        shutil.rmtree(old, ignore_errors=True)


def _replaced(path: Path) -> Path:
    whole = path.absolute()
    return whole.with_name(f".{whole.name}.replaced")

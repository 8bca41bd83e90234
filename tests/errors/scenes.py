"""What some pages of the catalogue need around them and no file of the page can give: packages that
are installed or are not, a process that dies. ``{code: scene}``; a scene that returns diagnostics
has met the mistake itself, for codes that no command line leads to."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from specc import plugins
from specc.backends.base import Backend
from specc.compiler import compile_spec
from specc.diagnostics import SpecError
from specc.entry_points import EntryPoint
from specc.ir.graph import Program
from specc.runner import lock, training_run
from specc.runner.compare import compare
from specc.runner.comparison import Settings
from specc.runner.interruption import Interrupted
from specc.runner.process import Worker
from specc.runner.run_place import Place

NET = """specc: 1
name: net
inputs: {{x: {{shape: [4]}}}}
targets: {{t: {{shape: [{units}]}}}}
layers: [{{name: y, dense: {{units: {units}, use_bias: {bias}}}}}]
training: {{loss: {{mean_squared_error: {{prediction: y, target: t}}}}}}
"""


class Narrow(Backend):
    """A backend that has no forms at all."""

    name = "narrow"
    title = "Narrow"

    def emit(self, program: Program, only: str = "all") -> str:
        return "".join(self.lower(node).expression for node in program.graph.nodes)


NARROW = EntryPoint("narrow", f"{__name__}:Narrow", "narrow-specc 1.0")
SECOND = EntryPoint("narrow", "specc_narrow:Backend", "specc-narrow 0.3")
BROKEN = EntryPoint("broken", "broken_specc:Broken", "broken-specc 0.1")


@contextmanager
def _plugins(patch: pytest.MonkeyPatch, *entries: EntryPoint) -> Iterator[None]:
    patch.setattr(plugins, "entry_points", lambda group: list(entries))
    patch.setattr(plugins, "load_operations", lambda: None)
    plugins.backend_entries.cache_clear()
    yield
    plugins.backend_entries.cache_clear()


@contextmanager
def _broken_plugin(patch: pytest.MonkeyPatch) -> Iterator[None]:
    Path("broken_specc.py").write_text("from specc.backends.frames import Frame\n")
    patch.syspath_prepend(Path.cwd())
    with _plugins(patch, BROKEN):
        yield


@contextmanager
def _odd_limit(patch: pytest.MonkeyPatch) -> Iterator[None]:
    patch.setenv("SPECC_MAX_LAYERS", "many")
    yield


@contextmanager
def _no_scikit_learn(patch: pytest.MonkeyPatch) -> Iterator[None]:
    patch.setitem(sys.modules, "sklearn", None)
    yield


@contextmanager
def _no_tensorflow(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package of that name in front of the real one, which says that it is not there."""
    text = "raise ModuleNotFoundError(\"No module named 'tensorflow'\", name='tensorflow')\n"
    for name in ("tensorflow", "keras"):
        Path(f"{name}.py").write_text(text, encoding="utf-8")
    patch.setenv("PYTHONPATH", str(Path.cwd()))
    yield


@contextmanager
def _ended(patch: pytest.MonkeyPatch) -> Iterator[None]:
    path = Path("net_numpy.py")
    text = "import os\nprint('Illegal instruction', flush=True)\nos._exit(132)\n"
    path.write_text(text, encoding="utf-8")
    with Worker("numpy", path) as worker:
        worker.wait()
    yield


@contextmanager
def _killed(patch: pytest.MonkeyPatch) -> Iterator[None]:
    path = Path("net_numpy.py")
    path.write_text("import os\nos.kill(os.getpid(), 9)\n", encoding="utf-8")
    with Worker("numpy", path) as worker:
        worker.wait()
    yield


@contextmanager
def _training_elsewhere(patch: pytest.MonkeyPatch) -> Iterator[None]:
    place = Path("runs/net")
    place.mkdir(parents=True)
    with lock.locked(place, place):
        (place / lock.NAME).write_text("4711\n", encoding="utf-8")
        yield


@contextmanager
def _interrupted(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """A training that is interrupted, and has a checkpoint."""

    def train(*arguments: object, **options: object) -> None:
        raise Interrupted(signal.SIGINT)

    patch.setattr(training_run, "train", train)
    patch.setattr(Place, "kept", True)
    yield


@contextmanager
def _two_specs(patch: pytest.MonkeyPatch) -> Iterator[None]:
    sources = {}
    for name, bias in (("first", "true"), ("second", "false")):
        spec = Path(f"{name}.yaml")
        spec.write_text(NET.format(units=3, bias=bias), encoding="utf-8")
        sources[name] = spec.with_suffix(".py")
        sources[name].write_text(compile_spec(spec, backend="numpy"), encoding="utf-8")
    train = {"inputs": {"x": np.zeros((4, 4))}, "targets": {"t": np.zeros((4, 3))}}
    compare(sources, train, Settings(batch_size=2, steps=1))
    yield


@contextmanager
def _mistake_in_specc(patch: pytest.MonkeyPatch) -> Iterator[None]:
    from specc.cli.boundary import internal_error

    try:
        raise ZeroDivisionError("division by zero")
    except ZeroDivisionError:
        raise SpecError(internal_error()) from None
    yield


@contextmanager
def _no_pygls(patch: pytest.MonkeyPatch) -> Iterator[None]:
    patch.setitem(sys.modules, "pygls", None)
    patch.delitem(sys.modules, "specc.lsp.server", raising=False)
    yield


SCENES: dict[str, Callable[[pytest.MonkeyPatch], object]] = {
    "E0607": _odd_limit,
    "E0803": _no_scikit_learn,
    "E0901": lambda patch: _plugins(patch, NARROW),
    "E0903": lambda patch: _plugins(patch, NARROW, SECOND),
    "E0904": _broken_plugin,
    "E1001": _no_tensorflow,
    "E1002": _ended,
    "E1003": _two_specs,
    "E1013": _training_elsewhere,
    "E1014": _interrupted,
    "E1017": _killed,
    "E1018": _no_pygls,
    "E9999": _mistake_in_specc,
}

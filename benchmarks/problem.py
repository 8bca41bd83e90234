"""A workload made concrete: generated files, initial parameters and batches, in a folder."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from benchmarks.workloads import Workload

Arrays = dict[str, np.ndarray]
BATCHES = 16  # in an epoch
EPOCHS = 64  # of different orders; then they come again
BACKENDS = ("numpy", "torch", "tensorflow")


@dataclass(frozen=True)
class Problem:
    """What every contender starts from.

    parameters are those of the generated NumPy file by path, float32; inputs and targets hold
    BATCHES batches; order is (EPOCHS, rows); folder is where the generated files lie.
    """

    network: str
    activations: tuple[str, ...]
    optimizer: str
    rate: float
    batch_size: int
    parameters: Arrays
    inputs: Arrays
    targets: Arrays
    order: np.ndarray
    folder: Path

    def batches(self) -> Iterator[np.ndarray]:
        """The rows of batch after batch, without end."""
        while True:
            for order in self.order:
                yield from order.reshape(-1, self.batch_size)

    def layers(self, kind: str) -> list[str]:
        """The layers that have a parameter of that name, in order."""
        suffix = f".{kind}"
        return [path.removesuffix(suffix) for path in self.parameters if path.endswith(suffix)]

    @property
    def x(self) -> np.ndarray:
        """The only input."""
        (array,) = self.inputs.values()
        return array

    @property
    def y(self) -> np.ndarray:
        """The only target."""
        (array,) = self.targets.values()
        return array


def load_module(path: Path) -> ModuleType:
    """A generated file as a module; its bytecode is kept beside it, as for any module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def prepare(workload: Workload, folder: Path, sizes: Mapping[str, str] | None = None) -> None:
    """Compiles a workload for every backend and writes what its contenders start from.

    sizes are values of the spec's parameters, where they are not those of the spec.
    """
    from specc.compiler import compile_spec

    sets = {f"parameters.{name}": value for name, value in (sizes or {}).items()}
    for backend in BACKENDS:
        source = compile_spec(workload.spec, backend=backend, sets=sets)
        (folder / f"{backend}_file.py").write_text(source, encoding="utf-8")
    module = load_module(folder / "numpy_file.py")
    rows = BATCHES * module.BATCH_SIZE
    parameters = module.initial_parameters(module.SEED)
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {f"parameters/{p}": v for p, v in parameters.items()}
    for part in ("INPUTS", "TARGETS"):
        for name, shape in getattr(module, part).items():
            full = (rows, *shape[1:])
            if name == "position":
                drawn = np.broadcast_to(np.arange(shape[1]), full)
            elif part == "TARGETS":
                (output,) = module.OUTPUTS.values()
                drawn = rng.integers(output[-1], size=full)
            elif name in module.INTEGERS:
                drawn = rng.integers(len(parameters[f"{name}_embedding.embeddings"]), size=full)
            else:
                drawn = rng.random(full, np.float32)
            arrays[f"{part.lower()}/{name}"] = drawn
    arrays["order"] = [module.batch_order(module.SEED, e, rows) for e in range(EPOCHS)]
    np.savez(folder / "problem.npz", **arrays)
    about = {"network": workload.network, "activations": workload.activations}
    about |= {"optimizer": workload.optimizer, "rate": workload.rate}
    about |= {"batch_size": module.BATCH_SIZE}
    (folder / "problem.json").write_text(json.dumps(about), encoding="utf-8")


def load(folder: Path) -> Problem:
    """The problem that prepare() wrote."""
    about = json.loads((folder / "problem.json").read_text(encoding="utf-8"))
    about["activations"] = tuple(about["activations"])
    parts: dict[str, Arrays] = {"parameters": {}, "inputs": {}, "targets": {}}
    with np.load(folder / "problem.npz") as arrays:
        order = arrays["order"]
        for key in arrays.files:
            part, _, name = key.partition("/")
            if name:
                parts[part][name] = arrays[key]
    parts["parameters"] = {p: v.astype(np.float32) for p, v in parts["parameters"].items()}
    return Problem(**about, **parts, order=order, folder=folder)

"""What an oracle reads and writes in a network's folder. NumPy alone: no specc, no framework."""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


@dataclass
class Run:
    """One network's data and plan; the start is that of the generated NumPy file."""

    folder: Path

    def __post_init__(self) -> None:
        data = dict(np.load(self.folder / "data.npz"))
        generated = dict(np.load(self.folder / "numpy.npz"))
        (self.inputs,) = (a for key, a in data.items() if key.startswith("inputs/"))
        (self.targets,) = (a for key, a in data.items() if key.startswith("targets/"))
        self.batch_size = int(data["batch_size"])
        self.orders = generated["plan/orders"]
        self.start = {
            key.removeprefix("start/"): array
            for key, array in generated.items()
            if key.startswith("start/")
        }

    @property
    def name(self) -> str:
        return self.folder.name.partition("-")[0]

    def generated(self) -> Any:
        """The generated NumPy file: its masks are an input of a run like its start and orders."""
        description = importlib.util.spec_from_file_location("generated", self.folder / "numpy.py")
        assert description is not None and description.loader is not None
        module = importlib.util.module_from_spec(description)
        description.loader.exec_module(module)
        return module

    def epochs(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Inputs and targets of each epoch in its order."""
        for order in self.orders:
            yield self.inputs[order], self.targets[order]

    def write(self, end: Arrays, losses: list[float]) -> None:
        arrays = {f"end/{name}": array for name, array in end.items()}
        np.savez(self.folder / "oracle.npz", **arrays, **{"history/loss": np.array(losses)})

"""Trains generated files of one backend: python generated_run.py BACKEND FOLDER...

Each folder holds BACKEND.py and data.npz; BACKEND.npz gets the parameters at the start and the end,
the order of every epoch and the history.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np


def main() -> None:
    backend, *folders = sys.argv[1:]
    for folder in map(Path, folders):
        file, data = load(folder / f"{backend}.py"), dict(np.load(folder / "data.npz"))
        inputs = {name: data[f"inputs/{name}"] for name in file.INPUTS}
        targets = {name: data[f"targets/{name}"] for name in file.TARGETS}
        epochs, batch_size = int(data["epochs"]), int(data["batch_size"])
        rows = len(next(iter(inputs.values())))
        model = file.build(dtype="float64")
        start = file.get_parameters(model)
        history = file.Trainer(model).fit(inputs, targets, epochs=epochs, batch_size=batch_size)
        orders = [file.batch_order(file.SEED, epoch, rows) for epoch in range(epochs)]
        parts = {"start": start, "end": file.get_parameters(model), "history": history}
        arrays = {f"{part}/{name}": a for part, held in parts.items() for name, a in held.items()}
        np.savez(folder / f"{backend}.npz", **arrays, **{"plan/orders": np.array(orders)})


def load(path: Path) -> Any:
    description = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert description is not None and description.loader is not None
    module = importlib.util.module_from_spec(description)
    sys.modules[description.name] = module
    description.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()

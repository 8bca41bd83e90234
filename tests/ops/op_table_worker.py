"""Runs generated one-op files of one backend: python op_table_worker.py BACKEND FOLDER.

For every CASE_BACKEND.py with its CASE.npz it writes CASE_BACKEND.npz with all that the tests
compare, or CASE_BACKEND.txt with the traceback of what went wrong.
"""

import importlib.util
import sys
import traceback
import zlib
from pathlib import Path
from typing import Any

import numpy as np

STEP = 3
PLACES = 10  # elements of each parameter whose gradient is checked by differences


def main() -> None:
    backend, folder = sys.argv[1], Path(sys.argv[2])
    for path in sorted(folder.glob(f"*_{backend}.py")):
        case = path.stem.removesuffix(f"_{backend}")
        arrays = dict(np.load(folder / f"{case}.npz"))
        try:
            results = run(path, arrays, numeric=backend == "numpy")
        except Exception:
            path.with_suffix(".txt").write_text(traceback.format_exc())
        else:
            np.savez(path.with_suffix(".npz"), **results)


def run(path: Path, arrays: dict[str, np.ndarray], numeric: bool) -> dict[str, np.ndarray]:
    """What a generated file computes for a batch, from parameters that derive from their names."""
    file = load(path)
    inputs = {name: arrays[name] for name in file.INPUTS}
    targets = {name: arrays[name] for name in file.TARGETS}
    model = file.build()
    initial = file.get_parameters(model)
    chosen = {name: draw(name, array) for name, array in initial.items()}
    file.set_parameters(model, chosen)
    loss, gradients = file.loss_and_gradients(model, inputs, targets, step=STEP)
    found = {
        "initial": initial,
        "output": file.predict(model, inputs),
        "loss": {"": np.array(loss)},
        "gradient": gradients,
        "inference": file.trace(model, inputs, step=STEP),
        "training": file.trace(model, inputs, targets, training=True, step=STEP),
    }
    for name, array in file.get_parameters(model).items():
        assert np.array_equal(array, chosen[name]), f"{name} has changed without a step"
    if numeric:
        found |= differences(file, model, chosen, inputs, targets, gradients)
    file.Trainer(model).step(inputs, targets)
    found["trained"] = file.get_parameters(model)
    return {f"{part}/{name}": v for part, values in found.items() for name, v in values.items()}


def load(path: Path) -> Any:
    description = importlib.util.spec_from_file_location(path.stem, path)
    assert description is not None and description.loader is not None
    module = importlib.util.module_from_spec(description)
    sys.modules[path.stem] = module
    description.loader.exec_module(module)
    return module


def draw(name: str, array: np.ndarray) -> np.ndarray:
    """Values that depend on the name and the shape alone; variances are positive."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if "variance" in name:
        return rng.uniform(0.5, 1.5, array.shape)
    return rng.standard_normal(array.shape)


def differences(
    file: Any, model: Any, parameters: dict[str, np.ndarray], inputs: Any, targets: Any, of: Any
) -> dict[str, dict[str, np.ndarray]]:
    """Central differences of the loss at some places of every trained parameter."""
    places, slopes = {}, {}
    for name in of:
        size = parameters[name].size
        places[name] = np.unique(np.linspace(0, size - 1, PLACES).astype(int))
        found = []
        for place in places[name]:
            ends = []
            for step in (1e-5, -1e-5):
                moved = {key: value.copy() for key, value in parameters.items()}
                moved[name].flat[place] += step
                file.set_parameters(model, moved)
                ends.append(file.loss_and_gradients(model, inputs, targets, step=STEP)[0])
            found.append((ends[0] - ends[1]) / 2e-5)
        slopes[name] = np.array(found)
    file.set_parameters(model, parameters)
    return {"places": places, "slopes": slopes}


if __name__ == "__main__":
    main()

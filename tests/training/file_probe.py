"""Runs all that a generated file offers and keeps what it gives: python file_probe.py FILE OUT."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np

ROWS, BATCH = 40, 16  # a partial last batch


def main() -> None:
    path, out = map(Path, sys.argv[1:])
    file = load(path)
    rng = np.random.default_rng(0)
    inputs, targets = arrays(file, file.INPUTS, rng), arrays(file, file.TARGETS, rng)
    weights = rng.uniform(size=ROWS)
    found = probe(file, inputs, targets, weights)
    weights_file = out.with_suffix(".safetensors")
    model = file.build(seed=1, dtype="float64")
    file.save(model, weights_file)
    for name, array in file.get_parameters(file.load(weights_file)).items():
        assert np.array_equal(array, file.get_parameters(model)[name])
    for name, array in file.get_parameters(file.build(dtype="float32")).items():
        assert array.dtype == np.float32, name
        found[f"single/{name}"] = array
    np.savez(out, **found)


def load(path: Path) -> ModuleType:
    description = importlib.util.spec_from_file_location(path.stem, path)
    assert description is not None and description.loader is not None
    module = importlib.util.module_from_spec(description)
    description.loader.exec_module(module)
    return module


def arrays(file: ModuleType, shapes: dict, rng: np.random.Generator) -> dict[str, np.ndarray]:
    drawn = {}
    for name, (_, *rest) in shapes.items():
        shape = (ROWS, *(size or 7 for size in rest))
        integer = name in file.INTEGERS
        drawn[name] = rng.integers(0, 3, shape) if integer else rng.standard_normal(shape)
    return drawn


def probe(file: ModuleType, inputs: dict, targets: dict, weights: np.ndarray) -> dict:
    """{part/name: array}, from gradients to the parameters and the state after 20 steps."""
    model = file.build(dtype="float64")
    found = {"initial": file.get_parameters(model)}
    for part, given in (("plain", None), ("weighted", weights)):
        loss, gradients = file.loss_and_gradients(model, inputs, targets, given, step=3)
        found[part] = {"loss": np.array(loss), **gradients}
    found["output"] = file.predict(model, inputs, BATCH)
    found["inference"] = file.trace(model, inputs)
    found["training"] = file.trace(model, inputs, training=True, step=2)
    for name, array in file.get_parameters(model).items():
        assert np.array_equal(array, found["initial"][name]), f"{name} changed without a step"
    trainer = file.Trainer(model)
    first = [{name: array[:BATCH] for name, array in part.items()} for part in (inputs, targets)]
    losses = [float(trainer.step(*first, weights[:BATCH] if i % 2 else None)) for i in range(5)]
    steps: list[int] = []
    history = trainer.fit(
        inputs,
        targets,
        validation=(inputs, targets),
        epochs=7,
        batch_size=BATCH,
        on_step=lambda step, epoch, loss: steps.append(step),
    )
    found["history"] = {"losses": np.array(losses), "steps": np.array(steps)}
    found["history"] |= {name: np.array(values) for name, values in history.items()}
    found["score"] = {k: np.array(v) for k, v in trainer.evaluate(inputs, targets).items()}
    found["trained"], found["state"] = file.get_parameters(model), trainer.state()
    other = file.Trainer(file.build(dtype="float64"))
    other.load_state(trainer.state())
    for name, array in other.state().items():
        assert np.array_equal(array, found["state"][name])
    return {f"{part}/{name}": a for part, held in found.items() for name, a in held.items()}


if __name__ == "__main__":
    main()

"""Weights on disk and the command line of generated files: the same on every backend."""

import argparse
from collections.abc import Iterable

import numpy as np

from specc.backends.emitted import (
    BATCH_SIZE,
    EPOCHS,
    INPUTS,
    NAME,
    TARGETS,
    Model,
    Trainer,
    build,
    get_parameters,
    predict,
    set_parameters,
)
from specc.backends.prelude_arrays import Arrays


def save(model: Model, path: str) -> None:
    """Writes parameters and statistics as safetensors, which every backend's load() reads."""
    from safetensors.numpy import save_file

    save_file(get_parameters(model), path, {"spec": NAME})


def load(path: str, device: str | None = None) -> Model:
    """The model whose parameters were saved at ``path``, in their precision."""
    from safetensors.numpy import load_file

    parameters = load_file(path)
    model = build(dtype=next(iter(parameters.values())).dtype.name, device=device)
    set_parameters(model, parameters)
    return model


def main() -> None:
    """Trains, evaluates or predicts with prepared arrays named part/name."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("action", choices=("train", "evaluate", "predict"))
    parser.add_argument("data", help="npz with train/..., validation/..., test/...")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--weights", help="safetensors to start from")
    parser.add_argument("--out", help="where to write the weights or predictions")
    options = parser.parse_args()
    arrays = np.load(options.data)
    model = load(options.weights) if options.weights else build()

    def part(name: str, *groups: Iterable[str]) -> list[Arrays]:
        return [{n: arrays[f"{name}/{n}"] for n in names} for names in groups]

    if options.action == "predict":
        outputs = predict(model, *part("test", INPUTS), BATCH_SIZE)
        np.savez(options.out or "predictions.npz", **outputs)
        return
    trainer = Trainer(model)
    if options.action == "train":
        data = part("train", INPUTS, TARGETS)
        trainer.fit(*data, epochs=options.epochs, on_epoch=lambda **epoch: print(epoch))
        save(model, options.out or f"{NAME}.safetensors")
    print("test:", trainer.evaluate(*part("test", INPUTS, TARGETS)))


if __name__ == "__main__":
    main()

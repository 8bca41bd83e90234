"""Finds the step at which a training broke down, and looks at all of its tensors: the worker's
side.

The steps since the last good state are repeated, each looked at. This file is loaded by path inside
a worker and imports only NumPy. What the figures mean is told by `diverged.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Arrays = dict[str, Any]
Figures = dict[str, float]
LAST = 20


class FoundError(Exception):
    """The step that is looked for is done."""


class Watch:
    """Looks at every step of a `Trainer.fit`, and ends it after the first that is not finite."""

    def __init__(self, module: Any, model: Any) -> None:
        self._module, self._model = module, model
        self.before = dict(module.get_parameters(model))
        self.after: Arrays = {}
        self.losses: list[float] = []
        self.step = self.epoch = -1

    def __call__(self, step: int, epoch: int, loss: Any) -> None:
        """The callback ``on_step``."""
        self.losses.append(float(loss))
        after = dict(self._module.get_parameters(self._model))
        if np.isfinite(self.losses[-1]) and all(np.isfinite(a).all() for a in after.values()):
            self.before = after
            return
        self.after, self.step, self.epoch = after, step, epoch
        raise FoundError


def examine(
    module: Any, model: Any, trainer: Any, train: dict[str, Arrays], epochs: int, batch_size: int
) -> dict[str, Any] | None:
    """What is wrong at the first step that is not finite, from where model and trainer stand.

    The figures (see `figures`) of the batch, of every value, gradient and parameter at that step,
    each under its name and in the order in which it comes, with the losses before. None if the
    steps are finite this time.
    """
    watch = Watch(module, model)
    try:
        trainer.fit(
            train["inputs"],
            train["targets"],
            validation=None,
            epochs=epochs,
            batch_size=batch_size,
            on_step=watch,
            on_epoch=lambda epoch, logs: None,
        )
    except FoundError:
        return _describe(module, model, watch, train, batch_size)
    return None


def _describe(
    module: Any, model: Any, watch: Watch, train: dict[str, Arrays], batch_size: int
) -> dict[str, Any]:
    count = len(next(iter(train["inputs"].values())))
    position = watch.step % -(-count // batch_size)
    order = np.arange(count)
    if hasattr(module, "batch_order"):
        order = np.asarray(module.batch_order(module.SEED, watch.epoch, count))
    rows = order[position * batch_size : (position + 1) * batch_size]
    batch = {
        kind: {name: array[rows] for name, array in train[kind].items()}
        for kind in ("inputs", "targets")
    }
    module.set_parameters(model, watch.before)
    values = module.trace(model, batch["inputs"], batch["targets"], training=True, step=watch.step)
    module.set_parameters(model, watch.before)
    loss, gradients = module.loss_and_gradients(
        model, batch["inputs"], batch["targets"], step=watch.step
    )
    dtype = next(iter(watch.before.values())).dtype
    finite = [value for value in watch.losses if np.isfinite(value)]
    return {
        "step": watch.step,
        "epoch": watch.epoch,
        "loss": float(loss),
        "losses": {
            "first_step": watch.step - len(watch.losses) + 1,
            "lowest": min(finite, default=None),
            "lowest_step": watch.step - len(watch.losses) + 1 + int(np.argmin(finite))
            if finite
            else None,
            "last": watch.losses[-LAST:],
        },
        "inputs": {name: figures(a.astype(dtype)) for name, a in batch["inputs"].items()},
        "targets": {name: figures(a.astype(dtype)) for name, a in batch["targets"].items()},
        "activations": {name: figures(value) for name, value in dict(values).items()},
        "gradients": {name: figures(value) for name, value in dict(gradients).items()},
        "before": {name: figures(value) for name, value in watch.before.items()},
        "after": {name: figures(value) for name, value in watch.after.items()},
    }


def figures(array: Any) -> Figures:
    """How many numbers an array has, how many of them are no numbers or infinite, and its range."""
    array = np.asarray(array)
    finite = array[np.isfinite(array)]
    return {
        "size": array.size,
        "nan": int(np.isnan(array).sum()),
        "infinite": int(np.isinf(array).sum()),
        "least": float(finite.min()) if finite.size else 0.0,
        "most": float(finite.max()) if finite.size else 0.0,
    }

"""The process in which one generated file runs. Started by path: ``python -P worker.py``.

It answers commands that arrive on standard input (see wire.py). Standard output belongs to the
replies: whatever the file or its framework prints goes to standard error instead. specc itself
cannot be imported here, which proves on every run that a generated file stands alone.

A thread reads the commands, so that "stop" is heard in the middle of a training, and so that the
process ends when its parent has gone, whatever it is doing.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import platform
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

Arrays = dict[str, Any]


class NoSpecc:
    """An import hook under which specc does not exist."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] == "specc":
            raise ModuleNotFoundError(f"a generated file must not import {name}", name=name)


def load_file(path: Path, name: str) -> ModuleType:
    """The module in the file at ``path``, whatever the file is called."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def neighbour(name: str, folder: str = ".") -> ModuleType:
    """A file of this folder or one nearby, loaded once."""
    loaded = f"worker_{name}"  # the file may import something else that is called like ours
    path = Path(__file__).parent / folder / f"{name}.py"
    return sys.modules.get(loaded) or load_file(path, loaded)


class Session:
    """One loaded file with its model and trainer; every public method is a command."""

    module: Any
    model: Any
    trainer: Any
    _chosen: dict[str, str]

    def __init__(self, emit: Callable[[dict[str, Any]], None]) -> None:
        self._emit = emit
        self._data: dict[str, dict[str, Arrays]] = {}
        self.stopping = threading.Event()

    def open(self, path: str) -> dict[str, Any]:
        """Loads the generated file and says what it is and where it runs."""
        self.module = load_file(Path(path), "generated")
        return {
            "name": self.module.NAME,
            "backend": self.module.BACKEND,
            "dtype": self.module.DTYPE,
            "environment": _environment(),
        }

    def contract(self, constants: list[str], names: list[str]) -> dict[str, Any]:
        """The file's constants, and the parameters of functions and methods such as "Trainer.fit".

        What the file does not have is None.
        """
        found = {name: getattr(self.module, name, None) for name in constants}
        return {"constants": found, "parameters": {name: self._signature(name) for name in names}}

    def _signature(self, name: str) -> list[str] | None:
        found = self.module
        for part in name.split("."):
            found = getattr(found, part, None)
        return None if found is None else list(inspect.signature(found).parameters)

    def data(self, parts: dict[str, dict[str, Arrays]]) -> None:
        """Keeps the prepared arrays: ``{part: {"inputs", "targets", "sample_weights"}}``."""
        self._data = parts

    def build(self, dtype: str | None = None, device: str | None = None) -> Arrays:
        """Builds the model and its trainer anew; the initial parameters and running statistics."""
        chosen = {"dtype": dtype, "device": device}
        self._chosen = {name: value for name, value in chosen.items() if value is not None}
        self._rebuild()
        return dict(self.module.get_parameters(self.model))

    def _rebuild(self) -> None:
        self.model = self.module.build(**self._chosen)
        self.trainer = self.module.Trainer(self.model)

    def restore(self, path: str) -> None:
        """The model whose weights were saved at ``path``."""
        self.model = self.module.load(path)
        self.trainer = self.module.Trainer(self.model)

    def order(self, epoch: int, count: int) -> Any:
        """The order in which an epoch visits its samples: as they lie where the spec says so."""
        if not hasattr(self.module, "batch_order"):
            return np.arange(count)
        return np.asarray(self.module.batch_order(self.module.SEED, epoch, count))

    def step(self, rows: Any, state: bool = False) -> dict[str, Any]:
        """One optimizer step on the given rows of the training part."""
        loss = float(self.trainer.step(**self._batch(rows)))
        parameters = dict(self.module.get_parameters(self.model))
        return {"loss": loss, "parameters": parameters, "state": self.state() if state else {}}

    def state(self) -> Arrays:
        """The optimizer's slots and the step, by their neutral names."""
        return dict(self.trainer.state())

    def place(self, parameters: Arrays, state: Arrays) -> None:
        """Puts the model and its optimizer where another run is."""
        self.module.set_parameters(self.model, parameters)
        self.trainer.load_state(state)

    def gradients(self, rows: Any, step: int) -> dict[str, Any]:
        """The loss and its gradients at the present parameters."""
        loss, gradients = self.module.loss_and_gradients(self.model, **self._batch(rows), step=step)
        return {"loss": float(loss), "gradients": dict(gradients)}

    def trace(self, rows: Any, training: bool, step: int) -> Arrays:
        """Every named value of some rows of the training part."""
        batch = self._batch(rows)
        values = self.module.trace(
            self.model, batch["inputs"], batch["targets"], training=training, step=step
        )
        return dict(values)

    def inspect(self, parameters: Arrays, rows: Any, step: int) -> dict[str, Any]:
        """Every value, the loss and the gradients at ``parameters``; the model stays put."""
        before = dict(self.module.get_parameters(self.model))
        self.module.set_parameters(self.model, parameters)
        result = {"activations": self.trace(rows, True, step), **self.gradients(rows, step)}
        self.module.set_parameters(self.model, before)
        return result

    def fit(self, epochs: int, batch_size: int) -> dict[str, list[float]]:
        """Trains on the training part; the history."""
        train, validation = self._data["train"], self._data.get("validation")
        history = self.trainer.fit(
            train["inputs"],
            train["targets"],
            validation=(validation["inputs"], validation["targets"]) if validation else None,
            epochs=epochs,
            batch_size=batch_size,
            on_step=None,
            on_epoch=None,
        )
        return {name: [float(value) for value in values] for name, values in history.items()}

    def train(
        self,
        epochs: int,
        batch_size: int,
        folder: str,
        key: str,
        every: dict[str, float],
        save_end: bool = False,
    ) -> dict[str, Any]:
        """Trains on from the folder's checkpoint, if it has one, and writes more on the way.

        What has been reached (see `Resumable.run`), or under ``broken`` what `breakdown.examine`
        found where the loss is no number any more.
        """
        resumable = neighbour("resumable")
        training = resumable.Resumable(
            neighbour("checkpoint"),
            neighbour("atomic", "..").replacing,
            self.module,
            self.model,
            self.trainer,
            folder=Path(folder),
            key=key,
            every=every,
            save_end=save_end,
            stop=self.stopping,
            emit=self._emit,
        )
        if (found := self._kept(folder, key)) is not None:
            training.resume(found)
        train, validation = self._data["train"], self._data.get("validation")
        try:
            return dict(training.run(train, validation, epochs, batch_size))
        except resumable.NotFiniteError:
            reached = int(np.asarray(self.trainer.state()["step"]))
        self._rebuild()
        if (found := self._kept(folder, key)) is not None:
            resumable.place(self.module, self.model, self.trainer, found)
        examine = neighbour("breakdown").examine
        report = examine(self.module, self.model, self.trainer, train, epochs, batch_size)
        return {"broken": report, "step": reached}

    @staticmethod
    def _kept(folder: str, key: str) -> Any:
        return neighbour("checkpoint").latest(Path(folder), key)[0]

    def parameters(self) -> Arrays:
        """Parameters and running statistics, as they stand."""
        return dict(self.module.get_parameters(self.model))

    def save(self, path: str) -> None:
        """Writes the weights as safetensors, in one move."""
        neighbour("checkpoint").save_by(
            lambda draft: self.module.save(self.model, draft), Path(path)
        )

    def evaluate(self, part: str) -> dict[str, float]:
        """Loss and metrics on one part of the data."""
        data = self._data[part]
        scores = self.trainer.evaluate(data["inputs"], data["targets"])
        return {name: float(value) for name, value in scores.items()}

    def predict(
        self, inputs: Arrays, batch_size: int | None = None, parameters: Arrays | None = None
    ) -> Arrays:
        """The outputs for ``inputs``, in inference mode; with ``parameters`` put in first."""
        if parameters is not None:
            self.module.set_parameters(self.model, parameters)
        outputs = self.module.predict(self.model, inputs, batch_size)
        return {name: np.asarray(value) for name, value in outputs.items()}

    def _batch(self, rows: Any) -> dict[str, Any]:
        part = self._data["train"]
        batch: dict[str, Any] = {
            kind: {name: array[rows] for name, array in part[kind].items()}
            for kind in ("inputs", "targets")
        }
        if "sample_weights" in part:
            batch["sample_weights"] = part["sample_weights"][rows]
        return batch


def _environment() -> dict[str, str]:
    """The versions of what the file imported, and the machine."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in ("numpy", "torch", "tensorflow", "keras", "jax"):
        if (module := sys.modules.get(name)) is not None:
            found[name] = str(getattr(module, "__version__", "unknown"))
    return found | {"processors": str(os.cpu_count())}


def _take_over_streams() -> tuple[BinaryIO, BinaryIO]:
    """Requests and replies on private copies of the standard streams, safe from any print."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return requests, replies


def _describe(error: Exception) -> dict[str, str]:
    """What failed, told from the generated file on: how it was loaded is of no interest."""
    inside = error.__traceback__
    while inside is not None and not _is_generated(inside.tb_frame.f_code.co_filename):
        inside = inside.tb_next
    told = traceback.format_exception(type(error), error, inside or error.__traceback__)
    missing = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    unwritable = type(error).__name__ == "UnwritableError"
    return {
        "unwritable": str(error) if unwritable else "",
        "kind": type(error).__name__,
        "message": str(error),
        "missing": missing,
        "traceback": "".join(told),
    }


def _is_generated(filename: str) -> bool:
    return Path(filename).parent != Path(__file__).parent and not filename.startswith("<")


def main(kind: type[Session] = Session) -> None:
    """Answers requests until the other side closes the stream; ``kind`` may know more commands."""
    requests, replies = _take_over_streams()
    # A terminal sends these to all processes of a command; it is the parent that decides.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.dont_write_bytecode = True  # a run folder holds what its readers expect and no more
    sys.meta_path.insert(0, NoSpecc())
    wire = neighbour("wire")
    session = kind(lambda event: wire.send(replies, {"event": event}))
    inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    listen = threading.Thread(target=_listen, args=(wire, requests, inbox, session), daemon=True)
    listen.start()
    while True:
        request = inbox.get()
        command = getattr(session, request.pop("command"))
        try:
            reply = {"result": command(**request)}
        except Exception as error:
            reply = {"error": _describe(error)}
        wire.send(replies, reply)


def _listen(
    wire: Any, requests: BinaryIO, inbox: queue.SimpleQueue[dict[str, Any]], session: Session
) -> None:
    try:
        while (request := wire.receive(requests)) is not None:
            if request["command"] == "stop":
                session.stopping.set()
            else:
                inbox.put(request)
    except Exception:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # there is nobody left to answer, and what is half-written has no name yet


if __name__ == "__main__":
    main()

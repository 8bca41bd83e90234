"""Networks that are trained beside real Keras and hand-written PyTorch: how far apart they end.

A folder is made per network: its generated files, the training rows and how long to train. Each
framework's runs go through one process of its own: generated_run.py and the two oracles.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from specc.compiler import compile_program, load_program
from specc.runner.experiment import load_data
from specc.runner.measure import is_statistic, statistics_differences, travelled_difference

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
BACKENDS = ("numpy", "torch", "tensorflow")
ORACLES = {"keras": "keras_networks.py", "pytorch": "torch_networks.py"}

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Network:
    """A spec, the convention whose framework is its oracle, and the example whose rows it takes."""

    name: str
    conventions: str
    spec: Path
    data: str

    @property
    def id(self) -> str:
        return f"{self.name}-{self.conventions}"


@dataclass(frozen=True)
class Length:
    """How long to train: ``batches`` in an epoch, the last one partial."""

    epochs: int
    batches: int
    batch_size: int | None = None

    @property
    def steps(self) -> int:
        return self.epochs * self.batches


EXAMPLE_NAMES = ("mlp", "mnist_cnn", "speech_lstm", "text_lstm")
NETWORKS = {
    network.id: network
    for network in (
        *(Network(name, "keras", EXAMPLES / f"{name}.yaml", name) for name in EXAMPLE_NAMES),
        Network("regularized", "keras", HERE / "specs/regularized.yaml", "mnist_cnn"),
        Network("tagger", "keras", HERE / "specs/tagger.yaml", "text_lstm"),
        *(Network(name, "pytorch", HERE / f"specs/{name}.yaml", name) for name in EXAMPLE_NAMES),
    )
}


def prepare(network: Network, length: Length, folder: Path) -> None:
    """Writes BACKEND.py of each backend and data.npz with the rows and the length of the run."""
    sets = {} if length.batch_size is None else {"training.batch_size": str(length.batch_size)}
    program, _ = load_program(network.spec, sets)
    for backend in BACKENDS:
        (folder / f"{backend}.py").write_text(compile_program(program, backend))
    example, _ = load_program(EXAMPLES / f"{network.data}.yaml")
    part = load_data(example, EXAMPLES, "float64").train
    assert program.training is not None
    batch = program.training.batch_size
    rows = min(length.batches * batch - batch // 2, len(part))
    assert (length.batches - 1) * batch < rows < length.batches * batch, "the last batch is partial"
    held = part.inputs | part.targets
    if network.name == "tagger":
        held["tags"] = held["words"] % 4
    arrays = {
        f"{kind}/{value.name}": held[value.name][:rows].reshape(rows, *value.type.shape[1:])
        for kind, values in (("inputs", program.inputs), ("targets", program.targets))
        for value in values
    }
    np.savez(folder / "data.npz", epochs=length.epochs, batch_size=batch, **arrays)


def train(folders: dict[str, Path], keras_backend: str = "torch") -> None:
    """Runs the generated files in the folders by network, then their oracles.

    ``keras_backend`` is what Keras runs on as an oracle: torch or jax, where its optimizers are
    exact in float64.
    """
    run("generated_run.py", "numpy", *folders.values())  # the oracles start from its parameters
    keras = {"KERAS_BACKEND": keras_backend, "JAX_ENABLE_X64": "1"}
    with ThreadPoolExecutor() as pool:
        runs = [
            pool.submit(run, "generated_run.py", backend, *folders.values())
            for backend in BACKENDS[1:]
        ]
        for conventions, script in ORACLES.items():
            own = [f for key, f in folders.items() if NETWORKS[key].conventions == conventions]
            variables = keras if conventions == "keras" else {}
            runs += [pool.submit(run, script, *own, **variables)] if own else []
        for each in runs:
            each.result()


def run(script: str, *arguments: object, **variables: str) -> None:
    """Runs a script of this folder in a process of its own, with environment variables."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **variables}
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{script} failed:\n{done.stderr}")


def outcome(folder: Path, run_name: str) -> dict[str, Arrays]:
    """``{"start", "end", "history"}`` of one run of a folder."""
    found: dict[str, Arrays] = {}
    for key, array in np.load(folder / f"{run_name}.npz").items():
        part, name = key.split("/")
        found.setdefault(part, {})[name] = array
    return found


def differences(folder: Path, backend: str) -> dict[str, float]:
    """How far a backend's file ends from the oracle: of each parameter, and of the epochs' losses.

    Parameters and running statistics are measured as ``specc compare`` does.
    """
    file, oracle = outcome(folder, backend), outcome(folder, "oracle")
    start, end, wanted = file["start"], file["end"], oracle["end"]
    assert end.keys() == wanted.keys(), (sorted(end), sorted(wanted))
    found = {
        name: travelled_difference(array, wanted[name], start[name])
        for name, array in end.items()
        if not is_statistic(name)
    }
    found |= statistics_differences(end, wanted, epsilon=1e-5)
    losses, expected = file["history"]["loss"], oracle["history"]["loss"]
    return found | {"loss": float(np.max(np.abs(losses - expected) / np.abs(expected)))}


def movement(folder: Path) -> dict[str, float]:
    """How far each parameter moved, as a share of its norm at the end."""
    run = outcome(folder, "oracle")
    start = outcome(folder, "numpy")["start"]
    return {
        name: float(np.linalg.norm(array - start[name]) / np.linalg.norm(array))
        for name, array in run["end"].items()
    }

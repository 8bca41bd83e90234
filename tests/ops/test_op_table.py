"""Every sample of every op, built and run on each backend: types, values, gradients and messages.

A case is a spec around one op: float inputs pass through a dense layer, whose gradient shows that
of the op's input. Each backend's files run in one process of their own.
"""

import json
import os
import subprocess
import sys
import traceback
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from specc.diagnostics import Source, SpecError
from specc.frontend.build import build_program
from specc.frontend.yaml_reader import read_yaml
from specc.ir.dims import evaluate
from specc.ir.graph import Program, Value
from specc.ir.types import TensorType
from specc.ops.base import BadSample, Op, Sample
from specc.ops.losses import LOSSES
from specc.ops.registry import OPS
from specc.passes import run_passes
from specc.passes.indifferent import indifferent
from specc.plugins import find_backend

TEXTBOOK = "textbook"  # NumPy without optimisation
BACKENDS = ("numpy", TEXTBOOK, "torch", "tensorflow")
SIZES = {"batch": 3, "T": 4}  # what the sizes that are free when compiling are here
TOLERANCE = 1e-12


def writer(backend: str) -> str:
    """The backend that writes a file."""
    return "numpy" if backend == TEXTBOOK else backend


@dataclass(frozen=True)
class Case:
    """A spec to build and run."""

    name: str
    spec: dict[str, Any]
    integers: int = 5  # integer inputs are below this

    @property
    def text(self) -> str:
        return json.dumps(self.spec)

    def program(self) -> Program:
        return build_program(read_yaml(Source(f"{self.name}.yaml", self.text)))[0]


def declared(kind: TensorType) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else str(size) for size in kind.shape[1:]]
    return {"shape": shape, "dtype": kind.dtype}


def one_op_spec(op: Op, sample: Sample | BadSample) -> dict[str, Any]:
    """The op as the only layer ``y`` behind probes: dense layers that are as wide as its inputs."""
    inputs, layers, wires = {}, [], []
    for index, kind in enumerate(sample.inputs):
        if kind is None:
            continue
        inputs[f"x{index}"] = declared(kind)
        name = f"x{index}"
        if kind.dtype == "float" and kind.rank > 1:
            name = f"probe{index}"
            units = kind.shape[-1]
            layers.append({"name": name, "dense": {"units": units}, "from": f"x{index}"})
        wires.append(name)
    many = bool(op.ports) and op.ports[0].many
    ports = [port.name for port, kind in zip(op.ports, sample.inputs, strict=False) if kind]
    source = wires if many else dict(zip(ports, wires, strict=True))
    layers.append({"name": "y", op.kind: dict(sample.attributes), "from": source})
    return {
        "specc": 1,
        "name": "case",
        "conventions": sample.conventions,
        "dtype": "float64",
        "inputs": inputs,
        "layers": layers,
        "outputs": ["y"],
    }


def trained(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec with a squared error of its output to train on."""
    program = build_program(read_yaml(Source("case.yaml", json.dumps(spec))))[0]
    (output,) = program.outputs.values()
    return spec | {
        "targets": {"target": declared(output.type)},
        "training": {
            "loss": {"mean_squared_error": {"prediction": "y", "target": "target"}},
            "optimizer": {"sgd": {"learning_rate": 0.1}},
        },
    }


def loss_spec(op: Op, sample: Sample) -> dict[str, Any]:
    """A loss on values in (0, 1) that no activation right before it can be fused into."""
    prediction, target = sample.inputs
    assert prediction is not None and target is not None
    source, units = prediction, prediction.shape[-1]
    if prediction.rank == 1:  # one number per sample, out of three
        source, units = TensorType("float", (*prediction.shape, 3)), 1
    shape = [size if isinstance(size, int) else -1 for size in prediction.shape[1:]]
    return {
        "specc": 1,
        "name": "case",
        "conventions": sample.conventions,
        "dtype": "float64",
        "inputs": {"x0": declared(source)},
        "targets": {"target": declared(target)},
        "layers": [
            {"dense": {"units": units, "activation": "sigmoid"}},
            {"name": "y", "reshape": {"target_shape": shape}},
        ],
        "training": {
            "loss": {op.kind: {"prediction": "y", "target": "target", **sample.attributes}},
            "optimizer": {"sgd": {"learning_rate": 0.1}},
        },
    }


def classes(op: Op, sample: Sample) -> int:
    """Labels are below this: as many as the prediction has classes, or two."""
    prediction = sample.inputs[0]
    assert prediction is not None
    size = prediction.shape[sample.attributes.get("axis", -1)]
    return size if isinstance(size, int) and "binary" not in op.kind else 2


def masked_spec(layers: list[dict[str, Any]], **inputs: list[int | str]) -> dict[str, Any]:
    """Layers behind embeddings whose id 0 is padding."""
    return {
        "specc": 1,
        "name": "case",
        "dtype": "float64",
        "inputs": {name: {"shape": shape, "dtype": "int"} for name, shape in inputs.items()},
        "layers": layers,
        "outputs": ["y"],
    }


def embed(name: str, source: str, mask: bool = True) -> dict[str, Any]:
    attributes = {"input_dim": 5, "output_dim": 4, "mask_zero": mask}
    return {"name": name, "embedding": attributes, "from": source}


def cases() -> list[Case]:
    """Every sample, and masks on their way through the ops that take or join them."""
    found = []
    for op in OPS.values():
        for index, sample in enumerate(op.samples):
            name = f"{op.kind}-{index}"
            if op.kind in LOSSES:
                found.append(Case(name, loss_spec(op, sample), classes(op, sample)))
            elif not op.internal:
                found.append(Case(name, trained(one_op_spec(op, sample))))
    two = {"a": [6], "b": [6]}
    halves = [embed("left", "a"), embed("right", "b"), embed("whole", "b", mask=False)]
    mean = {"name": "y", "global_average_pool1d": {}}
    masked = {
        "batch_norm": ([embed("e", "a"), {"name": "y", "batch_norm": {}}], {"a": [6]}),
        "global_average_pool1d": ([embed("e", "a"), mean], {"a": [6]}),
        "add": ([*halves[:2], {"add": {}, "from": ["left", "right"]}, mean], two),
        "multiply": ([*halves[:2], {"multiply": {}, "from": ["left", "right"]}, mean], two),
        "multiply-unmasked": ([*halves, {"multiply": {}, "from": ["left", "whole"]}, mean], two),
        "add-unmasked": ([*halves, {"add": {}, "from": ["left", "whole"]}, mean], two),
        "concatenate": ([*halves[:2], {"concatenate": {}, "from": ["left", "right"]}, mean], two),
        "concatenate-steps": (
            [*halves, {"concatenate": {"axis": 1}, "from": ["left", "whole", "right"]}, mean],
            two,
        ),
        "concatenate-free-steps": (
            [*halves[:2], {"concatenate": {"axis": 1}, "from": ["left", "right"]}, mean],
            {"a": ["T"], "b": [6]},
        ),
        "dropout": ([embed("e", "a"), {"dropout": {"rate": 0.5}}, mean], {"a": [6]}),
        "layer_norm": ([embed("e", "a"), {"layer_norm": {}}, mean], {"a": [6]}),
    }
    for name, (layers, inputs) in masked.items():
        found.append(Case(f"masked-{name}", trained(masked_spec(layers, **inputs))))
    return found


CASES = {case.name: case for case in cases()}


def batch(program: Program, case: Case) -> dict[str, np.ndarray]:
    """Random inputs and targets; the first step of a sequence is no padding."""
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    arrays = {}
    for value in (*program.inputs, *program.targets):
        shape = actual_shape(value)
        if value.type.dtype == "int":
            ids = rng.integers(0, case.integers, shape)
            if len(shape) > 1:
                ids[:, 0] = 1
            arrays[value.name] = ids
        elif value.type.dtype == "bool":
            arrays[value.name] = rng.random(shape) < 0.7
            arrays[value.name][:, 0] = True
        elif value in program.targets:
            arrays[value.name] = rng.uniform(0, 1, shape)
        else:
            arrays[value.name] = rng.standard_normal(shape)
    return arrays


def actual_shape(value: Value) -> tuple[Any, ...]:
    return tuple(evaluate(size, SIZES) for size in value.type.shape)


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """{backend: {case: arrays, or the traceback}} of all cases."""
    folder = tmp_path_factory.mktemp("op_table")
    failed: dict[tuple[str, str], str] = {}
    for case in CASES.values():
        program = case.program()
        np.savez(folder / f"{case.name}.npz", **batch(program, case))
        lowered = run_passes(program)
        for backend in BACKENDS:
            try:
                source = find_backend(writer(backend)).emit(
                    replace(lowered, optimize=0) if backend == TEXTBOOK else lowered
                )
            except Exception:
                failed[backend, case.name] = traceback.format_exc()
            else:
                (folder / f"{case.name}_{backend}.py").write_text(source)
    worker = Path(__file__).parent / "op_table_worker.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    for backend in BACKENDS:
        command = [sys.executable, str(worker), backend, str(folder)]
        subprocess.run(command, check=True, env=environment, capture_output=True)
    return {
        backend: {
            name: failed.get((backend, name)) or read(folder / f"{name}_{backend}.npz")
            for name in CASES
        }
        for backend in BACKENDS
    }


def read(path: Path) -> dict[str, np.ndarray] | str:
    return dict(np.load(path)) if path.exists() else path.with_suffix(".txt").read_text()


def found(results: dict[str, dict[str, Any]], backend: str, case: str) -> dict[str, np.ndarray]:
    result = results[backend][case]
    if isinstance(result, str):
        pytest.fail(f"{case} on {backend}: {result}", pytrace=False)
    return result


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CASES)
def test_types_are_as_inferred(name: str, backend: str, results: Any) -> None:
    arrays = found(results, backend, name)
    program = CASES[name].program()
    values = [v for node in program.graph.nodes for v in node.outputs if not v.internal]
    for value in values:
        for part in ("inference", "training"):
            array = arrays[f"{part}/{value.name}"]
            assert array.shape == actual_shape(value), value.name
            assert array.dtype == np.float64, value.name


@pytest.mark.parametrize("backend", BACKENDS[1:])
@pytest.mark.parametrize("name", CASES)
def test_backends_agree(name: str, backend: str, results: Any) -> None:
    first, other = found(results, "numpy", name), found(results, backend, name)
    first = {k: v for k, v in first.items() if k.partition("/")[0] not in ("places", "slopes")}
    assert first.keys() == other.keys()
    noise = {f"gradient/{path}" for path in indifferent(CASES[name].program())}
    whole = np.sqrt(sum((v**2).sum() for k, v in first.items() if k.startswith("gradient/")))
    for key, array in first.items():
        if key in noise:  # the true gradient is zero
            assert max(np.abs(array).max(), np.abs(other[key]).max()) <= TOLERANCE * whole, key
            continue
        if key.startswith("initial/"):
            assert np.array_equal(array, other[key]), key
        scale = max(np.abs(array).max(initial=0.0), 1e-3)
        assert np.abs(array - other[key]).max(initial=0.0) <= TOLERANCE * scale, key


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_differences(name: str, results: Any) -> None:
    arrays, program = found(results, "numpy", name), CASES[name].program()
    noise = indifferent(program)  # test_backends_agree judges it
    for path, parameter in program.graph.parameters():
        if not parameter.trainable or path in noise:
            continue
        gradient, places = arrays[f"gradient/{path}"], arrays[f"places/{path}"]
        slopes = arrays[f"slopes/{path}"]
        if parameter.zero_row is not None:  # it has a slope, but by definition no gradient
            slopes = np.where(places // parameter.shape[-1] == parameter.zero_row, 0, slopes)
        scale = max(np.abs(gradient).max(), 1e-3)
        assert np.abs(gradient.flat[places] - slopes).max() <= 1e-6 * scale, path


BAD = {
    f"{op.kind}-{index}": (op, bad)
    for op in OPS.values()
    if op.kind not in LOSSES
    for index, bad in enumerate(op.bad)
}


@pytest.mark.parametrize("name", BAD)
def test_bad_samples_say_what_is_wrong(name: str) -> None:
    op, bad = BAD[name]
    spec = one_op_spec(op, bad)
    with pytest.raises(SpecError) as caught:
        build_program(read_yaml(Source("bad.yaml", json.dumps(spec))))
    messages = [each.message for each in caught.value.diagnostics]
    assert len(messages) == 1
    assert bad.message in messages[0]


@pytest.mark.parametrize("kind", [kind for kind, op in OPS.items() if not op.internal])
def test_rows_are_complete(kind: str) -> None:
    op = OPS[kind]
    assert op.samples and op.doc and op.family
    assert all(attribute.doc for attribute in op.attributes)
    assert all(op.lowering(writer(backend)) for backend in BACKENDS)

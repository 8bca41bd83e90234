"""One layer, or one loss, at a time: the spec around it, and what its generated file computes.

Float inputs pass through a dense layer first, whose gradient shows that of the layer's input. The
attributes go to the oracle as the sample has them: the framework's own defaults fill in the rest.
"""

import importlib.util
import json
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from specc.compiler import compile_program
from specc.diagnostics import Source
from specc.frontend.build import build_program
from specc.frontend.yaml_reader import read_yaml
from specc.ir.dims import BATCH, evaluate
from specc.ir.graph import Program
from specc.ir.types import TensorType
from specc.ops.base import Sample
from specc.ops.losses import LOSSES
from specc.ops.registry import OPS

# Unlike any other size: Keras on TensorFlow adds (n, 1, 1) to (n, n, m) along the wrong axis.
ROWS = 3
WEIGHTS = (0.5, 2.0, 0.0)  # of the rows, where a loss is weighted
Arrays = dict[str, np.ndarray]


def floats(*shape: int) -> TensorType:
    return TensorType("float", (BATCH, *shape))


STEPS = TensorType("bool", (BATCH, 5))
# Beside the samples of the op table.
FURTHER = {
    "keras": [
        ("batch_norm", Sample((floats(5, 4), STEPS))),
        ("batch_norm", Sample((floats(5, 4), STEPS), {"momentum": 0.5, "center": False})),
        ("conv2d", Sample((floats(8, 9, 3),), {"filters": 2, "kernel_size": 4, "strides": 3})),
        ("average_pool1d", Sample((floats(7, 2),), {"pool_size": 2})),
        ("average_pool2d", Sample((floats(7, 6, 2),), {"pool_size": [3, 2], "strides": 1})),
        ("global_average_pool1d", Sample((floats(5, 3), STEPS))),
        ("lstm", Sample((floats(5, 3), None, None, STEPS), {"units": 3, "bidirectional": True})),
        ("leaky_relu", Sample((floats(6),), {"negative_slope": 0.25})),
        ("softmax", Sample((floats(4, 6),))),
    ],
    "pytorch": [
        ("average_pool1d", Sample((floats(3, 9),), {"pool_size": 3, "strides": 2}, "pytorch")),
        ("conv1d", Sample((floats(3, 9),), {"filters": 4, "kernel_size": 3}, "pytorch")),
        (
            "conv2d",
            Sample(
                (floats(4, 8, 7),),
                {"filters": 6, "kernel_size": 3, "strides": 2, "padding": 1, "groups": 2},
                "pytorch",
            ),
        ),
        (
            "conv2d",
            Sample(
                (floats(2, 9, 9),),
                {"filters": 3, "kernel_size": 3, "dilation": 2, "padding": "same"},
                "pytorch",
            ),
        ),
        ("elu", Sample((floats(6),), {}, "pytorch")),
        ("flatten", Sample((floats(2, 3, 4),), {}, "pytorch")),
        ("gelu", Sample((floats(6),), {}, "pytorch")),
        ("gelu", Sample((floats(6),), {"approximate": True}, "pytorch")),
        ("layer_norm", Sample((floats(5, 4),), {}, "pytorch")),
        ("leaky_relu", Sample((floats(6),), {}, "pytorch")),
        (
            "lstm",
            Sample(
                (floats(5, 3), None, None, None),
                {"units": 4, "bidirectional": True, "return_state": True},
                "pytorch",
            ),
        ),
        (
            "gru",
            Sample((floats(5, 3), floats(4), None), {"units": 4, "return_state": True}, "pytorch"),
        ),
        ("max_pool1d", Sample((floats(3, 9),), {"pool_size": 3, "padding": 1}, "pytorch")),
        ("max_pool2d", Sample((floats(3, 9, 8),), {}, "pytorch")),
        ("sigmoid", Sample((floats(6),), {}, "pytorch")),
        ("softplus", Sample((floats(6),), {}, "pytorch")),
        ("tanh", Sample((floats(6),), {}, "pytorch")),
        ("relu", Sample((floats(6),), {}, "pytorch")),
        *(
            (kind, Sample((floats(4, 2), floats(4, 2)), {}, "pytorch"))
            for kind in ("mean_squared_error", "mean_absolute_error", "huber")
        ),
    ],
}


@dataclass(frozen=True)
class Case:
    """A kind of layer or loss in one use."""

    name: str
    kind: str
    sample: Sample = field(repr=False)
    # Whether probabilities are to come close to 0 and 1.
    saturated: bool = False

    @property
    def conventions(self) -> str:
        return self.sample.conventions

    @property
    def is_loss(self) -> bool:
        return self.kind in LOSSES


def has_counterpart(case: Case) -> bool:
    """Whether the framework has a layer or loss of this meaning."""
    given, inputs = case.sample.attributes, case.sample.inputs
    padded_pool = "_pool" in case.kind and not isinstance(given.get("padding", "valid"), str)
    smoothed = given.get("label_smoothing", 0) > 0
    if case.kind == "dropout":  # its masks are specc's own
        return False
    if case.conventions == "keras":
        return not padded_pool and not (smoothed and case.kind.startswith("sparse"))
    lists = padded_pool and isinstance(given["padding"], list)
    probabilities = "crossentropy" in case.kind and not given.get("from_logits")
    masked = any(kind is not None and kind.dtype == "bool" for kind in inputs)
    same_pool = "_pool" in case.kind and given.get("padding") == "same"
    return not (lists or same_pool or probabilities or masked)


def cases(conventions: str) -> dict[str, Case]:
    """The op table's samples under a convention, and some more, where the framework has them."""
    found = {}
    for kind, op in OPS.items():
        further = [each for name, each in FURTHER[conventions] if name == kind]
        if op.internal and kind not in LOSSES:
            continue
        for index, sample in enumerate((*op.samples, *further)):
            case = Case(f"{kind}-{index}", kind, replace(sample, inputs=sized(sample.inputs)))
            if sample.conventions == conventions and has_counterpart(case):
                found[case.name] = case
                # Keras' sparse form on TensorFlow clips first and divides by the sum then, unlike
                # its categorical one and both forms on its other backends.
                if case.is_loss and not kind.startswith("sparse"):
                    name = f"{case.name}-saturated"
                    found[name] = replace(case, name=name, saturated=True)
    return found


def sized(types: tuple[TensorType | None, ...]) -> tuple[TensorType | None, ...]:
    """The types with numbers for the sizes that are free when compiling."""
    return tuple(
        kind
        and TensorType(kind.dtype, (BATCH, *(evaluate(size, {"T": 4}) for size in kind.shape[1:])))
        for kind in types
    )


def declared(kind: TensorType) -> dict[str, Any]:
    return {"shape": list(kind.shape[1:]), "dtype": kind.dtype}


def layer_spec(case: Case) -> dict[str, Any]:
    """The layer behind its probes, all its outputs compared with targets by squared error."""
    op, types = OPS[case.kind], case.sample.inputs
    inputs: dict[str, Any] = {}
    layers: list[dict[str, Any]] = []
    wires = {}
    for index, (port, kind) in enumerate(zip((*op.ports, *op.ports * 9), types, strict=False)):
        if kind is None:
            continue
        name = f"x{index}"
        inputs[name] = declared(kind)
        if kind.dtype == "float":
            probe = f"probe{index}"
            layers.append({"name": probe, "dense": {"units": kind.shape[-1]}, "from": name})
            name = probe
        wires[f"{port.name}{index}" if port.many else port.name] = name
    source = list(wires.values()) if op.ports[0].many else wires
    layers.append({"name": "y", case.kind: dict(case.sample.attributes), "from": source})
    spec = {
        "specc": 1,
        "name": "case",
        "conventions": case.conventions,
        "dtype": "float64",
        "inputs": inputs,
        "layers": layers,
        "outputs": ["y"],
    }
    (node,) = (n for n in program(spec | _untrained()).graph.nodes if n.path == "y")
    if len(node.outputs) > 1:
        names = [f"y{index}" for index in range(len(node.outputs))]
        layers[-1] = {**layers[-1], "outputs": names}
        spec["outputs"] = names
    outputs = dict(zip(spec["outputs"], node.outputs, strict=True))
    losses = [
        {"mean_squared_error": {"prediction": name, "target": f"t_{name}"}} for name in outputs
    ]
    targets = {f"t_{name}": declared(value.type) for name, value in outputs.items()}
    return spec | {"targets": targets, "training": training(losses)}


def loss_spec(case: Case) -> dict[str, Any]:
    """The loss of values in (0, 1) that no activation right before it can be fused into."""
    prediction, target = case.sample.inputs
    assert prediction is not None and target is not None
    source, units = prediction, prediction.shape[-1]
    if prediction.rank == 1:  # one number per sample, out of three
        source, units = floats(3), 1
    loss = {"prediction": "y", "target": "t_y", **case.sample.attributes}
    return {
        "specc": 1,
        "name": "case",
        "conventions": case.conventions,
        "dtype": "float64",
        "inputs": {"x0": declared(source)},
        "targets": {"t_y": declared(target)},
        "layers": [
            {"name": "probe0", "dense": {"units": units, "activation": "sigmoid"}},
            {"name": "y", "reshape": {"target_shape": list(prediction.shape[1:])}},
        ],
        "outputs": ["y"],
        "training": training([{case.kind: loss}]),
    }


def training(losses: list[dict[str, Any]]) -> dict[str, Any]:
    return {"loss": losses, "optimizer": {"sgd": {"learning_rate": 0.1}}}


def _untrained() -> dict[str, Any]:
    return {"targets": {}}


def program(spec: dict[str, Any]) -> Program:
    return build_program(read_yaml(Source("case.yaml", json.dumps(spec))))[0]


def write(case: Case, folder: Path) -> dict[str, Arrays]:
    """Writes arrays.npz and case.json for the oracle; gives what the generated file computes."""
    spec = loss_spec(case) if case.is_loss else layer_spec(case)
    folder.mkdir()
    (folder / "numpy.py").write_text(compile_program(program(spec), "numpy"))
    file = load(folder / "numpy.py")
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    inputs = {name: draw(rng, declared) for name, declared in spec["inputs"].items()}
    targets = {name: draw(rng, declared) for name, declared in spec["targets"].items()}
    if case.is_loss and case.kind != "sparse_categorical_crossentropy":
        targets = {name: labels(case, rng, array) for name, array in targets.items()}
    model = file.build()
    parameters = {
        name: rng.uniform(0.5, 1.5, array.shape)
        if "variance" in name
        else rng.standard_normal(array.shape)
        for name, array in file.get_parameters(model).items()
    }
    # Scores of standard normal kernels saturate the softmax of attention: its gradients cancel.
    factor = 12.0 if case.saturated else 0.5 if case.kind == "multi_head_attention" else 1.0
    parameters = {name: factor * array for name, array in parameters.items()}
    description = {
        "kind": case.kind,
        "attributes": dict(case.sample.attributes),
        "inputs": [kind and [kind.dtype, *kind.shape[1:]] for kind in case.sample.inputs],
        "outputs": spec["outputs"],
        "loss": case.is_loss,
        "weights": list(WEIGHTS),
    }
    (folder / "case.json").write_text(json.dumps(description))
    groups = {"inputs": inputs, "targets": targets, "parameters": parameters}
    np.savez(
        folder / "arrays.npz",
        **{f"{group}/{name}": a for group, held in groups.items() for name, a in held.items()},
    )
    file.set_parameters(model, parameters)
    weighted = {}
    if case.is_loss and case.conventions == "keras" and case.sample.inputs[0].rank > 1:
        loss, _ = file.loss_and_gradients(model, inputs, targets, np.array(WEIGHTS))
        weighted = {"weighted": np.array(loss)}
    found = computed(file, model, inputs, targets)
    return {**found, "loss": found["loss"] | weighted}


def draw(rng: np.random.Generator, declared: dict[str, Any]) -> np.ndarray:
    """Random values; the first step of every sequence counts."""
    shape = (ROWS, *declared["shape"])
    if declared["dtype"] == "int":
        return rng.integers(0, 4, shape)
    if declared["dtype"] == "bool":
        mask = rng.integers(0, 2, shape).astype(bool)
        mask[..., 0] = True
        return mask
    return rng.standard_normal(shape)


def labels(case: Case, rng: np.random.Generator, array: np.ndarray) -> np.ndarray:
    """Targets of a loss: labels of 0 and 1, or numbers in between, of sum 1 over the classes."""
    if array.dtype != float:
        return array % 2
    drawn = rng.uniform(0, 1, array.shape)
    if case.kind != "categorical_crossentropy":
        return drawn
    axis = case.sample.attributes.get("axis", -1 if case.conventions == "keras" else 1)
    return drawn / drawn.sum(axis, keepdims=True)


def computed(file: Any, model: Any, inputs: Arrays, targets: Arrays) -> dict[str, Arrays]:
    loss, gradients = file.loss_and_gradients(model, inputs, targets)
    values = file.trace(model, inputs, targets, training=True)
    found = {
        "loss": {"total": np.array(loss)},
        "gradient": gradients,
        "inference": file.predict(model, inputs),
        "training": {name: values[name] for name in file.OUTPUTS},
    }
    file.Trainer(model).step(inputs, targets)
    statistics = file.get_parameters(model).items()
    return found | {"statistics": {name: a for name, a in statistics if "moving" in name}}


def load(path: Path) -> Any:
    description = importlib.util.spec_from_file_location("generated", path)
    assert description is not None and description.loader is not None
    module = importlib.util.module_from_spec(description)
    description.loader.exec_module(module)
    return module


def read(folder: Path) -> dict[str, Arrays] | str:
    """What the oracle computed, or why it could not."""
    if not (folder / "arrays.npz").exists():
        return "there is nothing to compare with"
    if (failure := folder / "oracle.txt").exists():
        return failure.read_text()
    found: dict[str, Arrays] = {"statistics": {}}
    for key, array in np.load(folder / "oracle.npz").items():
        group, name = key.split("/")
        found.setdefault(group, {})[name] = array
    return found

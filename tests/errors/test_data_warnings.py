"""Warnings about data: each is given where it is right and nowhere near, and a spec can silence
it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from specc.compiler import load_program
from specc.runner.experiment import load_checked

EXAMPLES = Path(__file__).parents[2] / "examples"
SOFTMAX = "{name: y, dense: {units: 3, activation: softmax}}"


def data_names(path: Path, text: str, **arrays: np.ndarray) -> list[str]:
    path.write_text(text, encoding="utf-8")
    np.savez(path.parent / "rows.npz", **arrays)
    program, warnings = load_program(path)
    return [each.name for each in (*warnings, *load_checked(program, path.parent)[1])]


def data_spec(layers: str, target: str, loss: str, rest: str = "", training: str = "") -> str:
    return (
        f"specc: 1\nname: net\ninputs: {{x: {{shape: [4]}}}}\ntargets: {{t: {target}}}\n"
        f"layers: [{layers}]\n"
        f"training: {{loss: {{{loss}: {{prediction: y, target: t}}}}{training}}}\n"
        f"data: {{source: npz, path: rows.npz, inputs: {{x: x}}, targets: {{t: t}}{rest}}}\n"
    )


LABELS = "{shape: [], dtype: int}"


@pytest.mark.parametrize(
    ("text", "target", "found"),
    [
        (data_spec(SOFTMAX, LABELS, "cross_entropy"), [0, 1, 2, 2], []),
        (data_spec(SOFTMAX, LABELS, "cross_entropy"), [0, 2, 2, 2], ["missing_classes"]),
        (
            data_spec(SOFTMAX, "{shape: [3]}", "categorical_crossentropy"),
            [[1, 0, 0], [0, 0, 1], [0, 0, 1], [1, 0, 0]],
            ["missing_classes"],
        ),
        (
            data_spec(
                "{name: y, dense: {units: 1, activation: sigmoid}}",
                "{shape: [1], dtype: int}",
                "binary_crossentropy",
            ),
            [1, 1, 1, 1],
            ["missing_classes"],
        ),
        (
            data_spec(
                "{name: y, dense: 1}", "{shape: [1]}", "mean_squared_error", ", split: {test: 0.05}"
            ),
            [0.5, 1.5, 2.5, 1],
            ["empty_part"],
        ),
        (
            data_spec(
                "{name: y, dense: 1}", "{shape: [1]}", "mean_squared_error", ", split: {test: 1}"
            ),
            [0.5, 1.5, 2.5, 1],
            [],
        ),
    ],
)
def test_labels_and_parts(
    text: str, target: list[object], found: list[str], tmp_path: Path
) -> None:
    assert data_names(tmp_path / "net.yaml", text, x=np.eye(4), t=np.array(target)) == found


@pytest.mark.parametrize(
    ("layers", "scale", "found"),
    [
        ("{name: y, dense: 1}", 255, ["unscaled_input"]),
        ("{reshape: [2, 2]}, flatten, {name: y, dense: 1}", 255, ["unscaled_input"]),
        ("{name: y, dense: 1}", 6, []),
        ("batch_norm, {name: y, dense: 1}", 255, []),
    ],
)
def test_inputs_that_are_not_scaled(
    layers: str, scale: float, found: list[str], tmp_path: Path
) -> None:
    text = data_spec(layers, "{shape: [1]}", "mean_squared_error")
    assert data_names(tmp_path / "net.yaml", text, x=scale * np.eye(4), t=np.ones(4)) == found
    silent = text.replace("inputs", f"allow: {found}\ninputs", 1)
    assert data_names(tmp_path / "net.yaml", silent, x=scale * np.eye(4), t=np.ones(4)) == []


COSINE = "{cosine: {initial_learning_rate: 0.01, decay_steps: 40WARM}}"
WARM = ", warmup_steps: 100, warmup_target: 0.01"


@pytest.mark.parametrize(
    ("layer", "loss", "target", "rate", "found"),
    [
        ("{name: y, dense: 1}", "mean_squared_error", [-5, 5, 9, 1], "0.01", []),
        (
            "{name: y, dense: {units: 1, activation: relu}}",
            "mean_squared_error",
            [-5, 5, 9, 1],
            "0.01",
            ["unreachable_target"],
        ),
        ("{name: y, dense: {units: 1, activation: tanh}}", "huber", [-0.5, 0.5, 1, 0], "0.01", []),
        (
            "{name: y, dense: {units: 1, activation: tanh}}",
            "mean_absolute_error",
            [-0.5, 0.5, 1, 1.5],
            "0.01",
            ["unreachable_target"],
        ),
        (
            "{name: y, dense: {units: 1, activation: sigmoid}}",
            "binary_crossentropy",
            [0, 1, 2, 1],
            "0.01",
            ["unreachable_target"],
        ),
        # 40 epochs of 2 steps are 80.
        ("{name: y, dense: 1}", "mean_squared_error", [1, 2, 3, 4], COSINE, ["schedule_length"]),
        ("{name: y, dense: 1}", "mean_squared_error", [1, 2, 3, 4], COSINE.replace("40", "80"), []),
        (
            "{name: y, dense: 1}",
            "mean_squared_error",
            [1, 2, 3, 4],
            COSINE.replace("WARM", ", alpha: 0.1"),
            [],
        ),
        (
            "{name: y, dense: 1}",
            "mean_squared_error",
            [1, 2, 3, 4],
            COSINE.replace("WARM", WARM),
            ["schedule_length"],
        ),
        (
            "{name: y, dense: 1}",
            "mean_squared_error",
            [1, 2, 3, 4],
            "{polynomial: {initial_learning_rate: 0.1, decay_steps: 9, end_learning_rate: 0}}",
            ["schedule_length"],
        ),
        ("{name: y, dense: 1}", "mean_squared_error", [1, 2, 3, 4], "{constant: 0.01}", []),
    ],
)
def test_targets_and_schedules(
    layer: str, loss: str, target: list[float], rate: str, found: list[str], tmp_path: Path
) -> None:
    optimizer = f"{{adam: {{learning_rate: {rate.replace('WARM', '')}}}}}"
    training = f", optimizer: {optimizer}, epochs: 40, batch_size: 2"
    text = data_spec(layer, "{shape: [1]}", loss, training=training)
    arrays = {"x": np.eye(4), "t": np.array(target, float).reshape(4, 1)}
    assert data_names(tmp_path / "net.yaml", text, **arrays) == found


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_no_example_has_a_warning(path: Path) -> None:
    program, warnings = load_program(path)
    assert (*warnings, *load_checked(program, path.parent)[1]) == ()

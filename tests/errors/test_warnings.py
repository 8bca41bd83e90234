"""Warnings: each is given where it is right and nowhere near, and a spec can silence it by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from specc.compiler import load_program, load_tree, resolve_spec
from specc.diagnostics import WARNINGS, Diagnostic, SpecError
from specc.frontend.formatter import to_dsl, to_yaml
from specc.training.optimizers import OPTIMIZERS
from tests.errors.test_catalogue import run

INPUTS = "{x: {shape: [16]}, image: {shape: [8, 8, 1]}, words: {shape: [5], dtype: int}}"
TARGETS = "{label: {shape: [], dtype: int}, t: {shape: [3]}, price: {shape: [1]}}"
SPARSE = "{sparse_categorical_crossentropy: {prediction: y, target: label}}"
LOGITS = "{sparse_categorical_crossentropy: {prediction: y, target: label, from_logits: true}}"
BINARY = "{binary_crossentropy: {prediction: y, target: t}}"
SQUARES = "{mean_squared_error: {prediction: y, target: t}}"
Y = "{name: y, dense: 3}"


def spec(layers: str, loss: str = "", rest: str = "") -> str:
    """A spec whose layers begin at the input ``x``; what it leaves unused is no matter here."""
    training = f"training: {{loss: {loss}{rest}}}\n" if loss else ""
    return (
        f"specc: 1\nname: net\nallow: [unused]\ninputs: {INPUTS}\ntargets: {TARGETS}\n"
        f"layers: [{{name: start, reshape: [16], from: x}}, {layers}]\n{training}"
    )


def names(text: str, path: Path) -> list[str]:
    path.write_text(text, encoding="utf-8")
    return [each.name for each in load_program(path)[1]]


def softmax(layers: str = "") -> str:
    return f"{layers}{{name: y, dense: {{units: 3, activation: softmax}}}}"


GIVEN = {
    "unbounded_probabilities": [
        spec(Y, SPARSE),
        spec("{dense: 3}, {name: y, tanh: {}}", BINARY),
        spec("{name: y, dense: {units: 3, activation: relu}}", SPARSE),
    ],
    "softmax_before_logits": [
        spec(softmax(), LOGITS),
        spec(
            "{name: y, dense: {units: 3, activation: sigmoid}}",
            "{binary_crossentropy: {prediction: y, target: t, from_logits: true}}",
        ),
    ],
    "activation_for_loss": [
        spec("{name: y, dense: {units: 3, activation: sigmoid}}", SPARSE),
        spec(
            "{name: y, dense: {units: 3, activation: sigmoid}}",
            "{categorical_crossentropy: {prediction: y, target: t}}",
        ),
        spec(softmax(), BINARY),
    ],
    "double_activation": [
        spec(softmax() + ", {name: z, softmax: {}}"),
        spec("{dense: 3}, relu, {name: y, sigmoid: {}}"),
        spec("{dense: {units: 3, activation: tanh}}, {name: y, softmax: {}}"),
    ],
    "constant_softmax": [
        spec("{name: y, dense: {units: 1, activation: softmax}}"),
        spec("{reshape: [4, 1, 4]}, {name: y, softmax: {axis: 2}}"),
    ],
    "dead_initializer": [
        spec(f"{{dense: {{units: 4, kernel_initializer: zeros, activation: relu}}}}, {Y}"),
        spec(
            "{dense: {units: 4, kernel_initializer: zeros, bias_initializer: {constant: -1}}}, "
            f"relu, {Y}"
        ),
        spec(f"relu, {{batch_norm: {{gamma_initializer: zeros}}}}, relu, {Y}"),
        spec(
            "{dense: {units: 4, kernel_initializer: ones, activation: tanh}}, "
            "{name: y, dense: {units: 3, kernel_initializer: {constant: 0.1}}}"
        ),
        spec(
            "{dense: {units: 4, kernel_initializer: zeros, activation: tanh}}, "
            "{name: y, dense: {units: 3, kernel_initializer: zeros}}"
        ),
        spec(
            "{conv2d: {filters: 4, kernel_size: 3, kernel_initializer: zeros}, from: image}, relu, "
            f"flatten, {Y}"
        ),
    ],
    "learning_rate": [
        spec(Y, SQUARES, ", optimizer: {adam: 1.0}"),
        spec(Y, SQUARES, ", optimizer: {adam: {learning_rate: 1e-12}}"),
        spec(Y, SQUARES, ", optimizer: {adam: {learning_rate: 0}}"),
        spec(Y, SQUARES, ", optimizer: {sgd: {learning_rate: 20}}"),
        spec(
            Y,
            SQUARES,
            ", optimizer: {adamw: {learning_rate: {cosine: {initial_learning_rate: 0, "
            "decay_steps: 9, warmup_steps: 3, warmup_target: 3.0}}}}",
        ),
    ],
    "dropout_before_loss": [
        spec("{dense: 3}, {name: y, dropout: 0.1}", SQUARES),
        spec("{dense: 3}, {dropout: 0.1}, {name: y, softmax: {}}", SPARSE),
    ],
    "high_dropout": [spec(f"{{dropout: 0.9}}, {Y}")],
    "batch_of_one": [spec(f"tanh, batch_norm, {Y}", SQUARES, ", batch_size: 1")],
    "linear_stack": [
        spec(f"{{dense: 8}}, {Y}"),
        spec(f"{{dense: {{units: 32, activation: relu}}}}, {{dense: 32}}, {Y}"),
    ],
}
GIVEN["useless_bias"] = [
    spec(f"{{dense: 4}}, batch_norm, relu, {Y}"),
    spec(
        "{conv2d: {filters: 4, kernel_size: 3}, from: image}, {batch_norm: {scale: false}}, "
        f"global_average_pool2d, {Y}"
    ),
    spec(
        "{reshape: [4, 4]}, {conv1d: {filters: 4, kernel_size: 3, use_bias: true}}, batch_norm, "
        f"flatten, {Y}"
    ),
]
SILENT = [
    spec(f"{{dense: {{units: 4, use_bias: false}}}}, batch_norm, {Y}"),
    spec(f"{{dense: 4}}, relu, batch_norm, {Y}"),
    spec(f"{{dense: 4}}, layer_norm, {Y}"),
    # Over another axis the bias is felt, and so it is where something else reads the sum.
    spec(f"{{reshape: [4, 4]}}, {{dense: 4}}, {{batch_norm: {{axis: 1}}}}, flatten, {Y}"),
    spec(f"{{name: h, dense: 4}}, batch_norm, {{add: {{}}, from: [h, batch_norm]}}, relu, {Y}"),
    spec(softmax(), SPARSE),
    spec(Y, LOGITS),
    spec("{name: y, dense: {units: 3, activation: sigmoid}}", BINARY),
    spec(Y, SQUARES),
    # A gate: the softmax is of another layer's values.
    spec(
        "{dense: {units: 8, activation: relu}}, {name: y, dense: {units: 3, activation: softmax}}"
    ),
    # The zeros of a last layer, of a residual branch, before a leaky relu, beside a positive bias.
    spec("{name: y, dense: {units: 3, kernel_initializer: zeros}}", SQUARES),
    spec(
        "{name: a, tanh: {}}, {name: b, batch_norm: {gamma_initializer: zeros}}, "
        f"{{add: {{}}, from: [start, b]}}, relu, {Y}"
    ),
    spec(f"{{dense: {{units: 4, kernel_initializer: zeros, activation: leaky_relu}}}}, {Y}"),
    spec(
        "{dense: {units: 4, kernel_initializer: zeros, bias_initializer: ones, activation: relu}}, "
        f"{Y}"
    ),
    # One constant layer alone is told apart by the random ones around it.
    spec(f"{{dense: {{units: 4, kernel_initializer: ones, activation: tanh}}}}, {Y}"),
    # Dropout before the last layer is what it is for.
    spec(f"{{dropout: 0.5}}, {Y}", SQUARES),
    # A bottleneck is a product of matrices on purpose.
    spec("{dense: 2}, {name: y, dense: 8}"),
    spec(f"{{name: h, dense: 8}}, tanh, {{add: {{}}, from: [h, tanh]}}, {Y}"),
    spec(f"tanh, batch_norm, relu, {Y}", SQUARES, ", batch_size: 2"),
    spec(Y, SQUARES, ", optimizer: {adam: 0.1}"),
    spec(Y, SQUARES, ", optimizer: {sgd: {learning_rate: 1.0}}"),
    spec(
        Y,
        SQUARES,
        ", optimizer: {sgd: {learning_rate: {step: {initial_learning_rate: 0.1, step_size: 9}}}}",
    ),
]


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in GIVEN.items() for text in texts]
)
def test_given(name: str, text: str, tmp_path: Path) -> None:
    assert names(text, tmp_path / "net.yaml") == [name]
    silenced = text.replace("allow: [unused]", f"allow: [unused, {name}]")
    assert names(silenced, tmp_path / "net.yaml") == []


@pytest.mark.parametrize("text", SILENT)
def test_not_given(text: str, tmp_path: Path) -> None:
    assert names(text, tmp_path / "net.yaml") == []


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("conventions", ["keras", "pytorch"])
def test_the_defaults_of_optimizers_are_usual(kind: str, conventions: str) -> None:
    row = OPTIMIZERS[kind]
    low, high = row.usual_rates
    rate = row.defaults(conventions).get("learning_rate", low)
    assert low <= rate <= high


def test_what_a_block_does_is_said_once(tmp_path: Path) -> None:
    text = (
        "specc: 1\nname: net\ninputs: {x: {shape: [16]}}\n"
        "blocks: {tower: {layers: [{dense: 16}, relu, {dropout: 0.9}]}}\n"
        "layers: [{use: tower}, {use: tower}, {repeat: {times: 3, layers: [{use: tower}]}}, "
        "{name: y, dense: 3}]\n"
    )
    assert names(text, tmp_path / "net.yaml") == ["high_dropout"]


# Silencing

SILENCED = (
    "specc: 1\nname: net\n# these are meant\nallow: [high_dropout, unused]  # both\n"
    "inputs: {x: {shape: [16]}, z: {shape: [2]}}\n"
    "layers: [{dropout: 0.9, from: x}, {name: y, dense: 3}]\noutputs: [y]\n"
)


def test_both_forms_silence_alike(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(SILENCED, encoding="utf-8")
    written = to_dsl(load_tree(path))
    assert "allow high_dropout, unused" in written
    assert "# these are meant" in written and "both" in written
    other = tmp_path / "net.specc"
    other.write_text(written, encoding="utf-8")
    programs = [load_program(each) for each in (path, other)]
    assert [warnings for _, warnings in programs] == [(), ()]
    assert [program.allow for program, _ in programs] == [("high_dropout", "unused")] * 2
    assert to_dsl(load_tree(other)) == written
    assert "allow:\n  # these are meant\n" in to_yaml(load_tree(other))


@pytest.mark.parametrize("form", ["yaml", "specc"])
def test_a_resolved_spec_keeps_what_it_silences(form: str, tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(SILENCED, encoding="utf-8")
    resolved = tmp_path / f"resolved.{form}"
    resolved.write_text(resolve_spec(path, form=form), encoding="utf-8")
    assert load_program(resolved)[0].allow == ("high_dropout", "unused")


def test_a_value_may_be_called_allow(tmp_path: Path) -> None:
    path = tmp_path / "net.specc"
    path.write_text("spec 1 net\ninput x: float[4]\nallow = x | dense(3)\noutput allow\n")
    assert list(load_program(path)[0].outputs) == ["allow"]


@pytest.mark.parametrize(
    ("written", "code", "help_"),
    [
        ("[high_dropuot]", "E0505", "did you mean 'high_dropout'?"),
        ("[W1001]", "E0505", "write unused"),
        ("[E0601]", "E0505", "an error cannot be silenced"),
        ("3", "E0504", "e.g. allow: [unused]"),
        ("[[unused]]", "E0504", "e.g. allow: [unused]"),
        ("{unused: true}", "E0504", "e.g. allow: [unused]"),
    ],
)
def test_what_is_no_warning_is_refused(written: str, code: str, help_: str, tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    text = SILENCED.replace("[high_dropout, unused]", written)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as found:
        load_program(path)
    (diagnostic,) = found.value.diagnostics
    assert (diagnostic.code, diagnostic.help) == (code, help_)


def test_one_name_needs_no_list(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(SILENCED.replace("[high_dropout, unused]", "unused"), encoding="utf-8")
    assert [each.name for each in load_program(path)[1]] == ["high_dropout"]


def test_the_command_line_allows_and_denies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(SILENCED.replace("allow", "# allow"), encoding="utf-8")
    assert run("specc check net.yaml").count("warning[") == 2
    assert run("specc check net.yaml --allow unused,high-dropout") == ""
    left = run("specc check net.yaml --allow unused --deny-warnings")
    assert left.startswith("net.yaml:6:11: error[W1010 high_dropout]: this dropout")
    assert "warning" not in left


def test_every_warning_is_tested_here_or_has_its_page_alone() -> None:
    elsewhere = {"unused", "missing_classes", "empty_part", "unscaled_input"}
    elsewhere |= {"unreachable_target", "schedule_length"}
    assert GIVEN.keys() | elsewhere == set(WARNINGS.values())
    assert Diagnostic("W1001", "").name == "unused"

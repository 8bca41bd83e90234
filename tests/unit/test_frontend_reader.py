"""Spec files: forms, broken files, includes, --set; and both forms give the same program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from specc.diagnostics import SpecError
from specc.frontend.build import build_program
from specc.frontend.formatter import to_dsl, to_yaml
from specc.frontend.reader import read_spec, read_tree
from specc.frontend.sets import item_names
from specc.frontend.sources import MAX_SIZE
from specc.frontend.tree import Sequence, to_plain
from specc.ir.text import program_text

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))

NET = """\
specc: 1
name: net
parameters: {width: 8}
inputs: {x: {shape: [4]}}
layers:
  - dense: {units: $width}
  - relu
  - dense: {units: 3}
  - {name: out, dense: {units: 1}}
outputs: [out]
training:
  loss: {mean_squared_error: {prediction: out, target: t}}
  optimizer: adam
  epochs: 3
  metrics: [mean_absolute_error]
"""


PATHS = "a path is names with dots between them, as in training.epochs"


def failure(path: Path, sets: dict[str, str] | None = None) -> tuple[str, str, str]:
    """Code, message and help of the first diagnostic."""
    with pytest.raises(SpecError) as caught:
        read_spec(path, sets or {})
    diagnostic = caught.value.diagnostics[0]
    return diagnostic.code, diagnostic.message, diagnostic.help


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.yaml"
    path.write_text(NET, encoding="utf-8")
    return path


def test_form_follows_the_ending(tmp_path: Path) -> None:
    for name, text in (("a.yaml", "specc: 1"), ("a.yml", "specc: 1"), ("b.specc", "spec 1 b")):
        (tmp_path / name).write_text(text)
        assert to_plain(read_spec(tmp_path / name))["specc"] == 1


def test_missing_file_suggests_its_neighbour(net: Path) -> None:
    path = net.parent / "nte.yaml"
    help_text = f"did you mean '{net}'?"
    assert failure(path) == ("E0001", f"there is no file '{path}'", help_text)


def test_missing_folder(tmp_path: Path) -> None:
    path = tmp_path / "no" / "net.yaml"
    help_text = f"there is no folder '{tmp_path / 'no'}' either"
    assert failure(path) == ("E0001", f"there is no file '{path}'", help_text)


def test_folder(net: Path) -> None:
    message = f"'{net.parent}' is a folder, not a spec file"
    assert failure(net.parent) == ("E0001", message, "the folder has net.yaml")


def test_permission(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.open", refuse)
    assert failure(net) == ("E0001", f"the file '{net}' may not be read by this user", "")


def test_odd_paths(tmp_path: Path) -> None:
    assert failure(tmp_path / "a\0.yaml")[0] == "E0001"
    assert failure(tmp_path / ("a" * 300 + ".yaml"))[0] == "E0001"


def test_too_large(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_bytes(b"#" * (MAX_SIZE + 1))
    message = f"the file '{path}' has more than 1000000 bytes"
    assert failure(path) == ("E0002", message, "data belongs in a file of its own")


@pytest.mark.parametrize(
    ("name", "message", "help_text"),
    [
        (
            "net.json",
            "is not a spec: its name ends with '.json'",
            "choose one of .specc, .yaml, .yml",
        ),
        ("net.spec", "is not a spec: its name ends with '.spec'", "did you mean '.specc'?"),
        ("net", "is not a spec: its name has no ending", "choose one of .specc, .yaml, .yml"),
    ],
)
def test_ending(tmp_path: Path, name: str, message: str, help_text: str) -> None:
    (tmp_path / name).write_text("specc: 1")
    assert failure(tmp_path / name) == ("E0005", f"'{tmp_path / name}' {message}", help_text)


# --- includes ---


def test_includes_bring_blocks_and_parameters_of_either_form(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "pair.specc").write_text(
        'include "width.yaml"\nblock pair(a, b = 2) {\n  input x\n'
        "  y = x | dense(a) | dense(b)\n}\n"
    )
    (tmp_path / "parts" / "width.yaml").write_text("parameters: {width: 8}\n")
    main = tmp_path / "net.specc"
    main.write_text(
        'spec 1 net\ninclude "parts/pair.specc"\ninclude "parts/width.yaml"\nparameter n = 2\n'
        "input x: float[width]\nh = x | pair(width, n)\n"
    )
    tree = to_plain(read_spec(main))
    assert list(tree) == ["specc", "name", "parameters", "inputs", "blocks", "layers"]
    assert list(tree["parameters"]) == ["width", "n"]
    assert list(tree["blocks"]) == ["pair"]
    assert list(tree["layers"][0]["with"]) == ["a", "b"]
    assert "includes" in to_plain(read_tree(main))
    blocks = read_spec(main).get("blocks")
    assert blocks is not None and blocks.span.source.name == str(tmp_path / "parts" / "pair.specc")


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside.yaml"
    outside.write_text("parameters: {secret: 1}")
    folder = tmp_path / "spec"
    folder.mkdir()
    (folder / "inside.yaml").symlink_to(outside)
    (folder / "net.yaml").write_text("specc: 1\nincludes: [inside.yaml]")
    message = "'inside.yaml' lies outside the spec's folder"
    assert failure(folder / "net.yaml")[:2] == ("E0006", message)


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to(tmp_path / "b.yaml")
    (tmp_path / "b.yaml").symlink_to(tmp_path / "a.yaml")
    (tmp_path / "net.yaml").write_text("specc: 1\nincludes: [a.yaml]")
    assert failure(tmp_path / "net.yaml")[0] == "E0001"
    assert failure(tmp_path / "a.yaml")[0] == "E0001"


def test_a_spec_that_includes_itself(net: Path) -> None:
    net.write_text("includes: [net.yaml]")
    assert failure(net)[:2] == ("E0007", "'net.yaml' includes itself")


def test_all_mistakes_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("parameters: {a: 1, a: 2}")
    (tmp_path / "b.yaml").write_text("layers: []")
    (tmp_path / "net.yaml").write_text("includes: [a.yaml, b.yaml, c.yaml]")
    with pytest.raises(SpecError) as caught:
        read_spec(tmp_path / "net.yaml")
    assert [d.code for d in caught.value.diagnostics] == ["E0104", "E0008", "E0001"]


# --- sets ---


@pytest.mark.parametrize(
    ("path", "value", "where", "expected"),
    [
        ("training.epochs", "7", ("training", "epochs"), 7),
        ("training.batch_size", "64", ("training", "batch_size"), 64),
        ("seed", "3", ("seed",), 3),
        ("name", "no", ("name",), "no"),
        ("parameters.width", "1e-3", ("parameters", "width"), 0.001),
        ("inputs.x.shape", "[4, 4]", ("inputs", "x", "shape"), [4, 4]),
        ("outputs.0", "dense", ("outputs", 0), "dense"),
        ("layers.0.dense.units", "5", ("layers", 0, "dense", "units"), 5),
        ("layers.dense.units", "5", ("layers", 0, "dense", "units"), 5),
        ("layers.dense.activation", "relu", ("layers", 0, "dense", "activation"), "relu"),
        ("layers.dense_2.units", "${2 + 3}", ("layers", 2, "dense", "units"), None),
        ("layers.out.units", "5", ("layers", 3, "dense", "units"), 5),
        ("layers.out.from", "relu", ("layers", 3, "from"), "relu"),
        ("layers.relu.slope", "0.1", ("layers", 1, "relu", "slope"), 0.1),
        (
            "training.optimizer.adam.learning_rate",
            "0.1",
            ("training", "optimizer", "adam", "learning_rate"),
            0.1,
        ),
        ("training.optimizer", "{sgd: {learning_rate: 1}}", ("training", "optimizer", "sgd"), None),
    ],
)
def test_set(net: Path, path: str, value: str, where: tuple[Any, ...], expected: object) -> None:
    found = to_plain(read_spec(net, {path: value}))
    for step in where:
        found = found[step]
    assert expected is None or found == expected


@pytest.mark.parametrize(
    ("path", "value", "code", "message", "help_text"),
    [
        ("trainig.epochs", "1", "E0010", "the spec has no 'trainig'", "did you mean 'training'?"),
        ("sed", "1", "E0010", "the spec has no 'sed'", "did you mean 'seed'?"),
        ("layers.outt.units", "1", "E0010", "'layers' has no 'outt'", "did you mean 'layers.out'?"),
        (
            "layers.9.units",
            "1",
            "E0010",
            "'layers' has no '9'",
            "choose one of dense, dense_2, out, relu",
        ),
        (
            "parameters.widht",
            "1",
            "E0010",
            "'parameters' has no 'widht'",
            "did you mean 'parameters.width'?",
        ),
        (
            "training.epochs.x",
            "1",
            "E0010",
            "'training.epochs' has no parts: it is 3",
            "set 'training.epochs' itself",
        ),
        (
            "training.optimizer.learning_rate",
            "1",
            "E0010",
            "'training.optimizer' has no parts: it is 'adam'",
            "write training.optimizer.adam.learning_rate for an attribute of adam",
        ),
        ("", "1", "E0010", "'' is not a path", PATHS),
        ("a b", "1", "E0010", "'a b' is not a path", PATHS),
        ("seed", "[1", "E0101", "'[' is never closed", "add the missing ']'"),
        (
            "seed",
            "${1 +}",
            "E0301",
            "expected a value after '+', found the end of the expression",
            "",
        ),
    ],
)
def test_set_that_leads_nowhere(
    net: Path, path: str, value: str, code: str, message: str, help_text: str
) -> None:
    assert failure(net, {path: value}) == (code, message, help_text)


def test_a_value_from_the_command_line_has_its_place(net: Path) -> None:
    with pytest.raises(SpecError) as caught:
        read_spec(net, {"seed": "${1 +}", "layers.x": "1"})
    assert "--set:1:11: error[E0301]" in str(caught.value.diagnostics[0])
    assert len(caught.value.diagnostics) == 2


def test_layers_are_counted_as_their_paths(net: Path) -> None:
    layers = read_spec(net).get("layers")
    assert isinstance(layers, Sequence)
    assert item_names(layers) == ["dense", "relu", "dense_2", "out"]


# --- both forms ---


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_both_forms_give_the_same_program(path: Path, tmp_path: Path) -> None:
    tree = read_spec(path)
    language, yaml = tmp_path / "net.specc", tmp_path / "net.yaml"
    language.write_text(to_dsl(tree), encoding="utf-8")
    yaml.write_text(to_yaml(read_spec(language)), encoding="utf-8")
    program, _ = build_program(tree)
    text = program_text(program)
    for converted in (language, yaml):
        again, _ = build_program(read_spec(converted))
        assert program_text(again) == text
        assert again.data == program.data or again.data is not None

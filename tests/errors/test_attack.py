"""Every way in which a spec, a value set on the command line or a command can be wrong gives a
diagnostic: its code, its place, its cause; never another exception, never acceptance."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from specc.cli.boundary import guarded
from specc.cli.group import cli
from specc.compiler import load_program
from specc.diagnostics import SpecError

SPEC = {
    "specc": "1",
    "name": "net",
    "inputs": "{x: {shape: [4]}}",
    "targets": "{t: {shape: [3]}}",
    "layers": "[{name: y, dense: 3}]",
    "training": "{loss: {mean_squared_error: {prediction: y, target: t}}}",
}
LOSS = "{mean_squared_error: {prediction: y, target: t}}"

# Whole texts: what is no YAML mapping, and what the language cannot read.
TEXTS = [
    ("yaml", "", "E0103", "the spec is empty"),
    ("yaml", "# a comment\n", "E0103", "the spec is empty"),
    ("yaml", "- a\n", "E0103", "mapping"),
    ("yaml", "specc: 1\nname: [", "E0101", ""),
    ("yaml", "specc: 1\nname: !!python/name:os n\n", "E0105", "the tag"),
    ("yaml", "specc: 1\nx: " + "[" * 5000, "E0107", "nested more than 64 deep"),
    ("yaml", "specc: 1\n# " + "a" * 2_000_000, "E0002", "more than 1000000 bytes"),
    ("specc", "", "E0425", "does not start with 'spec 1 NAME'"),
    ("specc", "spec 2 n\n", "E0425", "specs of version 1"),
    ("specc", "spec 1 n\ninput x: float[4]\n", "E0422", "the spec has no layers"),
    ("specc", "spec 1 n\ny = x |\n", "E0201", "expected a name or 'repeat'"),
    ("specc", "spec 1 n\ny = dense(3)\n", "E0201", "found '('"),
    ("specc", "spec 1 n\ny = x | dense(3\n", "E0204", "never closed"),
    ("specc", 'spec 1 n\ny = x | dense("3)\n', "E0202", "no closing quote"),
    ("specc", "spec 1 n\ny = x | dense(" + "(" * 3000 + "\n", "E0204", "more than 100"),
    ("specc", "spec 1 n\ny = x | dense(" + "-" * 3000 + "3)\n", "E0305", "100 deep"),
    ("specc", "spec 1 n\ny := x\n", "E0201", "found ':'"),
    ("specc", "spec 1 n\ngröße = x | relu\n", "E0203", "has no meaning"),
    ("specc", "spec 1 n\nlayer e = e\n", "E0412", "there is no layer 'e'"),
    ("specc", "spec 1 n\nlayer e = dense(3)\ny = x | e(4)\n", "E0210", "has its attributes"),
    ("specc", "spec 1 n\nparameter w = w\n", "E0302", "no parameter 'w'"),
    ("specc", "spec 1 n\nparameter if = 3\n", "E0403", "a meaning of its own"),
    ("specc", 'spec 1 n\ninclude "n.specc"\n', "E0007", "includes itself"),
    ("specc", 'spec 1 n\ninclude "/etc/passwd"\n', "E0006", "outside the spec's folder"),
    ("specc", "spec 1 n\nblock b() {\n}\n", "E0422", "block 'b' has no layers"),
    ("specc", "spec 1 n\nblock relu() {\n input x\n y = x | tanh\n}\n", "E0405", "name of an op"),
    ("specc", "spec 1 n\ntraining {\n epochs 1\n epochs 2\n}\n", "E0205", "given twice"),
]

SETS = [
    ("training..epochs", "3", "E0010", "is not a path"),
    ("layers.q.units", "3", "E0010", "'layers' has no 'q'"),
    ("layers.99.units", "3", "E0010", "'layers' has no '99'"),
    ("parameters.w", "3", "E0010", "no 'parameters'"),
    ("größe", "3", "E0010", "no 'größe'"),
    ("includes", "[x]", "E0010", "read before any value is set"),
    ("training.epochs", "", "E0503", "null is not a positive integer"),
    ("training.epochs", "[", "E0101", "missing"),
    ("training.epochs", "!!python/object:os.system", "E0105", "the tag"),
    ("training.epochs", "9" * 400, "E0305", "too large"),
    ("training.epochs", "${1/0}", "E0304", "division by zero"),
    ("layers.y.units", "5", "E0010", "'layers.y.dense' has no parts"),
    ("layers.y.dense", "0", "E0503", "0 is not a positive integer"),
    ("layers.y.dense", "{unitz: 3}", "E0501", "no attribute 'unitz'"),
]


def written(changes: str) -> str:
    """The spec with some sections in the place of its own."""
    sections = dict(SPEC)
    for change in changes.split(" ;; "):
        key, _, value = change.partition(": ")
        sections[key] = value.replace("LOSS", LOSS)
    return "".join(f"{key}: {value}\n" for key, value in sections.items())


def rows() -> Iterator[tuple[str, str, str]]:
    text = (Path(__file__).parent / "attacks.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line and line[0] not in "#[":
            code, message, changes = line.split(" | ", 2)
            yield changes.strip(), code.strip(), message.strip()


def refused(path: Path, sets: dict[str, str] | None = None) -> SpecError:
    with pytest.raises(SpecError) as found:
        load_program(path, sets)
    return found.value


def check(error: SpecError, code: str, message: str) -> None:
    shown = [f"{each.code} {each.message} {each.help}" for each in error.diagnostics]
    assert any(line.startswith(code) and message in line for line in shown), shown
    placeless = {each.code for each in error.diagnostics if each.span is None}
    assert placeless <= {"E0002", "E0010"}
    for each in error.diagnostics:
        # Nothing of Python shows: no classes, no memory addresses, no None.
        assert not re.search(r"<\w+|\bNone\b|object at|Name\(", each.message + each.help), each


@pytest.mark.parametrize(("changes", "code", "message"), list(rows()), ids=lambda part: part[:60])
def test_spec(tmp_path: Path, changes: str, code: str, message: str) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(written(changes), encoding="utf-8")
    check(refused(path), code, message)


@pytest.mark.parametrize(("ending", "text", "code", "message"), TEXTS, ids=lambda part: part[:40])
def test_text(tmp_path: Path, ending: str, text: str, code: str, message: str) -> None:
    path = tmp_path / f"n.{ending}"
    path.write_text(text, encoding="utf-8")
    check(refused(path), code, message)


@pytest.mark.parametrize(("path", "value", "code", "message"), SETS, ids=lambda part: part[:40])
def test_set(tmp_path: Path, path: str, value: str, code: str, message: str) -> None:
    spec = tmp_path / "net.yaml"
    spec.write_text(written("seed: 0"), encoding="utf-8")
    check(refused(spec, {path: value}), code, message)


def test_the_spec_itself_is_right(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(written("seed: 0"), encoding="utf-8")
    assert load_program(path)[1] == ()


def test_one_mistake_is_one_diagnostic(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    for changes in ("layers: 3", "targets: 3", "blocks: {b: null} ;; layers: [{use: b, name: y}]"):
        path.write_text(written(changes), encoding="utf-8")
        assert len(refused(path).diagnostics) == 1


def test_blocks_that_double_are_searched_in_bounds(tmp_path: Path) -> None:
    blocks = ["b0: {parameters: {n: 1}, layers: [{leaky_relu: $n}]}"]
    for i in range(60):
        uses = ", ".join(f'{{use: b{i}, with: {{n: "${{n * 2 + {k}}}"}}}}' for k in (0, 1))
        blocks.append(f"b{i + 1}: {{parameters: {{n: 1}}, layers: [{uses}]}}")
    path = tmp_path / "net.yaml"
    changes = f"blocks: {{{', '.join(blocks)}}} ;; layers: [{{use: b60, name: y, from: nothing}}]"
    path.write_text(written(changes), encoding="utf-8")
    check(refused(path), "E0407", "there is no value 'nothing'")


def test_blocks_that_double_are_refused_at_once(tmp_path: Path) -> None:
    for first, second in (("1", "1"), ('"${n + 1}"', '"${n + 2}"')):
        blocks = ["b0: {parameters: {n: 1}, layers: [{leaky_relu: $n}]}"]
        for i in range(60):
            uses = f"{{use: b{i}, with: {{n: {first}}}}}, {{use: b{i}, with: {{n: {second}}}}}"
            blocks.append(f"b{i + 1}: {{parameters: {{n: 1}}, layers: [{uses}]}}")
        path = tmp_path / "net.yaml"
        changes = f"blocks: {{{', '.join(blocks)}}} ;; layers: [{{use: b60, name: y}}]"
        path.write_text(written(changes), encoding="utf-8")
        check(refused(path), "E0430", "more than 1,000 layers")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("build net.yaml -b foo -o out", 1, "E0902"),
        ("build net.yaml -b torch,foo -o out", 1, "E0902"),
        ("build net.yaml -b , -o out", 2, "this names no backend"),
        ("build net.yaml -o out.py", 2, "one file"),
        ("build net.yaml -b torch -o folder.py", 1, "it is a folder"),
        ("build net.yaml -b torch -o net.yaml", 1, "E1006"),
        ("build net.yaml --set training", 2, "not of the form path=value"),
        ("resolve net.yaml -o .", 1, "it is a folder"),
        ("graph net.yaml -o .", 1, "it is a folder"),
        ("convert net.yaml -o .", 1, "it is a folder"),
        ("schema -o .", 1, "it is a folder"),
        ("data net.yaml", 1, "E1007"),
        ("train net.yaml", 1, "E1007"),
        ("train net.yaml --run-dir net.yaml/run", 1, "E1006"),
        ("train net.yaml --run-dir folder.py --overwrite", 1, "E1004"),
        ("evaluate folder.py", 1, "E1005"),
        ("predict nowhere", 1, "E1005"),
        ("compare net.yaml --steps 0", 2, "not in the range"),
        ("compare net.yaml --tolerance -1", 2, "not in the range"),
        ("compare net.yaml --tolerance nan", 2, "nan is not a number"),
        ("compare net.yaml --report .", 2, "is a directory"),
        ("compare net.yaml -b numpy,numpy", 2, "two backends"),
        ("train net.yaml --set training.epochs=0", 1, "E0503"),
        ("check", 2, "Missing argument"),
        ("build", 2, "Missing argument"),
        ("check notes.txt", 1, "E0005"),
    ],
)
def test_command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    code: int,
    message: str,
) -> None:
    (tmp_path / "net.yaml").write_text(written("seed: 0"), encoding="utf-8")
    (tmp_path / "notes.txt").write_text("notes", encoding="utf-8")
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "folder.py" / "kept").touch()
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    assert guarded(cli, arguments.split()) == code
    assert message in capsys.readouterr().err.replace("\n", " ")
    assert sorted(tmp_path.rglob("*")) == before  # nothing is left half-written

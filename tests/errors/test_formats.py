"""Diagnostics for programs: JSON, SARIF against its schema, GitHub's workflow commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from specc.cli.boundary import guarded
from specc.cli.formats import MESSAGES, write_as
from specc.cli.group import cli
from specc.cli.sarif import sarif_log
from specc.diagnostics import Diagnostic, Note, Source, Span, fix_of
from specc.diagnostics.catalogue import codes

FOLDER = Path(__file__).parent
SCHEMA = json.loads((FOLDER / "sarif/sarif-schema-2.1.0.json").read_text(encoding="utf-8"))
SPEC = """specc: 1
name: net
inputs: {x: {shape: [4]}, "zwei": {shape: [3]}}
layers:
  - {name: h, dense: {unit: 3}, from: x}
  - {name: s, add: {}, from: [x, zwei]}
outputs: [h, s]
"""


@pytest.fixture
def checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Standard output of ``specc check`` of specs with options, and its exit code."""
    monkeypatch.chdir(tmp_path)

    def check(options: str, **specs: str) -> tuple[str, int]:
        for name, text in specs.items():
            Path(f"{name}.yaml").write_text(text, encoding="utf-8")
        code = guarded(cli, ["check", *(f"{name}.yaml" for name in specs), *options.split()])
        return capsys.readouterr().out, code

    return check


def validated(text: str) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(text)
    jsonschema.Draft4Validator(SCHEMA).validate(log)
    return log


def test_sarif_of_a_spec_with_mistakes(checked: Any) -> None:
    text, code = checked("--format sarif", net=SPEC)
    assert code == 1
    (run,) = validated(text)["runs"]
    attribute, shape = run["results"]
    assert (attribute["ruleId"], shape["ruleId"]) == ("E0501", "E0601")
    assert attribute["level"] == "error"
    assert attribute["message"]["text"].startswith("dense has no attribute 'unit'\ndid you mean")
    (place,) = attribute["locations"]
    assert place["physicalLocation"] == {
        "artifactLocation": {"uri": "net.yaml"},
        "region": {"startLine": 5, "startColumn": 23, "endLine": 5, "endColumn": 27},
    }
    (fix,) = attribute["fixes"]
    (replacement,) = fix["artifactChanges"][0]["replacements"]
    assert replacement["insertedContent"] == {"text": "units"}
    assert replacement["deletedRegion"]["startColumn"] == 23
    related = [each["message"]["text"] for each in shape["relatedLocations"]]
    assert "'x' is float[4]" in related
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["E0501", "E0601"]
    assert [run["results"][i]["ruleIndex"] for i in (0, 1)] == [0, 1]
    assert rules[0]["help"]["markdown"].startswith("# E0501: an unknown attribute\n")


def test_sarif_of_every_code_is_valid() -> None:
    source = Source("/somewhere/with space/größe.yaml", "a\nb\u202e: ß\n")
    span, other = Span(source, 0, 1), Span(Source("b%.yaml", "text"), 1, 4)
    notes = (Note("beside", other), Note("nowhere"))
    found = [Diagnostic(code, "said\x1b[1m", span, notes, "help") for code in codes()]
    log = sarif_log([*found, Diagnostic("E9999", "no place", severity="warning")])
    text = json.dumps(log)
    validated(text)
    assert r"\u001b" not in text and "<U+001B>" in text
    result = log["runs"][0]["results"][0]
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "file:///somewhere/with%20space/gr%C3%B6%C3%9Fe.yaml"
    assert (
        result["relatedLocations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "b%25.yaml"
    )


def test_sarif_of_a_right_spec_has_no_results(checked: Any) -> None:
    text, code = checked("-f sarif", net=SPEC.replace("unit:", "units:").replace("[3]", "[4]"))
    assert code == 0
    assert validated(text)["runs"][0]["results"] == []


def test_warnings_are_of_their_level_unless_denied(checked: Any) -> None:
    spec = SPEC.replace("unit:", "units:").replace("zwei]", "x]")
    text, code = checked("--format sarif", net=spec)
    (run,) = validated(text)["runs"]
    assert (code, run["results"][0]["level"]) == (0, "warning")
    assert run["tool"]["driver"]["rules"][0]["name"] == "unused"
    text, code = checked("--format sarif --deny-warnings", net=spec)
    assert (code, validated(text)["runs"][0]["results"][0]["level"]) == (1, "error")


def test_workflow_commands(checked: Any) -> None:
    text, code = checked("--format github", net=SPEC)
    assert code == 1
    first, second = text.splitlines()
    assert first == (
        "::error title=E0501,file=net.yaml,line=5,endLine=5,col=23,endColumn=27::"
        "dense has no attribute 'unit'%0Ahelp: did you mean 'units'?"
    )
    assert second.startswith("::error title=E0601,file=net.yaml,line=6,")
    assert "%0Anet.yaml:3:10: 'x' is float[4]" in second


def test_nothing_in_a_message_ends_a_workflow_command(capsys: pytest.CaptureFixture[str]) -> None:
    source = Source("a,b:c%\n::stop.yaml", "one\ntwo\nthree")
    hostile = "100%\r\n::set-output name=x::y\x1b[2J"
    write_as("github", [Diagnostic("W1001", hostile, Span(source, 0, 6), severity="warning")], True)
    out = capsys.readouterr().out
    assert out == (
        "::warning title=W1001 unused,file=a%2Cb%3Ac%25 %3A%3Astop.yaml,line=1,endLine=2::"
        "100%25<U+000D> ::set-output name=x::y<U+001B>[2J\n"
    )


def test_json_is_what_it_was(checked: Any) -> None:
    short, form = (checked(options, net=SPEC) for options in ("--json", "--format json"))
    assert short == form
    found = json.loads(short[0])
    assert found.keys() == {"ok", "diagnostics"}
    keys = {"code", "severity", "message", "file", "line", "column", "end_line", "end_column"}
    assert found["diagnostics"][0].keys() == keys | {"notes", "help"}


def test_what_two_specs_have_in_common_is_written_once(checked: Any) -> None:
    part = "blocks: {tower: {layers: [{dense: {unit: 3}}]}}\n"
    Path("part.yaml").write_text(part, encoding="utf-8")
    spec = "specc: 1\nname: net\nincludes: [part.yaml]\ninputs: {x: [4]}\nlayers: [{use: tower}]\n"
    found = json.loads(checked("--json", one=spec, two=spec)[0])["diagnostics"]
    assert [each["file"] for each in found] == ["part.yaml", "part.yaml"]
    assert {note["file"] for each in found for note in each["notes"]} == {"one.yaml", "two.yaml"}


@pytest.mark.parametrize(
    ("text", "word", "help_", "fixed"),
    [
        ("units: $widht", "$widht", "did you mean 'width'?", "units: $width"),
        ('use: "towr"', '"towr"', "did you mean 'tower'?", 'use: "tower"'),
        ("- conv2D", "conv2D", "did you mean 'conv2d'?", "- conv2d"),
        ("lr: 3", "lr", "write learning_rate", None),
        ("a b", "a b", "did you mean 'c'?", None),
    ],
)
def test_a_suggestion_is_a_change_of_the_text(
    text: str, word: str, help_: str, fixed: str | None
) -> None:
    start = text.index(word)
    span = Span(Source("net.yaml", text), start, start + len(word))
    fix = fix_of(Diagnostic("E0407", "wrong", span, help=help_))
    if fix is None:
        assert fixed is None
    else:
        place, new = fix
        assert text[: place.start] + new + text[place.end :] == fixed


def test_misspelt_formats_and_names_are_refused(checked: Any) -> None:
    assert checked("--format sarf", net=SPEC)[1] == 2
    assert checked("--allow unusd", net=SPEC)[1] == 2


@pytest.mark.parametrize("by_variable", [False, True])
def test_every_command_writes_messages_for_programs(
    by_variable: bool, checked: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    Path("net.yaml").write_text(SPEC, encoding="utf-8")
    for form in ("github", "json"):
        arguments = (
            ["build", "net.yaml"] if by_variable else ["--messages", form, "build", "net.yaml"]
        )
        if by_variable:
            monkeypatch.setenv("SPECC_MESSAGES", form)
        assert guarded(cli, arguments) == 1
        first, second = capsys.readouterr().err.splitlines()
        if form == "json":
            assert [json.loads(line)["code"] for line in (first, second)] == ["E0501", "E0601"]
        else:
            assert first.startswith("::error title=E0501,file=net.yaml,line=5,")
    monkeypatch.delenv("SPECC_MESSAGES", raising=False)
    assert guarded(cli, ["build", "net.yaml"]) == 1
    assert capsys.readouterr().err.startswith("net.yaml:5:23: error[E0501]")


def test_messages_can_be_written_in_every_form() -> None:
    (option,) = (each for each in cli.params if each.name == "messages")
    assert list(option.type.choices) == ["text", *MESSAGES]

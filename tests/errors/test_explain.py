"""specc explain."""

from __future__ import annotations

import json

import pytest

from specc.cli.boundary import guarded
from specc.cli.group import cli
from specc.diagnostics import WARNINGS
from specc.diagnostics.catalogue import FAMILIES, codes, page, pages


@pytest.fixture
def explained(capsys: pytest.CaptureFixture[str]):
    """Standard output and error of ``specc explain`` with arguments, and its exit code."""

    def run(*arguments: str) -> tuple[str, str, int]:
        code = guarded(cli, ["explain", *arguments])
        captured = capsys.readouterr()
        return captured.out, captured.err, code

    return run


@pytest.mark.parametrize("code", codes())
def test_every_page_is_shown_whole(code: str, explained) -> None:
    out, err, exit_code = explained(code)
    assert (err, exit_code) == ("", 0)
    shown = page(code)
    assert out.startswith(f"{code}") and shown.title in out.splitlines()[0]
    words = " ".join(out.split())
    for part in (shown.mistake, shown.fix, *shown.files.values(), shown.setup, shown.change):
        assert " ".join(part.split()) in words
    for line in (*shown.message.splitlines(), *(f"$ {command}" for command in shown.commands)):
        assert f"  {line}".rstrip() in out
    assert ("To silence it" in out) == code.startswith("W")


def test_all_are_listed_by_family(explained) -> None:
    out, _, code = explained()
    assert code == 0
    assert all(f"  {each.code}  " in out and each.title in out for each in pages())
    assert [line for line in out.splitlines() if line and line[0] != " "] == [
        family for prefix, family in sorted(FAMILIES.items())
    ]


def test_a_number_alone_is_an_error(explained) -> None:
    assert explained("501")[0].startswith("E0501: ")


@pytest.mark.parametrize("word", ["w1010", "W1010", "high_dropout", "HIGH-DROPOUT"])
def test_a_code_or_a_name_in_any_case(word: str, explained) -> None:
    assert explained(word)[0].startswith("W1010 high_dropout: ")


def test_several_at_once(explained) -> None:
    out, _, _ = explained("E0501", "unused")
    assert "E0501: an unknown attribute" in out and "\nW1001 unused: " in out


@pytest.mark.parametrize(
    ("word", "help_"),
    [
        ("E0312", "did you mean 'E0306'?"),
        ("e0508", "did you mean 'E0505'?"),
        ("W9", "did you mean 'W1001'?"),
        ("unusd", "did you mean 'unused'?"),
        ("learning-rat", "did you mean 'learning_rate'?"),
        ("shape", "specc explain without a code lists them all"),
    ],
)
def test_an_unknown_code_gets_a_suggestion(word: str, help_: str, explained) -> None:
    out, err, code = explained(word)
    assert (out, code) == ("", 1)
    assert err.startswith(f"error[E1009]: there is no diagnostic '{word}'\nhelp: {help_}")


def test_for_programs(explained) -> None:
    (found,) = json.loads(explained("W1001", "--json")[0])["diagnostics"]
    assert found["name"] == "unused" == WARNINGS["W1001"]
    assert found["message"] == page("W1001").message
    assert found.keys() >= {"code", "title", "family", "mistake", "files", "fix", "change"}
    everything = json.loads(explained("--json")[0])["diagnostics"]
    assert [each["code"] for each in everything] == list(codes())

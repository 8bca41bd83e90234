"""How a diagnostic looks: excerpts with several places, long lines, wide and harmful characters."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import click
import pytest

from specc.cli import terminal
from specc.cli.boundary import guarded
from specc.cli.group import cli
from specc.cli.terminal import colour_allowed, styled
from specc.diagnostics import Diagnostic, Note, Source, Span
from specc.diagnostics.rendering import MAX_LINE
from specc.diagnostics.visible import visible, width


def shown(text: str, *places: str, help_: str = "") -> str:
    """The rendering of a mistake at the first place of a text, explained by the others."""
    source = Source("net.yaml", text)
    spans = [Span(source, text.index(each), text.index(each) + len(each)) for each in places]
    notes = tuple(Note(f"note {number}", span) for number, span in enumerate(spans[1:], 1))
    return str(Diagnostic("E0601", "wrong", spans[0], notes, help_))


def test_one_place() -> None:
    assert shown("one\n  two three\n", "two", help_="do") == (
        "net.yaml:2:3: error[E0601]: wrong\n"
        "  |\n"
        "2 |   two three\n"
        "  |   ^^^\n"
        "help: do"
    )  # fmt: skip


def test_places_near_each_other_share_an_excerpt() -> None:
    text = "a: alpha\nb: beta\nc: gamma alpha2\n"
    assert shown(text, "gamma", "alpha", "alpha2") == (
        "net.yaml:3:4: error[E0601]: wrong\n"
        "  |\n"
        "1 | a: alpha\n"
        "  |    ----- note 1\n"
        "2 | b: beta\n"
        "3 | c: gamma alpha2\n"
        "  |    ^^^^^\n"
        "  |          ------ note 2"
    )


def test_lines_between_far_places_are_left_out() -> None:
    text = "first\n" + "between\n" * 9 + "last\n"
    assert shown(text, "last", "first") == (
        "net.yaml:11:1: error[E0601]: wrong\n"
        "   |\n"
        " 1 | first\n"
        "   | ----- note 1\n"
        "...\n"
        "11 | last\n"
        "   | ^^^^"
    )


def test_a_place_in_another_file_has_an_excerpt_of_its_own() -> None:
    here, there = Source("net.yaml", "use: tower"), Source("parts.yaml", "tower: ~")
    notes = (Note("it is defined here", Span(there, 0, 5)), Note("line 1\nline 2"))
    assert str(Diagnostic("E0417", "wrong", Span(here, 5, 10), notes)) == (
        "net.yaml:1:6: error[E0417]: wrong\n"
        "  |\n"
        "1 | use: tower\n"
        "  |      ^^^^^\n"
        "note: parts.yaml:1:1: it is defined here\n"
        "  |\n"
        "1 | tower: ~\n"
        "  | ^^^^^\n"
        "note: line 1\n"
        "      line 2"
    )


def test_a_place_of_several_lines() -> None:
    text = "layers:\n  dense: 3\n\n  relu: {}\nend"
    assert shown(text, "dense: 3\n\n  relu: {}\n") == (
        "net.yaml:2:3: error[E0601]: wrong\n"
        "  |\n"
        "2 |   dense: 3\n"
        "  |   ^^^^^^^^\n"
        "3 |\n"
        "4 |   relu: {}\n"
        "  |   ^^^^^^^^"
    )
    many = "".join(f"  line {number}\n" for number in range(9))
    assert shown(many, many.strip()) == (
        "net.yaml:1:3: error[E0601]: wrong\n  |\n1 |   line 0\n  |   ^^^^^^"
    )


def test_tabs_and_wide_characters_keep_the_marks_in_place() -> None:
    for text in ("\tx: 数据 bad", "é: naïve bad", "x: e\u0301 bad", "日本 한국 ｗ bad"):
        _, _, line, marks = shown(text, "bad").splitlines()
        before = line.removeprefix("1 | ").partition("bad")[0]
        assert marks == f"  | {' ' * width(before)}^^^"
    assert [width(text) for text in ("ab", "数据", "e\u0301", "ｗ")] == [2, 4, 1, 2]


def test_a_long_line_is_cut_around_its_mark() -> None:
    text = "x" * 500 + " bad " + "y" * 500
    _, _, line, marks = shown(text, "bad").splitlines()
    assert line.startswith("1 | ...xxx") and line.endswith("yyy...")
    assert len(line) <= MAX_LINE + len("1 | ......")
    at = marks.index("^")
    assert line[at : at + 3] == "bad"
    near_the_end = "x" * 500 + " bad"
    assert shown(near_the_end, "bad").splitlines()[2].endswith("x bad")
    whole = "x" * (MAX_LINE - 4) + " bad"
    assert shown(whole, "bad").splitlines()[2] == f"1 | {whole}"


def test_far_places_of_a_long_line_are_shown_one_by_one() -> None:
    text = "first " + "x" * 400 + " last"
    lines = shown(text, "last", "first").splitlines()
    assert lines[2].endswith("xxx last") and lines[3].endswith("^^^^")
    assert lines[4].startswith("1 | first xxx") and lines[5] == "  | ----- note 1"


def test_a_mark_at_the_end_of_a_line_or_file() -> None:
    source = Source("net.yaml", "dense(3\n\nend")
    for start, end, line, column in ((7, 8, 1, 8), (8, 8, 2, 1), (12, 12, 3, 4)):
        text = str(Diagnostic("E0204", "wrong", Span(source, start, end)))
        assert text.startswith(f"net.yaml:{line}:{column}: ")
        assert text.splitlines()[3] == f"  | {' ' * (column - 1)}^"


HARMFUL = [
    *(chr(code) for code in range(32) if chr(code) not in "\t\n"),
    *(chr(code) for code in range(127, 161)),
    *"\u00ad\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufeff\ue000\udc80",
    "\U000e0041",
]


@pytest.mark.parametrize("character", HARMFUL, ids=lambda c: f"U+{ord(c):04X}")
def test_what_does_not_print_is_written_out(character: str) -> None:
    written = f"<U+{ord(character):04X}>"
    source = Source(f"n{character}et.yaml", f"name: a{character}b bad\n")
    start = source.text.index("bad")
    notes = (Note(f"one{character}"), Note(f"two{character}", Span(source, 0, 4)))
    diagnostic = Diagnostic(
        "E0403", f"say '{character}'", Span(source, start, start + 3), notes, f"help {character}"
    )
    for text in (str(diagnostic), click.unstyle(styled(diagnostic))):
        assert character not in text
        assert text.count(written) == 6
        assert all(each.isprintable() or each == "\n" for each in text)
        marked = next(line for line in text.splitlines() if "^^^" in line)
        line = text.splitlines()[2]
        assert line[marked.index("^") :][:3] == "bad"
    assert visible(character) == written


def test_a_name_cannot_look_like_another_message() -> None:
    text = str(Diagnostic("E0403", "'a\nnet.yaml:1:1: error[E0001]: b' cannot be a name"))
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("variables", "allowed"),
    [
        ({}, None),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, None),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, False),
    ],
)
def test_who_decides_on_colour(
    variables: dict[str, str], allowed: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert colour_allowed() is allowed


def on_a_terminal(folder: Path, *arguments: str, **variables: str) -> str:
    """What a command writes on a terminal."""
    ours, theirs = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    command = [sys.executable, "-m", "specc.cli", *arguments]
    with subprocess.Popen(
        command,
        cwd=folder,
        stdout=theirs,
        stderr=theirs,
        env={**environment, "TERM": "xterm", "PYTHONPATH": str(Path.cwd()), **variables},
    ):
        os.close(theirs)
        written = b""
        while True:
            try:
                chunk = os.read(ours, 4096)
            except OSError:  # the other side has gone, as Linux says it
                break
            if not chunk:
                break
            written += chunk
    os.close(ours)
    return written.decode().replace("\r\n", "\n")


def test_on_a_terminal_there_are_colours_and_a_pointer_to_more(tmp_path: Path) -> None:
    spec = "specc: 1\nname: net\ninputs: {x: [4]}\nlayers: [{dense: {unit: 3}}, rellu]\n"
    (tmp_path / "net.yaml").write_text(spec, encoding="utf-8")
    shown = on_a_terminal(tmp_path, "check", "net.yaml")
    assert "\x1b[31m\x1b[1m^^^^\x1b[0m" in shown
    assert shown.endswith("\nfor more: specc explain E0412 E0501\n")
    plain = on_a_terminal(tmp_path, "check", "net.yaml", NO_COLOR="1")
    assert plain == click.unstyle(shown)
    explained = on_a_terminal(tmp_path, "explain", "E0501")
    assert click.unstyle(explained) != explained


def test_elsewhere_there_is_no_pointer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.point_to_explanations([Diagnostic("E0501", "wrong")])
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    terminal.point_to_explanations([Diagnostic("E9999", "a mistake in specc")])
    assert capsys.readouterr().err == ""
    terminal.point_to_explanations([Diagnostic(f"E010{n}", "wrong") for n in range(1, 7)])
    assert capsys.readouterr().err == "\nfor more: specc explain E0101 E0102 E0103 E0104 ...\n"


def test_the_name_of_a_right_spec_is_harmless_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "net\x1b[2J\u202e.yaml"
    Path(name).write_text("specc: 1\nname: net\ninputs: {x: [4]}\nlayers: [{dense: 3}]\n")
    assert guarded(cli, ["check", name]) == 0
    assert capsys.readouterr().out == "net<U+001B>[2J<U+202E>.yaml: ok\n"

"""The frame of the command line: exit codes, messages, help, lazy loading, speed of the start."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from specc import __version__
from specc.cli import options
from specc.cli.boundary import guarded
from specc.cli.formats import diagnostic_json
from specc.cli.group import COMMANDS, cli
from specc.cli.terminal import styled
from specc.diagnostics import Diagnostic, Note, Source, Span, SpecError

NAMES = [name for group in COMMANDS.values() for name in group]


def command_that(body):
    return click.Command("test", callback=body)


def raise_(error: BaseException):
    raise error


@pytest.fixture
def diagnostic() -> Diagnostic:
    source = Source("net.yaml", "layers:\n  - relluu\n")
    return Diagnostic(
        "E0404",
        "there is no layer 'relluu'",
        Span(source, 12, 18),
        (Note("layers begin here", Span(source, 0, 6)),),
        "did you mean 'relu'?",
    )


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (SpecError(Diagnostic("E0101", "broken")), 1, "error[E0101]: broken"),
        (click.UsageError("no such option"), 2, "no such option"),
        (SpecError(Diagnostic("E1002", "the file failed")), 3, "error[E1002]"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (click.Abort(), 130, "interrupted"),
    ],
)
def test_whatever_happens_has_its_exit_code(error, code, message, capsys):
    assert guarded(command_that(lambda: raise_(error)), []) == code
    assert message in capsys.readouterr().err


def test_a_mistake_of_ours_asks_for_a_report_and_keeps_the_traceback(capsys):
    assert guarded(command_that(lambda: raise_(ZeroDivisionError("by zero"))), []) == 70
    shown = capsys.readouterr().err
    assert "error[E9999]: a mistake in specc itself: ZeroDivisionError: by zero" in shown
    assert "Traceback" not in shown
    log = Path(re.search(r"the whole story is in (\S+)", shown)[1])
    assert "Traceback (most recent call last)" in log.read_text()
    log.unlink()


def test_success_is_zero_and_a_command_may_choose_its_code():
    assert guarded(command_that(lambda: None), []) == 0
    assert guarded(command_that(lambda: click.get_current_context().exit(1)), []) == 1


def test_a_misspelt_command_is_suggested(capsys):
    assert guarded(cli, ["comprae"]) == 2
    assert "did you mean 'compare'?" in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself_with_examples(name, capsys):
    assert guarded(cli, [name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Examples:" in shown
    assert f"specc {name}" in shown


def test_the_help_names_every_command_and_exit_code(capsys):
    assert guarded(cli, ["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in NAMES)
    assert "70   a mistake in specc itself" in shown


def test_version_imports_no_more_than_it_needs():
    code = (
        "import sys; from specc.cli import main\n"
        "sys.argv = ['specc', '--version']\n"
        "try: main()\n"
        "finally: print(*sorted(sys.modules), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == f"specc {__version__}\n"
    loaded = set(ran.stderr.split())
    assert not loaded & {"numpy", "rich", "lark", "jsonschema", "yaml", "torch", "tensorflow"}


def test_colour_marks_the_parts_of_a_message_and_changes_nothing_else(diagnostic):
    shown = styled(diagnostic)
    assert click.unstyle(shown) == str(diagnostic)
    assert click.style("error[E0404]: there is no layer 'relluu'", fg="red", bold=True) in shown
    assert click.style("help:", fg="green", bold=True) in shown


def test_no_colour_leaves_a_pipe_or_no_color_variable(diagnostic, monkeypatch, capsys):
    monkeypatch.setenv("NO_COLOR", "1")
    guarded(command_that(lambda: raise_(SpecError(diagnostic))), [])
    assert capsys.readouterr().err.rstrip("\n") == str(diagnostic)


def test_a_diagnostic_as_json_counts_lines_and_columns_from_one(diagnostic):
    found = json.loads(json.dumps(diagnostic_json(diagnostic)))
    assert (found["file"], found["line"], found["column"]) == ("net.yaml", 2, 5)
    assert (found["end_line"], found["end_column"]) == (2, 11)
    assert found["notes"] == [
        {
            "message": "layers begin here",
            "file": "net.yaml",
            "line": 1,
            "column": 1,
            "end_line": 1,
            "end_column": 7,
        }
    ]


def test_settings_and_backends_are_read_from_their_options():
    seen = {}

    @click.command()
    @options.set_option
    @options.backends_option
    def command(sets, backends):
        seen.update(sets=sets, backends=backends)

    arguments = ["--set", "a.b=1", "--set", "name=x=y", "-b", "numpy,torch", "--backend", "numpy"]
    assert guarded(command, arguments) == 0
    assert seen == {"sets": {"a.b": "1", "name": "x=y"}, "backends": ("numpy", "torch")}
    assert guarded(command, ["--set", "nothing"]) == 2


def test_a_reader_that_leaves_is_no_failure():
    ran = subprocess.run(
        f"{sys.executable} -m specc.cli ops --json | head -c 10; exit ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")

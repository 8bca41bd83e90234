"""Every page of the catalogue says what happens: what it describes gives exactly its message, all
of it and nothing else, and with its change nothing is said any more.

``python -m tests.errors.test_catalogue [CODE ...]`` writes the messages anew: read the difference
before it is committed.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import sys
import tempfile
from pathlib import Path

import pytest

from specc.cli.boundary import guarded
from specc.cli.group import cli
from specc.diagnostics import WARNINGS, SpecError
from specc.diagnostics.catalogue import FAMILIES, FOLDER, Page, codes, page, parse, path_of
from tests.errors.scenes import SCENES

_FIRST = re.compile(r"^(\S+: )?(error|warning)\[", re.MULTILINE)
_LOG = re.compile(r"\S*specc-\w+\.log")


def said(page: Page, folder: Path) -> str:
    """What specc says, on standard error, when one does in a folder what the page describes."""
    lay_out(page, folder)
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        try:
            with SCENES.get(page.code, lambda _: contextlib.nullcontext())(patch):
                return [run(command) for command in page.commands][-1]
        except SpecError as error:
            return _LOG.sub("/tmp/specc-k2w0a7.log", str(error))


def lay_out(page: Page, folder: Path) -> None:
    """Writes the page's files."""
    for name, text in page.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    with contextlib.chdir(folder):
        exec(page.setup, {})


def run(command: str) -> str:
    """Standard error of a command line."""
    name, *arguments = shlex.split(command)
    assert name == "specc"
    written = io.StringIO()
    with contextlib.redirect_stderr(written), contextlib.redirect_stdout(io.StringIO()):
        guarded(cli, arguments)
    found = _FIRST.search(written.getvalue())  # after the bars that show how far training is
    return written.getvalue()[found.start() :].rstrip("\n") if found else ""


def changed(text: str, change: str) -> str:
    """The text with a page's change made: lines that go, that come, that stay."""
    lines, done = text.splitlines(), []
    for row in change.splitlines():
        sign, line = row[:1], row[1:]
        if sign != "+":
            at = lines.index(line)
            done += lines[:at] + ([line] if sign == " " else [])
            lines = lines[at + 1 :]
        else:
            done.append(line)
    return "\n".join([*done, *lines, ""])


@pytest.mark.parametrize("code", codes())
def test_the_message_is_what_is_said(code: str, tmp_path: Path) -> None:
    shown = page(code)
    assert said(shown, tmp_path) == shown.message
    assert f"[{code}" in shown.message
    # One page is about one code.
    assert set(re.findall(r"\b(?:error|warning)\[(\w+)", shown.message)) == {code}


@pytest.mark.parametrize("code", [code for code in codes() if page(code).change])
def test_the_change_mends_the_spec(code: str, tmp_path: Path) -> None:
    shown = page(code)
    lay_out(shown, tmp_path)
    name = next(iter(shown.files))
    mended = changed(shown.files[name], shown.change)
    assert mended != shown.files[name]
    (tmp_path / name).write_text(mended, encoding="utf-8")
    command = next((c for c in shown.commands if " check " in c), f"specc check {name}")
    with contextlib.chdir(tmp_path):
        assert run(command) == ""
        assert [run(each) for each in shown.commands][-1] == ""


@pytest.mark.parametrize("code", codes())
def test_a_page_is_complete(code: str) -> None:
    shown = page(code)
    assert shown.code == code
    assert FAMILIES[code[:3]]
    assert shown.mistake and shown.fix and not shown.title.endswith(".")
    assert 1 <= len(re.findall(r"\. |\.$", shown.mistake.replace("\n", " "))) <= 4
    assert all(len(line) <= 120 for line in f"{shown.mistake}\n{shown.fix}".splitlines())


def test_every_warning_has_a_name_and_every_name_a_page() -> None:
    assert [code for code in codes() if code.startswith("W")] == sorted(WARNINGS)
    assert len(set(WARNINGS.values())) == len(WARNINGS)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in WARNINGS.values())


def test_a_text_that_is_no_page_is_refused() -> None:
    for text in ("E0407: an unknown value\n", "# E0407: a title\n\nProse alone.\n"):
        with pytest.raises(ValueError, match="not a page"):
            parse(text)
    with pytest.raises(KeyError):
        page("E0000")


def renew(code: str) -> None:
    """Writes the message of a page anew."""
    with tempfile.TemporaryDirectory() as folder:
        message = said(page(code), Path(folder))
    path = path_of(code)
    text = path.read_text(encoding="utf-8")
    head, _, rest = text.partition("```text\n")
    rest = rest.partition("```\n")[2]
    path.write_text(f"{head}```text\n{message}\n```\n{rest}", encoding="utf-8")


if __name__ == "__main__":
    for each in sys.argv[1:] or [path.stem for path in sorted(FOLDER.glob("*.md"))]:
        renew(each)

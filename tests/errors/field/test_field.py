"""Mistakes that people made in public, as specs: ``check`` names the place, the cause and the way
out of each.

A case says where the mistake was found (``from``: a repository's issue or pull request, a page, or
what a framework documents), what went wrong there, and a spec that makes it. In the spec, ⟦ ⟧ stand
around what must be underlined and ⟪ ⟫ around what notes must point at; the first line of a spec
(``specc: 1`` and a name) is added. ``cause`` must stand in the message or its notes, ``fix`` in the
help.

``python tests/errors/field/test_field.py`` prints the figures: cases by repository, and how many
give the right place, cause and help.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from specc.cli.boundary import guarded
from specc.cli.group import cli
from specc.compiler import load_program
from specc.diagnostics import Diagnostic, SpecError

FOLDER = Path(__file__).parent
FIRST = {"yaml": "specc: 1\nname: net\n", "specc": "spec 1 net\n"}
MARKS = re.compile("[⟦⟧⟪⟫]")


@dataclass(frozen=True)
class Case:
    """One mistake. ``place`` and ``origins`` are (start, end) in ``text``."""

    id: str
    source: str
    code: str
    cause: tuple[str, ...]
    fix: tuple[str, ...]
    form: str
    text: str
    place: tuple[int, int]
    origins: tuple[tuple[int, int], ...]

    @property
    def repository(self) -> str:
        found = re.match(r"([\w.-]+/[\w.-]+)(?:#| PR )\d+", self.source)
        return found[1] if found else self.source.split(":")[0]


def read(entry: dict[str, object]) -> Case:
    """A case from its entry in a file."""
    form = "yaml" if "yaml" in entry else "specc"
    marked = ("" if entry.get("bare") else FIRST[form]) + str(entry[form])
    text, opened, spans = "", [], {"⟦": [], "⟪": []}
    for character in marked:
        if character in "⟦⟪":
            opened.append((character, len(text)))
        elif character in "⟧⟫":
            mark, start = opened.pop()
            spans[mark].append((start, len(text)))
        else:
            text += character
    assert not opened and len(spans["⟦"]) == 1, entry["id"]
    words = [tuple(entry[key]) for key in ("cause", "fix")]  # type: ignore[arg-type]
    head = [str(entry[key]) for key in ("id", "from", "code")]
    return Case(*head, *words, form, text, spans["⟦"][0], tuple(spans["⟪"]))  # type: ignore[arg-type]


def cases() -> Iterator[Case]:
    for path in sorted(FOLDER.glob("*.yaml")):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
            yield read(entry)


CASES = tuple(cases())


def diagnose(case: Case, folder: Path) -> tuple[Diagnostic, ...]:
    """What the compiler says of a case, errors or warnings."""
    path = folder / f"net.{case.form}"
    path.write_text(case.text, encoding="utf-8")
    try:
        return load_program(path)[1]
    except SpecError as error:
        return error.diagnostics


def judge(case: Case, found: tuple[Diagnostic, ...]) -> dict[str, bool]:
    """What of the answer is right."""
    if not found:
        return dict.fromkeys(("alone", "code", "place", "origins", "cause", "fix"), False)
    first = found[0]
    span = (first.span.start, first.span.end) if first.span else None
    notes = [(note.span.start, note.span.end) for note in first.notes if note.span]
    said = " ".join((first.message, *(note.message for note in first.notes)))
    return {
        "alone": len(found) == 1,
        "code": first.code == case.code,
        "place": span == case.place,
        "origins": all(any(a < end and start < b for a, b in notes) for start, end in case.origins),
        "cause": all(word in said for word in case.cause),
        "fix": all(word in first.help for word in case.fix),
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case(case: Case, tmp_path: Path) -> None:
    found = diagnose(case, tmp_path)
    wrong = [what for what, right in judge(case, found).items() if not right]
    assert not wrong, f"{', '.join(wrong)} of:\n" + "\n\n".join(map(str, found))


def test_check_shows_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command shows all of them at once, and no traceback."""
    for case in CASES:
        (tmp_path / f"{case.id}.{case.form}").write_text(case.text, encoding="utf-8")
    assert guarded(cli, ["check", *map(str, sorted(tmp_path.iterdir()))]) == 1
    told = capsys.readouterr().err
    assert "Traceback" not in told and "E9999" not in told
    for case in CASES:
        assert f"/{case.id}.{case.form}:" in told


def test_there_are_enough() -> None:
    assert len(CASES) >= 150
    assert len({case.id for case in CASES}) == len(CASES)
    assert len({case.text for case in CASES}) == len(CASES)
    assert not any(MARKS.search(case.text) for case in CASES)


def main() -> None:
    """Prints the figures, and what is wrong."""
    import sys
    import tempfile

    totals: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            found = diagnose(case, Path(folder))
            verdict = judge(case, found)
            totals.update(what for what, right in verdict.items() if right)
            totals["place and cause"] += all(
                verdict[what] for what in ("alone", "code", "place", "cause")
            )
            totals["everything"] += all(verdict.values())
            if "-v" in sys.argv and not all(verdict.values()):
                print(f"\n=== {case.id}: {[w for w, r in verdict.items() if not r]}")
                print("\n".join(map(str, found)))
    for repository, count in Counter(case.repository for case in CASES).most_common():
        print(f"{count:4} {repository}")
    print(f"{len(CASES)} cases: {dict(totals)}")


if __name__ == "__main__":
    main()

"""The docs: generated pages are current, specs in them are right, links lead somewhere."""

import re

import pytest

from specc.compiler import load_program
from specc.documentation import ROOT, pages

TOP = ROOT.parent
WRITTEN = sorted([*ROOT.glob("*.md"), *TOP.glob("*.md"), *(TOP / "examples").glob("*.md")])
_FENCE = re.compile(r"^```(.*?)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def specs():
    """Every whole spec in the pages: (page, suffix, text)."""
    for page in WRITTEN:
        for number, (tag, text) in enumerate(_FENCE.findall(page.read_text())):
            if "fragment" in tag:
                continue
            if re.search(r"^specc: 1", text, re.MULTILINE):
                yield pytest.param(text, ".yaml", id=f"{page.stem}-{number}")
            elif text.startswith("spec 1"):
                yield pytest.param(text, ".specc", id=f"{page.stem}-{number}")


def test_generated_pages_are_current():
    found = pages()
    stale = [n for n, t in found.items() if not (ROOT / n).exists() or (ROOT / n).read_text() != t]
    assert stale == [], "run `python -m specc.documentation`"
    kept = {f"ops/{path.name}" for path in (ROOT / "ops").glob("*.md")}
    assert kept == {name for name in found if name.startswith("ops/")}


@pytest.mark.parametrize("text, suffix", list(specs()))
def test_specs_in_the_docs_are_right(text, suffix, tmp_path):
    path = tmp_path / f"spec{suffix}"
    path.write_text(text)
    program, _ = load_program(path)
    assert program.graph.nodes


def test_there_are_specs_in_both_forms():
    forms = {param.values[1] for param in specs()}
    assert forms == {".yaml", ".specc"}


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = _FENCE.sub("", page.read_text())
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []

"""The docs: generated pages are current, specs in them are right, links lead somewhere."""

import ast
import re
import textwrap

import pytest

from specc.compiler import load_program
from specc.documentation import ROOT, pages

TOP = ROOT.parent
WRITTEN = sorted([*ROOT.rglob("*.md"), *TOP.glob("*.md"), *(TOP / "examples").rglob("*.md")])
_FENCE = re.compile(r"^```([a-z ]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SUFFIXES = {"yaml": ".yaml", "specc": ".specc"}


def blocks(*tags):
    """Every fenced block with one of these tags: (tag, text). A fragment has another tag."""
    for page in WRITTEN:
        for number, (tag, text) in enumerate(_FENCE.findall(page.read_text(encoding="utf-8"))):
            if tag in tags:
                name = page.relative_to(TOP).with_suffix("")
                yield pytest.param(tag, text, id=f"{name}-{number}")


def tags(text):
    return {tag for tag, _ in _FENCE.findall(text)}


def test_generated_pages_are_current():
    found = pages()
    stale = [n for n, t in found.items() if not (ROOT / n).exists() or (ROOT / n).read_text() != t]
    assert stale == [], "run `python -m specc.documentation`"
    kept = {f"ops/{path.name}" for path in (ROOT / "ops").glob("*.md")}
    assert kept == {name for name in found if name.startswith("ops/")}


@pytest.mark.parametrize("tag, text", blocks(*_SUFFIXES))
def test_specs_in_the_docs_are_right(tag, text, tmp_path):
    path = tmp_path / f"spec{_SUFFIXES[tag]}"
    path.write_text(text, encoding="utf-8")
    program, warnings = load_program(path)
    assert program.graph.nodes
    assert warnings == ()


@pytest.mark.parametrize("tag, text", blocks("python"))
def test_python_in_the_docs_parses(tag, text):
    ast.parse(textwrap.dedent(text))


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(TOP)))
def test_every_block_says_what_it_is(page):
    """So that none escapes the tests above."""
    known = {*_SUFFIXES, "python", "text", "console", "toml", "json", "mermaid"}
    known |= {f"{each} fragment" for each in ("yaml", "specc", "python")}
    assert tags(page.read_text(encoding="utf-8")) <= known


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(TOP)))
def test_links_lead_somewhere(page):
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []

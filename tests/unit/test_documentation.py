"""The docs: generated pages are current, specs in them are right, links lead somewhere."""

import ast
import re
import textwrap

import pytest

from specc.compiler import compile_spec, load_program
from specc.documentation import ROOT, pages
from specc.ir.text import program_text

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


@pytest.mark.parametrize("tag, text", list(blocks(*_SUFFIXES)))
def test_specs_in_the_docs_are_right(tag, text, tmp_path):
    path = tmp_path / f"spec{_SUFFIXES[tag]}"
    path.write_text(text, encoding="utf-8")
    program, warnings = load_program(path)
    assert program.graph.nodes
    assert warnings == ()


@pytest.mark.parametrize("tag, text", list(blocks("python")))
def test_python_in_the_docs_parses(tag, text):
    ast.parse(textwrap.dedent(text))


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(TOP)))
def test_every_block_says_what_it_is(page):
    """So that none escapes the tests above."""
    known = {*_SUFFIXES, "python", "text", "console", "toml", "json", "mermaid", "diff"}
    known |= {f"{each} fragment" for each in ("yaml", "specc", "python")}
    assert tags(page.read_text(encoding="utf-8")) <= known


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(TOP)))
def test_links_lead_somewhere(page):
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_the_readme_shows_what_its_spec_compiles_to(tmp_path):
    found = _FENCE.findall((TOP / "README.md").read_text(encoding="utf-8"))
    path = tmp_path / "digits.yaml"
    path.write_text(next(text for tag, text in found if tag == "yaml"), encoding="utf-8")
    excerpts = [text for tag, text in found if tag == "python"]
    assert len(excerpts) == 3
    for backend, excerpt in zip(("torch", "tensorflow", "numpy"), excerpts, strict=True):
        whole = compile_spec(path, backend=backend, optimize=0).splitlines()
        written = {line.strip() for line in whole}
        assert [line for line in excerpt.splitlines() if line.strip() not in written] == []
    program, _ = load_program(path)
    language = next(text for tag, text in found if tag == "specc")
    path.with_suffix(".specc").write_text(language, encoding="utf-8")
    assert program_text(load_program(path.with_suffix(".specc"))[0]) == program_text(program)


def test_both_forms_in_the_docs_are_the_same_network(tmp_path):
    found = _FENCE.findall((ROOT / "language.md").read_text(encoding="utf-8"))
    whole = [(tag, text) for tag, text in found if tag in _SUFFIXES]
    assert [tag for tag, _ in whole] == ["yaml", "specc"] * 3
    programs = []
    for tag, text in whole:
        path = tmp_path / f"spec{_SUFFIXES[tag]}"
        path.write_text(text, encoding="utf-8")
        programs.append(program_text(load_program(path)[0]))
    assert programs[::2] == programs[1::2]


def test_the_readme_repeats_the_figures_of_the_results():
    results = (ROOT / "results.md").read_text(encoding="utf-8")
    readme = (TOP / "README.md").read_text(encoding="utf-8").partition("## What the examples")[2]
    rows = [line.strip("| ").split(" | ") for line in readme.splitlines() if " / " in line][1:]
    assert len(rows) >= 7
    for example, _, scores, keras, apart in rows:
        assert f"{scores} | {keras} |" in results, example
        assert f"| {example} | {apart} |" in results, example

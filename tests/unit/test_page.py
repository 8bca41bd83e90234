"""The page of `specc graph --format html`: its links, its figures, and that texts stay texts."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from specc.cli.boundary import guarded
from specc.cli.group import cli
from specc.compiler import compile_program, load_program
from specc.ir.graph import Graph, node_bodies
from specc.page.html import SCRIPTS, html_page
from specc.page.links import link_source

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
# Every kind of layer, blocks that are used in several ways, and layers that are called twice.
OTHERS = sorted((ROOT / "tests" / "mutation" / "specs").glob("*.yaml"))
BACKENDS = ("numpy", "torch", "tensorflow")
LARGE = ROOT / "benchmarks" / "specs" / "gpt48.yaml"
# A script that would run, or markup that would show, wherever it is not text.
HOSTILE = "</script><script>document.title='broken'</script><img src=x onerror=alert(1)><!--"


class Elements(HTMLParser):
    """The elements of a page, and the text in each kind."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags:
            self.texts.setdefault(self.tags[-1][0], []).append(data)

    def data(self) -> Any:
        return json.loads(next(text for text in self.texts["script"] if text.startswith("{")))


def page_of(spec: Path, tmp_path: Path, *options: str) -> str:
    path = tmp_path / "net.html"
    assert guarded(cli, ["graph", str(spec), "-o", str(path), *options]) == 0
    return path.read_text(encoding="utf-8")


# Links


@cache
def linked(spec: Path, backend: str) -> tuple[str, dict[str, list[tuple[int, int]]], list[str]]:
    """The source, its links, and the paths of the layers that have parameters."""
    program, _ = load_program(spec)
    source = compile_program(program, backend)
    return source, link_source(source, program), list(with_parameters(program.graph))


def with_parameters(graph: Graph, prefix: str = "") -> Iterator[str]:
    for node in graph.nodes:
        if node.parameters:
            yield f"{prefix}{node.path}"
        for child, body in node_bodies(node):
            yield from with_parameters(body, f"{prefix}{child}.")


def statement_texts(source: str) -> dict[int, str]:
    """The statement of each line, the innermost one."""
    lines, found = source.splitlines(), {}
    for node in ast.walk(ast.parse(source)):  # the outer ones first
        if isinstance(node, ast.stmt):
            text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
            found.update(dict.fromkeys(range(node.lineno, (node.end_lineno or 0) + 1), text))
    return found


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("spec", [*EXAMPLES, *OTHERS], ids=lambda path: path.stem)
def test_every_layer_with_parameters_has_lines_that_mention_it(spec: Path, backend: str) -> None:
    source, links, layers = linked(spec, backend)
    statements = statement_texts(source)
    assert layers
    for path in layers:
        assert links.get(path), path
        name = path.rpartition(".")[2].partition("@")[0]
        for first, last in links[path]:
            for line in range(first, last + 1):
                assert name in statements[line], (path, line, statements[line])


def test_forward_and_backward_lines_of_a_layer_in_numpy() -> None:
    source, links, _ = linked(ROOT / "examples" / "mnist_cnn.yaml", "numpy")
    lines = source.splitlines()
    found = ["\n".join(lines[first - 1 : last]) for first, last in links["conv2"]]
    assert any("conv2 = conv2d(" in text for text in found)
    assert any('g["conv2.kernel"] = conv2d_kernel_gradient(' in text for text in found)
    assert any('("conv2.kernel", (3, 3, 32, 64)' in text for text in found)
    pool = ["\n".join(lines[first - 1 : last]) for first, last in links["max_pool2d"]]
    assert any("max_pool2d_1 = max_pool2d(conv1, (2, 2))" in text for text in pool)
    assert any("max_pool2d_gradient(" in text for text in pool)


def test_the_lines_of_a_block_are_those_of_each_of_its_uses() -> None:
    source, links, _ = linked(ROOT / "examples" / "image_classification.yaml", "tensorflow")
    lines = source.splitlines()
    shared = next(
        i for i, text in enumerate(lines, 1) if "self.conv2 = keras.layers.Conv2D" in text
    )
    for use in ("residual", "stage.0", "stage.1"):
        assert any(first <= shared <= last for first, last in links[f"{use}.conv2"])
        assert any("class Residual" in lines[first - 1] for first, _ in links[use])


def test_the_calls_of_a_shared_layer_are_told_apart() -> None:
    source, links, _ = linked(ROOT / "examples" / "two_inputs.yaml", "torch")
    lines = source.splitlines()

    def calls(path: str) -> list[str]:
        texts = ["\n".join(lines[first - 1 : last]) for first, last in links[path]]
        return [text for text in texts if "self.encode(" in text]

    first, second = calls("encode"), calls("encode@1")
    assert len(first) == len(second) == 1
    assert first != second


# Figures


@pytest.mark.parametrize("spec", [*EXAMPLES, LARGE], ids=lambda path: path.stem)
def test_the_summary_agrees(spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(cli, ["summary", str(spec), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    data = Elements(page_of(spec, tmp_path, "--backend", "torch")).data()
    figures = [(each[0][0], each[1][0], each[2][0]) for each in data["figures"]]
    layers = [
        (each["parameters"], each["flops"], each["bytes"]["activations_per_sample"])
        for each in summary["layers"]
    ]
    assert figures == layers
    totals = dict(data["totals"])
    assert totals["trained parameters"] == f"{summary['parameters']['trained']:,}"


# The page


def test_it_is_one_small_file_that_asks_for_nothing(tmp_path: Path) -> None:
    page = page_of(LARGE, tmp_path)
    assert len(page.encode()) < 1_000_000
    found = Elements(page)
    assert not {"link", "img", "iframe", "object", "base"} & {tag for tag, _ in found.tags}
    assert not any({"src", "href", "action"} & attributes.keys() for _, attributes in found.tags)
    policy = next(a["content"] for tag, a in found.tags if tag == "meta" and "http-equiv" in a)
    assert "default-src 'none'" in str(policy) and "unsafe" not in str(policy)


def test_no_text_of_a_spec_becomes_markup(tmp_path: Path) -> None:
    spec = tmp_path / "net.yaml"
    text = (ROOT / "examples" / "mlp.yaml").read_text(encoding="utf-8")
    spec.write_text(f"# {HOSTILE}\n{text}")
    plain = Elements(page_of(ROOT / "examples" / "mlp.yaml", tmp_path))
    found = Elements(page_of(spec, tmp_path))
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in plain.tags]
    assert found.data()["documents"][0]["text"].startswith(f"# {HOSTILE}\n")


def test_a_hostile_title_is_text() -> None:
    page = html_page({"title": HOSTILE})
    found = Elements(page)
    assert found.texts["title"][0] == HOSTILE
    assert [tag for tag, _ in found.tags].count("script") == 2
    assert found.data() == {"title": HOSTILE}


def test_the_parts_of_the_script_share_a_scope_and_no_name() -> None:
    folder = ROOT / "specc" / "page" / "assets"
    assert {path.stem for path in folder.glob("*.js")} == set(SCRIPTS)
    texts = [(folder / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    names = re.findall(r"(?m)^(?:function|class|const|let) (\w+)", "\n".join(texts))
    assert len(names) == len(set(names))


def test_backends_are_for_the_page_alone(capsys: pytest.CaptureFixture[str]) -> None:
    spec = str(EXAMPLES[0])
    assert guarded(cli, ["graph", spec, "--backend", "torch"]) == 2
    assert "--backend is for the html format" in capsys.readouterr().err


def test_the_sources_are_those_asked_for(tmp_path: Path) -> None:
    data = Elements(page_of(EXAMPLES[0], tmp_path, "--backend", "torch,numpy")).data()
    assert [each["title"] for each in data["documents"]] == ["Spec", "PyTorch", "NumPy"]


TRICKY = {
    "blocks.yaml": """\
blocks:
  tower:
    parameters: {units: ~}
    inputs: [x]
    layers:
      - {name: type, dense: {units: $units, activation: relu}}
      - {name: y, dense: {units: 8}}
    outputs: [y]
""",
    "net.yaml": """\
specc: 1
name: tricky
includes: [blocks.yaml]
inputs: {x: {shape: [T, 8]}}
layers:
  - {name: forward, use: tower, with: {units: 5}}
  - {name: affine, dense: {units: 8}}

  - name: h
    repeat:
      times: 7
      layers:
        - {name: a, dense: {units: 8}}
        - tanh
  # comments before the next layer are not the repeat's
  - {name: last, dense: {units: 8}}
outputs: [last]
""",
}


def test_included_files_names_that_clash_and_lines_of_the_spec(tmp_path: Path) -> None:
    for name, text in TRICKY.items():
        (tmp_path / name).write_text(text)
    data = Elements(page_of(tmp_path / "net.yaml", tmp_path)).data()
    titles = [each["title"] for each in data["documents"]]
    assert titles == ["Spec", "Included", "NumPy", "PyTorch", "TensorFlow"]
    lines = {
        node["path"]: [data["documents"][node["lines"][0]]["name"], *node["lines"][1:]]
        for graph in data["graphs"]
        for node in graph["nodes"]
    }
    assert lines["forward"] == ["net.yaml", 6, 6]
    assert lines["type"] == ["blocks.yaml", 6, 6]
    assert lines["h"] == ["net.yaml", 9, 14]
    assert lines["tanh"] == ["net.yaml", 14, 14]
    for document in data["documents"][2:]:
        text = document["text"].splitlines()
        for path in ("forward.type", "affine", "h.3.a"):
            name = path.rpartition(".")[2]
            assert any(name in text[first - 1] for first, _ in document["links"][path]), path
    assert [len(passes) for passes in data["passes"]] == [7]
    assert data["passes"][0][0][1] == ["136 * T", "136 * T"]

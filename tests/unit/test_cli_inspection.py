"""summary, graph and ops: what they say about a spec with blocks, a repeat and two outputs."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from specc.cli.boundary import guarded
from specc.cli.group import cli

SPEC = str(Path(__file__).parent / "fixtures" / "two_branches.yaml")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert guarded(cli, arguments) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_the_summary_counts_blocks_and_their_insides_once(capsys):
    found = json.loads(run(capsys, "summary", SPEC, "--json"))
    layers = {layer["path"]: layer for layer in found["layers"]}
    branch = 8 * 5 + 5 + 5 * 8 + 8
    assert layers["p"]["kind"] == "branch"
    assert layers["p"]["parameters"] == branch
    assert layers["p.h"]["parameters"] == 8 * 5 + 5
    assert layers["r"]["parameters"] == 3 * 72
    assert layers["r.2.dense"]["outputs"] == ["(batch, 8)"]
    total = sum(layer["parameters"] for layer in found["layers"] if not layer["depth"])
    assert found["parameters"]["trained"] == total
    assert found["bytes"]["parameters"] == 4 * total
    assert found["flops"] == sum(layer["flops"] for layer in found["layers"] if not layer["depth"])


def test_the_summary_opens_blocks_as_deep_as_asked(capsys):
    assert "h.relu" in run(capsys, "summary", SPEC)
    assert "h.relu" not in run(capsys, "summary", SPEC, "--depth", "0")


def test_set_reaches_the_program(capsys):
    found = json.loads(run(capsys, "summary", SPEC, "--set", "inputs.a.shape=[3]", "--json"))
    layers = {layer["path"]: layer for layer in found["layers"]}
    assert layers["p.h"]["parameters"] == 3 * 5 + 5


def test_mermaid_has_a_node_per_layer_and_an_arrow_per_wire(capsys):
    shown = run(capsys, "graph", SPEC)
    assert shown.startswith("flowchart TD\n")
    assert 'n2[["p<br/>branch → float[8]"]]' in shown
    assert shown.count("-->") == 7


def test_an_expanded_graph_chains_the_repeat(capsys):
    shown = run(capsys, "graph", SPEC, "--expand", "--format", "dot")
    number = {
        line.split('"')[1].split("\\n")[0]: line.split()[0]
        for line in shown.splitlines()
        if "label=" in line
    }
    for source, target in (("q.z", "r.0.dense"), ("r.0.dense", "r.1.dense"), ("b", "q.h")):
        assert f"{number[source]} -> {number[target]};" in shown


def test_the_svg_is_well_formed_and_its_boxes_do_not_overlap(capsys, tmp_path):
    path = tmp_path / "net.svg"
    run(capsys, "graph", SPEC, "--expand", "-o", str(path))
    root = ElementTree.parse(path).getroot()
    boxes = [
        tuple(float(rect.get(key)) for key in ("x", "y", "width", "height"))
        for rect in root.iter("{http://www.w3.org/2000/svg}rect")
    ]
    assert len(boxes) == 2 + 2 * 3 + 3 + 2 + 2
    for i, (x, y, width, height) in enumerate(boxes):
        for other_x, other_y, other_width, other_height in boxes[:i]:
            apart = x + width <= other_x or other_x + other_width <= x
            assert apart or y + height <= other_y or other_y + other_height <= y


def test_ops_lists_and_explains(capsys):
    assert "conv2d" in run(capsys, "ops")
    shown = run(capsys, "ops", "conv2d")
    assert "kernel_size" in shown
    found = json.loads(run(capsys, "ops", "linear", "--json"))
    assert found["kind"] == "dense"
    attributes = {attribute["name"]: attribute for attribute in found["attributes"]}
    assert attributes["units"]["required"]
    assert attributes["kernel_initializer"]["default"]["keras"] == "glorot_uniform"


def test_an_unknown_op_is_suggested(capsys):
    assert guarded(cli, ["ops", "cnv2d"]) == 1
    assert "did you mean 'conv2d'?" in capsys.readouterr().err


def test_check_reports_every_spec_and_all_as_json(capsys, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text(Path(SPEC).read_text().replace("{name: first, dense:", "{name: first, dens:"))
    assert guarded(cli, ["check", SPEC, str(bad), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["ok"]
    assert any("dens" in item["message"] for item in found["diagnostics"])
    assert guarded(cli, ["check", SPEC, str(bad)]) == 1
    captured = capsys.readouterr()
    assert captured.out == f"{SPEC}: ok\n"
    assert "error[" in captured.err


def test_show_prints_the_program_after_a_pass(capsys):
    shown = run(capsys, "show", SPEC, "--after", "none")
    assert "graph branch(x: float[8]) {" in shown
    assert "h: float[5] = relu(h.preactivation" in shown
    assert "mean_squared_error(first, y)" in shown
    assert "fuse_losses" in run(capsys, "show", SPEC, "--passes")
    assert guarded(cli, ["show", SPEC, "--after", "fuse_loss"]) == 2
    assert "did you mean 'fuse_losses'?" in capsys.readouterr().err

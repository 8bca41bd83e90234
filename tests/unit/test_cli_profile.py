"""--profile: the phases of a compilation, as a table and as a trace."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from specc.compiler import compile_spec
from specc.tracing import chrome_trace, phase, recording

SPEC = Path(__file__).parents[2] / "examples/mnist_cnn.yaml"


def specc(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "specc.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_phases_hold_phases() -> None:
    with recording() as root:
        with phase("outer"), phase("inner"):
            pass
        with phase("outer"):
            pass
    start, first, second = root.phases
    assert [each.name for each in (start, first, second)] == ["start", "outer", "outer"]
    assert [each.name for each in first.phases] == ["inner"]
    inner = first.phases[0]
    assert 0 < start.end <= first.start <= inner.start <= inner.end <= first.end <= second.start
    assert second.end <= root.end == root.seconds


def test_a_failure_ends_its_phases() -> None:
    with pytest.raises(ZeroDivisionError), recording() as root, phase("outer"), phase("inner"):
        _ = 1 / 0
    assert root.end >= root.phases[-1].end >= root.phases[-1].phases[0].end > 0
    assert phase("later") is phase("others"), "nothing is recorded any more"


def test_imports_are_told_by_what_begins_them(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "profiled_a.py").write_text("import profiled_b\n", encoding="utf-8")
    (tmp_path / "profiled_b.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with recording() as root:
        import profiled_a  # noqa: F401
    assert [(each.name, each.detail) for each in root.phases[1:]] == [("imports", "profiled_a")]


def test_every_part_of_the_compiler_has_its_phase() -> None:
    with recording() as root:
        compile_spec(SPEC, backend="numpy")
    events = chrome_trace(root)["traceEvents"]
    names = {event["name"] for event in events}
    assert {"read", "layers", "infer", "training", "fuse_losses", "verify", "emit numpy"} <= names
    assert all(event["dur"] >= 0 for event in events)
    layers = sum(event["name"] == "infer" for event in events)
    assert layers == 8, "one for each layer"


def test_the_table(tmp_path: Path) -> None:
    result = specc("build", "--profile", SPEC, "-b", "torch", "-o", tmp_path)
    assert result.returncode == 0
    assert result.stdout == f"{tmp_path}/mnist_cnn_torch.py\n"
    rows = [line.split() for line in result.stderr.splitlines()]
    assert rows[0] == ["phase", "times", "ms", "own", "ms", "share"]
    assert rows[1][0] == "total" and rows[1][-1] == "100%"
    assert re.search(r"^ +emit torch +1 +[\d.]+ +[\d.]+ +\d+%", result.stderr, re.MULTILINE)


def test_the_trace_of_a_spec_that_is_wrong(tmp_path: Path) -> None:
    spec, trace = tmp_path / "net.yaml", tmp_path / "trace.json"
    spec.write_text(SPEC.read_text(encoding="utf-8").replace("conv2d", "conv2f"), encoding="utf-8")
    result = specc("check", spec, "--profile", trace)
    assert result.returncode == 1 and "error[E0412]" in result.stderr
    events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    assert events[0]["name"] == "total" and "layers" in {event["name"] for event in events}

"""Large specs: the work of the compiler grows with the layers, and errors at size stay few words.

What is counted is calls and not time, so that these tests say the same on every machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from specc.compiler import compile_program, load_program
from specc.diagnostics import SpecError
from specc.frontend.configure import MAX_REPORTED
from specc.frontend.limits import MAX_LAYERS, MAX_NESTING

HEAD = "specc: 1\nname: deep\ninputs: {x: [8]}\n"
BACKENDS = ("numpy", "torch", "tensorflow")


def chain(layers: int) -> str:
    return f"{HEAD}layers:\n" + "  - {dense: 8}\n  - relu\n" * (layers // 2)


def named(layers: int) -> str:
    return f"{HEAD}layers:\n" + "".join(f"  - {{name: a{i}, dense: 8}}\n" for i in range(layers))


def repeat(layers: int) -> str:
    body = "[{dense: {units: 8, activation: relu}}]"
    return f"{HEAD}layers:\n  - repeat: {{times: {layers}, layers: {body}}}\n"


def indexed(layers: int) -> str:
    body = '[{dense: {units: "${8 + 0 * i}"}}]'
    return f"{HEAD}layers:\n  - repeat: {{times: {layers}, index: i, layers: {body}}}\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "deep.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def calls_of(work: Callable[[], Any]) -> int:
    """How many functions are called, each step of a generator counted too."""
    count = 0

    def note(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def errors(path: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_program(path)
    return [str(each) for each in caught.value.diagnostics]


@pytest.mark.parametrize("spec", [chain, named, repeat, indexed])
@pytest.mark.parametrize("backend", ["", *BACKENDS])
def test_the_work_grows_with_the_layers(tmp_path: Path, spec, backend: str) -> None:
    def work(layers: int) -> int:
        path = written(tmp_path, spec(layers))
        if not backend:
            return calls_of(lambda: load_program(path))
        program, _ = load_program(path)
        return calls_of(lambda: compile_program(program, backend))

    work(100)  # imports and caches are not counted
    first, second, third = (work(layers) for layers in (100, 200, 400))
    # Where the work is a + b * layers, what 200 more layers cost is twice what 100 more cost.
    assert third - second <= 2.1 * (second - first) + 100


def test_a_layer_is_inferred_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from specc.ops.dense import Dense

    infer, calls = Dense.infer, []
    monkeypatch.setattr(Dense, "infer", lambda op, site: calls.append(1) or infer(op, site))
    load_program(written(tmp_path, chain(500)))
    assert len(calls) == 250
    calls.clear()
    load_program(written(tmp_path, repeat(500)))
    assert len(calls) == 1, "all passes share a body"


def test_advice_about_large_sizes_is_quick(tmp_path: Path) -> None:
    """Divisors of an odd number of this size are not found by trying one after the other."""
    text = HEAD.replace("[8]", "[8, 1099511627689]") + "layers: [{conv1d: {filters: 2, "
    with pytest.raises(SpecError, match="1099511627689"):
        load_program(written(tmp_path, f"{text}kernel_size: 1, groups: 2}}}}]\n"))


@pytest.mark.parametrize("spec", [chain, repeat])
def test_the_largest_network_compiles(tmp_path: Path, spec) -> None:
    program, _ = load_program(written(tmp_path, spec(MAX_LAYERS)))
    text = compile_program(program, "torch")
    assert "class Deep(nn.Module)" in text


def nested(depth: int) -> str:
    blocks = "".join(f"  b{i}: {{layers: [{{use: b{i - 1}}}]}}\n" for i in range(1, depth))
    return f"{HEAD}blocks:\n  b0: {{layers: [relu]}}\n{blocks}layers: [{{use: b{depth - 1}}}]\n"


def test_blocks_within_blocks_have_a_limit(tmp_path: Path) -> None:
    program, _ = load_program(written(tmp_path, nested(MAX_NESTING)))
    for backend in BACKENDS:
        compile_program(program, backend)
    for depth in (MAX_NESTING + 1, 2000):
        (error,) = errors(written(tmp_path, nested(depth)))
        assert "error[E0430]: blocks and repeats stand more than 64 deep" in error


@pytest.mark.parametrize(
    ("layer", "code"),
    [
        ("{dense: {units: 8, actvation: relu}}", "E0501"),
        ("{dense: -1}", "E0503"),
        ("dnse", "E0412"),
        ("{name: a%d, dense: 8, from: b%d}", "E0407"),
        ("{layer: c%d, from: x}", "E0413"),
        ("{conv2d: {filters: 8, kernel_size: 3}, from: x}", "E0601"),
    ],
)
def test_every_layer_of_a_large_spec_may_be_wrong(tmp_path: Path, layer: str, code: str) -> None:
    count = 2000
    lines = "".join(f"  - {layer.replace('%d', str(i))}\n" for i in range(count))
    path = written(tmp_path, f"{HEAD}layers:\n{lines}")
    found: list[str] = []
    # Were each wrong name compared with all others, there would be tens of millions of calls.
    assert calls_of(lambda: found.extend(errors(path))) < 4_000_000
    assert len(found) == MAX_REPORTED
    assert f"after {MAX_REPORTED} mistakes the spec was not read further" in found[-1]
    assert all(f"error[{code}]" in each and len(each) < 600 for each in found)


def test_a_large_block_is_not_listed_in_full(tmp_path: Path) -> None:
    lines = "".join(f"      - {{name: layer{i}, dense: 8}}\n" for i in range(500))
    text = f"{HEAD}blocks:\n  b:\n    layers:\n{lines}      - {{dense: 8, from: other}}\n"
    (error,) = errors(written(tmp_path, f"{text}layers: [{{use: b}}]\n"))
    assert "help: a block sees its own inputs and layers only" in error and len(error) < 600

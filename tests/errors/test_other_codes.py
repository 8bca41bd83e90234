"""Diagnostics that are about no text of a spec: data files, plug-ins, runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from specc import plugins
from specc.backends.base import Backend
from specc.cli.boundary import guarded
from specc.cli.group import cli
from specc.compiler import compile_spec, load_program
from specc.diagnostics import SpecError
from specc.entry_points import EntryPoint
from specc.ir.graph import Program
from specc.runner.compare import compare
from specc.runner.comparison import Settings
from specc.runner.experiment import load_data
from specc.runner.run_data import prepared_part
from specc.runner.run_folder import Run

NET = """specc: 1
name: net
inputs: {image: {shape: [4]}}
targets: {label: {shape: [], dtype: int}}
layers: [{name: y, dense: {units: 3, activation: softmax}}]
training:
  loss: {sparse_categorical_crossentropy: {prediction: y, target: label}}
"""
DATA = "data: {source: npz, path: numbers.npz, inputs: {image: x}, targets: {label: y}}\n"


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.yaml"
    path.write_text(NET, encoding="utf-8")
    return path


def found(error: pytest.ExceptionInfo[SpecError]) -> str:
    return str(error.value)


def raised_by_data(path: Path, text: str) -> str:
    path.write_text(NET + text, encoding="utf-8")
    with pytest.raises(SpecError) as error:
        load_data(load_program(path)[0], path.parent)
    return found(error).replace(f"{path.parent}/", "")


# Data


def test_a_file_that_is_not_there(net: Path) -> None:
    np.savez(net.parent / "number.npz", x=np.zeros((3, 4)))
    assert raised_by_data(net, DATA) == (
        "net.yaml:8:27: error[E0802]: there is no file 'numbers.npz' beside the spec\n"
        "  |\n"
        "8 | data: {source: npz, path: numbers.npz, inputs: {image: x}, targets: {label: y}}\n"
        "  |                           ^^^^^^^^^^^\n"
        "help: did you mean 'number.npz'?"
    )


def test_an_array_that_is_not_there(net: Path) -> None:
    np.savez(net.parent / "numbers.npz", xs=np.zeros((3, 4)), y=np.zeros(3, int))
    assert raised_by_data(net, DATA) == (
        "net.yaml:8:56: error[E0804]: numbers.npz has no array 'x'\n"
        "  |\n"
        "8 | data: {source: npz, path: numbers.npz, inputs: {image: x}, targets: {label: y}}\n"
        "  |                                                        ^\n"
        "help: did you mean 'xs'?"
    )


# Backends and plug-ins


class Narrow(Backend):
    """A backend that has no forms at all."""

    name = "narrow"
    title = "Narrow"

    def emit(self, program: Program, only: str = "all") -> str:
        return "".join(self.lower(node).expression for node in program.graph.nodes)


class Broken(Narrow):
    """A backend that cannot be made."""

    def __init__(self) -> None:
        raise OSError("out of order")


ENTRIES = {
    "narrow": EntryPoint("narrow", f"{__name__}:Narrow", "narrow-specc 1.0"),
    "broken": EntryPoint("broken", f"{__name__}:Broken", "broken-specc 0.1"),
    "again": EntryPoint("narrow", f"{__name__}:Broken", "broken-specc 0.1"),
}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts packages in place of those that are installed."""

    def install(*names: str) -> None:
        monkeypatch.setattr(plugins, "entry_points", lambda group: [ENTRIES[n] for n in names])
        plugins.backend_entries.cache_clear()

    monkeypatch.setattr(plugins, "load_operations", lambda: None)
    yield install
    plugins.backend_entries.cache_clear()


def raised(net: Path, backend: str) -> str:
    with pytest.raises(SpecError) as error:
        compile_spec(net, backend=backend)
    return found(error).replace(f"{net.parent}/", "")


def test_an_operation_that_a_backend_cannot_express(net: Path, installed: Any) -> None:
    installed("narrow")
    assert raised(net, "narrow") == (
        "net.yaml:5:20: error[E0901]: the backend 'narrow' cannot express 'dense' as it is used "
        "here\n"
        "  |\n"
        "5 | layers: [{name: y, dense: {units: 3, activation: softmax}}]\n"
        "  |                    ^^^^^\n"
        "help: choose another backend, or give it a form of this operation"
    )


def test_a_backend_that_is_not_there(net: Path) -> None:
    message = "error[E0902]: there is no backend 'pytorch'\nhelp: did you mean 'torch'?"
    assert raised(net, "pytorch") == message


def test_two_backends_of_one_name(net: Path, installed: Any) -> None:
    installed("narrow", "again")
    assert raised(net, "narrow") == (
        "error[E0903]: two packages bring a backend 'narrow': narrow-specc 1.0 and "
        "broken-specc 0.1\n"
        "help: uninstall one of them"
    )


def test_a_plugin_that_does_not_load(net: Path, installed: Any) -> None:
    installed("broken")
    assert raised(net, "broken") == (
        "error[E0904]: the plug-in 'broken' of broken-specc 0.1 does not load\n"
        f"note: {__name__}:Broken: OSError: out of order\n"
        "help: update or uninstall it"
    )


# Runs


def test_files_of_two_specs_cannot_be_compared(net: Path) -> None:
    sources = {}
    for name, text in (("one", NET), ("two", NET.replace("units: 3", "units: 3, use_bias: false"))):
        net.write_text(text, encoding="utf-8")
        sources[name] = net.with_name(f"{name}.py")
        sources[name].write_text(compile_spec(net, backend="numpy"), encoding="utf-8")
    train = {"inputs": {"image": np.zeros((4, 4))}, "targets": {"label": np.zeros(4, int)}}
    with pytest.raises(SpecError) as error:
        compare(sources, train, Settings(batch_size=2, steps=1))
    assert found(error) == (
        "error[E1003]: the files for one and two have different parameters\n"
        "note: only one of them has y.bias"
    )


def test_a_part_that_the_data_do_not_have(net: Path) -> None:
    np.savez(net.parent / "numbers.npz", x=np.zeros((3, 4)), y=np.zeros(3, int))
    net.write_text(NET + DATA, encoding="utf-8")
    about = {"name": "net", "spec": str(net), "dtype": "float32"}
    folder = net.parent / "run"
    folder.mkdir()
    (folder / "spec.yaml").write_text(NET + DATA, encoding="utf-8")
    with pytest.raises(SpecError) as error:
        prepared_part(Run(folder, about), "test", None)
    assert found(error) == (
        "error[E1008]: the data of net have no test part\n"
        "help: choose another --part, or other rows with --data"
    )


def test_an_operation_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(cli, ["ops", "conv2"]) == 1
    told = capsys.readouterr().err
    assert "error[E1009]: there is no operation 'conv2'" in told
    assert "did you mean 'conv2d'?" in told


def test_a_device_that_is_not_there(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(net.parent / "numbers.npz", x=np.zeros((9, 4)), y=np.zeros(9, int))
    net.write_text(NET + DATA, encoding="utf-8")
    runs = str(net.parent / "runs")
    assert guarded(cli, ["train", str(net), "--device", "abacus", "--run-dir", runs]) == 1
    told = capsys.readouterr().err
    assert "error[E1010]: numpy cannot compute on the device 'abacus'" in told
    assert "every backend has a cpu" in told

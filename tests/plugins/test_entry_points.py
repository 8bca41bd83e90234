"""Plug-ins that clash or fail are one clear diagnostic, and what is installed is found."""

import json
import os
import subprocess
import sys
import zipfile
from importlib import metadata

import pytest
from packages import BROKEN_BACKEND, OP, install

from specc import plugins
from specc.diagnostics import SpecError
from specc.entry_points import entry_points

BACKENDS, OPERATIONS = "specc.backends", "specc.ops"
SPEC = """\
specc: 1
name: net
inputs: {x: {shape: [4]}}
layers: [dense: 3, {name: y, made: {}}]
outputs: [y]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder on the path whose packages this test makes."""
    monkeypatch.syspath_prepend(tmp_path / "site")
    plugins.backend_entries.cache_clear()
    plugins.load_operations.cache_clear()
    yield tmp_path / "site"
    plugins.backend_entries.cache_clear()
    plugins.load_operations.cache_clear()


def refusal(call, *arguments):
    with pytest.raises(SpecError) as caught:
        call(*arguments)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def specc(site, *arguments, cwd):
    """The command with the packages of ``site``; their ops stay out of this process."""
    return subprocess.run(
        [sys.executable, "-m", "specc.cli", *arguments],
        env={**os.environ, "PYTHONPATH": str(site), "COLUMNS": "200"},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("group", [BACKENDS, OPERATIONS, "pytest11", "console_scripts"])
def test_the_same_entry_points_as_importlib_finds(group):
    ours = {(each.name, each.value) for each in entry_points(group)}
    assert ours == {(each.name, each.value) for each in metadata.entry_points(group=group)}


def test_packages_in_a_zip_file_are_found(tmp_path, monkeypatch):
    install(tmp_path / "site", "zipped", "OPS = ()", OPERATIONS, zipped="zipped:OPS")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in (tmp_path / "site").rglob("*"):
            archive.write(path, path.relative_to(tmp_path / "site"))
    monkeypatch.syspath_prepend(tmp_path / "all.zip")
    (found,) = (each for each in entry_points(OPERATIONS) if each.name == "zipped")
    assert (found.package, found.load()) == ("zipped 1.0", ())


def test_a_package_counts_once_and_the_first_on_the_path_wins(folder, tmp_path, monkeypatch):
    install(folder, "twice", "OPS = ()", OPERATIONS, twice="twice:OPS")
    install(tmp_path / "later", "twice", "OPS = 1", OPERATIONS, twice="twice:OTHER")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "later"), "/no/such/folder"])
    (found,) = (each for each in entry_points(OPERATIONS) if each.name == "twice")
    assert found.value == "twice:OPS"


def test_two_packages_with_one_backend(folder):
    install(folder, "mine", "", BACKENDS, torch="mine:Backend")
    found = refusal(plugins.find_backend, "numpy")
    assert found.code == "E0903"
    assert "two packages bring a backend 'torch'" in found.message
    assert "mine 1.0" in found.message and "uninstall one" in found.help


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def broken(:", "SyntaxError"),
        ("Other = 1", "AttributeError"),
        ("class Backend: pass", "is not a subclass of specc.backends.base.Backend"),
        (
            "from specc.backends.base import Backend as Base\nclass Backend(Base): pass",
            "TypeError: Can't instantiate abstract class",
        ),
    ],
)
def test_a_backend_that_does_not_load(folder, source, cause, request):
    name = f"failing_{request.node.callspec.indices['source']}"
    install(folder, name, source, BACKENDS, failing=f"{name}:Backend")
    assert plugins.find_backend("numpy").name == "numpy"  # the others still work
    found = refusal(plugins.find_backend, "failing")
    assert found.code == "E0904"
    assert found.message == f"the plug-in 'failing' of {name.replace('_', '-')} 1.0 does not load"
    assert cause in found.notes[0].message


@pytest.mark.parametrize(
    ("kind", "value", "code", "message"),
    [
        ("dense", "(Made,)", "E0903", "the op name 'dense' of"),
        ("linear", "(Made,)", "E0903", "the op name 'linear' of"),  # an alias
        ("made", "Made", "E0904", "does not load"),
        ("made", "(1,)", "E0904", "does not load"),
        ("made", "(Made, 1 / 0)", "E0904", "does not load"),
    ],
)
def test_ops_that_cannot_be_registered(folder, kind, value, code, message, request):
    name = f"ops_{request.node.callspec.indices['kind']}"
    install(folder, name, OP.format(kind=kind, value=value), OPERATIONS, mine=f"{name}:OPS")
    found = refusal(plugins.load_operations)
    assert found.code == code
    assert message in found.message
    assert f"'mine' of {name.replace('_', '-')} 1.0" in found.message


def test_an_op_from_outside_is_an_op_like_any_other(tmp_path):
    site = tmp_path / "site"
    source = OP.format(kind="made", value="[Made]")
    install(site, "maker", source, OPERATIONS, maker="maker:OPS")
    (tmp_path / "net.yaml").write_text(SPEC, encoding="utf-8")
    command = ["build", "net.yaml", "--backend", "numpy", "--optimize", "0", "-o", "-"]
    built = specc(site, *command, cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    assert "y = dense * 2" in built.stdout
    listed = json.loads(specc(site, "ops", "made", "--json", cwd=tmp_path).stdout)
    assert listed["doc"] == "An op from outside."
    schema = json.loads(specc(site, "schema", cwd=tmp_path).stdout)
    assert "made" in schema["$defs"]["layer"]["anyOf"][1]["properties"]
    # A backend for which it brings no form says so at the layer.
    refused = specc(site, "build", "net.yaml", "--backend", "torch", "-o", "-", cwd=tmp_path)
    assert refused.returncode == 1
    assert (
        "net.yaml:4:30: error[E0901]: the backend 'torch' cannot express 'made'" in refused.stderr
    )


def test_a_failing_plug_in_is_said_once_and_not_with_a_traceback(tmp_path):
    site = tmp_path / "site"
    install(site, "failing", "import no_such_module", OPERATIONS, mine="failing:OPS")
    (tmp_path / "net.yaml").write_text(SPEC, encoding="utf-8")
    done = specc(site, "check", "net.yaml", "net.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("error[E0904]") == 1
    assert "update or uninstall it" in done.stderr and "Traceback" not in done.stderr


def test_a_backend_from_outside_is_listed(tmp_path):
    source = BROKEN_BACKEND.format(ending="")
    install(tmp_path / "site", "mine", source, BACKENDS, broken="mine:Broken")
    listed = json.loads(specc(tmp_path / "site", "backends", "--json", cwd=tmp_path).stdout)
    packages = {each["name"]: each["package"] for each in listed}
    assert packages["broken"] == "mine 1.0"

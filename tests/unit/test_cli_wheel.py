"""An installed wheel works outside the checkout, with its grammar, schema and preludes inside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
SPEC = CHECKOUT / "tests" / "unit" / "fixtures" / "two_branches.yaml"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The unpacked wheel: a folder that Python finds packages and their entry points in."""
    source = tmp_path_factory.mktemp("source")
    for name in ("specc", "grammar", "schemas"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(CHECKOUT / name, source / name, ignore=ignore)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", "dist", "."], cwd=source, check=True, capture_output=True)
    (wheel,) = (source / "dist").glob("*.whl")
    place = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    return place


def specc(installed: Path, folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-P", "-m", "specc.cli", *arguments]
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_wheel_holds_what_the_compiler_reads(installed):
    names = {str(path.relative_to(installed)) for path in installed.rglob("*")}
    assert "specc/grammar/specc.lark" in names
    assert "specc/schemas/spec.schema.json" in names
    assert not any(name.startswith(("tests", "benchmarks", "grammar")) for name in names)


def test_the_installed_compiler_compiles_both_forms_for_every_backend(installed, tmp_path):
    shutil.copy(SPEC, tmp_path / "net.yaml")
    (tmp_path / "net.specc").write_text(specc(installed, tmp_path, "convert", "net.yaml"))
    for form in ("net.yaml", "net.specc"):
        specc(installed, tmp_path, "build", form, "-o", f"from_{form}")
        built = {path.name for path in (tmp_path / f"from_{form}").iterdir()}
        assert built == {f"two_branches_{name}.py" for name in ("numpy", "torch", "tensorflow")}


def test_the_installed_compiler_writes_the_page_of_a_network(installed, tmp_path):
    specc(installed, tmp_path, "graph", str(SPEC), "-o", "net.html", "--backend", "numpy")
    assert "<svg" in (tmp_path / "net.html").read_text(encoding="utf-8")


def test_the_installed_catalogue_explains_every_code(installed, tmp_path):
    found = json.loads(specc(installed, tmp_path, "explain", "--json"))["diagnostics"]
    pages = (CHECKOUT / "specc" / "diagnostics" / "catalogue").glob("*.md")
    assert {each["code"] for each in found} == {path.stem for path in pages}
    assert "there is no value 'hiden'" in specc(installed, tmp_path, "explain", "e0407")


def test_what_runs_is_the_installed_package(installed, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    code = (
        "import specc, specc.resources\n"
        "print(specc.__file__, specc.resources.resource_path('grammar', 'specc.lark'))"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(word.startswith(str(installed)) for word in ran.stdout.split())

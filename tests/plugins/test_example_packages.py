"""The packages in examples/plugins install, and their own tests pass where they are installed.

They run in processes of their own, so that operations from outside stay out of the other tests.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "examples" / "plugins"
# Parts of the suites by pytest's -k, each a test here, so that several processes share the work.
PARTS = {
    "jax-mlp": ("specc_jax", "mlp"),
    "jax-mnist_cnn": ("specc_jax", "mnist_cnn"),
    "jax-rest": ("specc_jax", "not (mlp or mnist_cnn)"),
    "snake": ("specc_snake", ""),
}


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A folder into which pip has installed the packages, built from copies of their folders."""
    folder = tmp_path_factory.mktemp("plugins")
    sources = [folder / "sources" / name for name in ("specc_jax", "specc_snake")]
    for source in sources:
        unwanted = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
        shutil.copytree(PLUGINS / source.name, source, ignore=unwanted)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", folder / "site"]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
    subprocess.run([*map(str, [*command, *options, *sources])], check=True)
    return folder / "site"


def environment(site: Path, cache: Path) -> dict[str, str]:
    """JAX keeps what it has compiled for the processes of a suite."""
    return {
        **os.environ,
        "PYTHONPATH": str(site),
        "OMP_NUM_THREADS": "1",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "JAX_PLATFORMS": "cpu",
    }


@pytest.mark.parametrize("part", PARTS)
def test_suite(part, site, tmp_path):
    package, chosen = PARTS[part]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen]
    done = subprocess.run(
        [*command, str(PLUGINS / package / "tests")],
        env=environment(site, tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout and " skipped" not in done.stdout

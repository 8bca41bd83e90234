"""Makes packages that look installed: a module and the metadata with its entry points."""

from pathlib import Path

BROKEN_BACKEND = '''
from specc.backends.numpy.backend import NumpyBackend


class Broken(NumpyBackend):
    """NumPy with something at the end of its files that breaks them."""

    def emit(self, program, only="all"):
        text = super().emit(program, only).replace('BACKEND = "numpy"', 'BACKEND = "broken"')
        return text + {ending!r}
'''
OP = '''
from specc.ops.base import Form, Op


class Made(Op):
    """An op from outside."""

    kind = {kind!r}
    family = "activations"

    def numpy(self, node):
        return Form("{{input}} * 2")


OPS = {value}
'''


def install(folder: Path, name: str, source: str, group: str, **entries: str) -> None:
    """A package ``name`` 1.0 in ``folder``: what pip leaves behind, as far as specc looks."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(source, encoding="utf-8")
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    listed = "".join(f"{key} = {value}\n" for key, value in entries.items())
    text = f"[console_scripts]\nx = y:z\n\n[{group}]\n{listed}"
    (metadata / "entry_points.txt").write_text(text, encoding="utf-8")
    (metadata / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n", encoding="utf-8")

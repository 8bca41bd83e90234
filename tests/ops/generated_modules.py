"""Compiles small specs and loads the generated files, to compare them with an oracle."""

import types
from pathlib import Path

from specc.compiler import compile_spec


def generate(text: str, backend: str, folder: Path) -> types.ModuleType:
    """The generated file of a spec given as YAML, as a module."""
    path = folder / "spec.yaml"
    path.write_text(text)
    module = types.ModuleType(f"generated_{backend}")
    source = compile_spec(path, backend=backend)
    module.__dict__["__file__"] = str(folder / f"{backend}.py")
    exec(compile(source, module.__file__, "exec"), module.__dict__)
    return module

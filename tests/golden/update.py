"""Writes the generated files of all examples anew: ``python -m tests.golden.update``.

Read the difference before it is committed: it is what users will get.
"""

from __future__ import annotations

from pathlib import Path

from specc.compiler import compile_program, load_program

FOLDER = Path(__file__).parent
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
BACKENDS = ("numpy", "torch", "tensorflow")
# These are kept in NumPy's textbook form as well.
TEXTBOOK = ("mnist_cnn", "speech_lstm")


def built(example: Path) -> dict[Path, str]:
    """{file: source} of an example on every backend."""
    program, _ = load_program(example)
    found = {
        FOLDER / f"{example.stem}_{backend}.py": compile_program(program, backend)
        for backend in BACKENDS
    }
    if example.stem in TEXTBOOK:
        text = compile_program(program, "numpy", optimize=0)
        found[FOLDER / f"{example.stem}_textbook.py"] = text
    return found


def main() -> None:
    sources = {path: text for example in EXAMPLES for path, text in built(example).items()}
    for path, text in sources.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    for backend in BACKENDS:
        for path in set(FOLDER.glob(f"*_{backend}.py")) - sources.keys():
            path.unlink()


if __name__ == "__main__":
    main()

"""The compiler in several threads at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from specc.compiler import compile_spec
from specc.syntax import evaluate, parse

SOURCES = Path(__file__).parents[2] / "specc"
EXAMPLES = sorted((SOURCES.parent / "examples").glob("*.yaml"))


def test_specs_compile_in_several_threads() -> None:
    alone = [compile_spec(path, backend="numpy") for path in EXAMPLES]
    with ThreadPoolExecutor(4) as threads:
        for _ in range(2):
            found = threads.map(lambda path: compile_spec(path, backend="numpy"), EXAMPLES)
            assert list(found) == alone


def test_python_is_parsed_in_one_place() -> None:
    """The one that holds the lock. Documentation and conformance suites run by themselves."""
    elsewhere = {
        str(path.relative_to(SOURCES))
        for path in SOURCES.rglob("*.py")
        if "ast.parse(" in path.read_text(encoding="utf-8")
    }
    assert elsewhere == {"syntax.py", "testing/conformance.py", "documentation/operations.py"}


def test_literals_and_what_is_none() -> None:
    assert evaluate("(1, 'a')") == (1, "a")
    with pytest.raises(ValueError):
        evaluate("f(1)")
    with pytest.raises(SyntaxError):
        parse("1 +")

"""What must hold for any bytes that the front ends are given: the fuzz target.

A text is read, built to a program, written in both forms and read again. Whatever it holds, it is
a spec or it is refused by diagnostics; and where it is a spec, both forms of it are the same one.
"""

from __future__ import annotations

import contextlib
import signal
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from specc.diagnostics import Diagnostic, Source, SpecError
from specc.frontend.build import build_program
from specc.frontend.formatter import format_text, to_dsl, to_yaml
from specc.frontend.includes import Includes
from specc.frontend.normal import normalize
from specc.frontend.reader import read_source
from specc.frontend.sources import decode
from specc.frontend.tree import Mapping, Scalar, to_plain
from specc.ir.text import program_text
from specc.plugins import load_operations

FORMS = ("yaml", "specc")
SECONDS = 2.0
"""Processor time that one input may take."""
PARTS = {
    "parts.yaml": b"parameters: {units: 3}\n"
    b"blocks: {pair: {parameters: {width: 2}, layers: [{dense: $width}, relu]}}\n",
    "parts.specc": b"block pair(width = 2) {\n  input x\n  x | dense(width) | relu\n}\n",
}
"""The files that an input may include."""


class BrokenError(AssertionError):
    """A property that an input breaks; the first word is its name."""


class TookTooLong(BaseException):
    """No Exception, so that nothing in the compiler can catch it."""


def exercise(content: bytes, form: str, thorough: bool = False) -> str:
    """Puts one text through the front ends; says how far it came: "refused", "read" or "built".

    Conversions of what is no program are the costly part: they are tried on every fourth such
    text, or on all if ``thorough``. Raises BrokenError, TookTooLong, or what a mistake in specc
    raises.
    """
    load_operations()
    with _limited():
        try:
            tree = _read(content, form)
        except SpecError as error:
            _check_refusal(error)
            return "refused"
        program = _program(tree)
        if program is not None or thorough or zlib.crc32(content) % 4 == 0:
            _check_format(content, form, program)
            _check_yaml(tree, program)
            _check_language(tree, program)
        return "read" if program is None else "built"


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TookTooLong(f"more than {SECONDS} seconds of processor time")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _read(content: bytes, form: str) -> Mapping:
    """The tree of a text that is called net.yaml or net.specc, its includes merged."""

    def read(path: Path, name: str, include: Callable[[Scalar], Mapping]) -> Mapping:
        own = content if path.name == f"net.{form}" else PARTS.get(path.name)
        if own is None:
            raise SpecError(Diagnostic("E0001", f"there is no file '{name}'"))
        return read_source(decode(own, name), include)

    path = Path(f"net.{form}")
    return Includes(path.parent, read).spec(path, str(path))


def _program(tree: Mapping) -> str | None:
    """The program as text; None for a spec that is refused."""
    try:
        program, warnings = build_program(tree, "net.yaml")
    except SpecError as error:
        _check_refusal(error)
        return None
    for each in warnings:
        str(each)
    described = [program.name, program.conventions, program.layout, program.dtype, program.seed]
    section = program.data and (program.data.options, program.data.references, program.data.split)
    # Where things stand differs between the forms; nothing else may.
    kept = [sorted(program.outputs), [t.name for t in program.targets], program.training is None]
    return f"{described} {kept} {section is None}\n{program_text(program)}"


def _check_refusal(error: SpecError) -> None:
    """Every refusal says something, and shows a place that exists."""
    _require(bool(error.diagnostics), "silent: refused without a diagnostic")
    for each in error.diagnostics:
        _require(bool(each.message), f"silent: {each.code} has no message")
        str(each)


def _check_format(content: bytes, form: str, program: str | None) -> None:
    """Formatted, a text is the same spec, and formatted again it is the same text."""
    source = decode(content, f"net.{form}")
    text = format_text(source)
    _same("format-stable", text, format_text(Source(f"net.{form}", text)))
    _same("format-program", program, _program(_read(text.encode(), form)))


def _check_yaml(tree: Mapping, program: str | None) -> None:
    """Written as YAML, a tree reads back to itself."""
    text = to_yaml(tree)
    again = _read(text.encode(), "yaml")
    # As text, where nan equals itself and 1 is not True.
    _same("yaml-tree", repr(to_plain(tree)), repr(to_plain(again)))
    _same("yaml-stable", text, to_yaml(again))
    _same("yaml-program", program, _program(again))


def _check_language(tree: Mapping, program: str | None) -> None:
    """Written in the language, a tree reads back to its normal form, and so does its YAML."""
    try:
        text = to_dsl(tree)
    except SpecError as error:
        _check_refusal(error)
        codes = {each.code for each in error.diagnostics}
        _require(codes == {"E0211"}, f"language-refusal: {sorted(codes)}")
        return
    again = _read(text.encode(), "specc")
    _same(
        "language-tree",
        _unordered(to_plain(normalize(tree))),
        _unordered(to_plain(normalize(again))),
    )
    _same("language-stable", text, to_dsl(again))
    _same("language-program", program, _program(again))
    _same("language-twice", text, to_dsl(_read(to_yaml(again).encode(), "yaml")))


def _unordered(value: Any) -> str:
    """Values as text, mappings sorted: the language writes some attributes without their names, in
    their own order."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_unordered(value[key])}' for key in sorted(value))}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_unordered, value))}]"
    return repr(value)


def _same(name: str, first: object, second: object) -> None:
    _require(first == second, f"{name}: the two differ\n--- first\n{first}\n--- second\n{second}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise BrokenError(message)

"""Broken and odd specs from good ones: a mutator that knows what specs are made of."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
LONGEST = 4000
"""Longer seeds are cut, so that an input takes milliseconds; size has tests of its own."""

_FENCE = re.compile(r"^```(yaml|specc|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_TOKEN = re.compile(r"\w+|[ \t]+|\n|\*\*|//|[<>=!]=|\$\{|.", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_]\w*")

ODD_VALUES = (
    "0 1 -1 2 3 7 1.5 -0.0 1e-3 1e300 1e999 .inf -.inf .nan 99999999999999999999"
    " 4611686018427387904 0x1F 0o17 017 1_000"
    " true false null ~ yes no '' \"\" [] {} [[]] {a: 1} [1, 2] [x] x y t"
    ' $w ${w} ${1/0} ${2**64} "${w * 2}" "${if w > 1 then 2 else 3}" "${[1,2]}" $$ !!str'
    " &a *a << --- ... %YAML ? | > - : , # ! & * @ ` ' \" \\ ( ) { } ="
).split(" ")
ODD_CHARACTERS = (
    "\0", "\x07", "\x1b", "\x7f", "\t", "\r", "\r\n", "\x0b", "\x0c", "\x85", "\xa0", "\u2028",
    "\u2029", "\ufeff", "\u200b", "\u200e", "\u202e", "\u2066", "\u2069", "\u00e9", "e\u0301",
    "\uff4e", "\u0430", "\U0001f600", "\ud7ff", "\ufffd", "\uffff", "$", "\\", '"', "'",
)  # fmt: skip
COMMENTS = ("# a", "#", "#b # c", "# \u2028d", "# ${e}", "#\tf", "# g: [")

Edit = Callable[[random.Random, str], str]


@cache
def seeds() -> tuple[tuple[str, str], ...]:
    """Form and text of every spec of the repository: examples, tests, snippets of the pages."""
    found: dict[tuple[str, str], None] = {}
    for path in sorted(_spec_files()):
        text = path.read_text(encoding="utf-8", errors="replace")
        found.setdefault((path.suffix[1:], text[:LONGEST]))
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for fence, text in _FENCE.findall(page.read_text(encoding="utf-8")):
            language = fence == "specc" or text.startswith("spec 1")
            found.setdefault(("specc" if language else "yaml", text[:LONGEST]))
    return tuple(found)


def _spec_files() -> Iterator[Path]:
    for folder in (ROOT / "examples", ROOT / "tests"):
        for ending in ("yaml", "specc"):
            yield from folder.rglob(f"*.{ending}")


@cache
def words() -> tuple[str, ...]:
    """Every word of the seeds: names of operations, attributes, sections and values."""
    return tuple(sorted({word for _, text in seeds() for word in _WORD.findall(text)}))


def mutate(content: bytes, form: str, draw: random.Random) -> bytes:
    """The text after a few random edits, now and then of its bytes."""
    text = content.decode("utf-8", errors="surrogateescape")
    for _ in range(draw.choice((1, 1, 1, 2, 2, 3, 5))):
        text = draw.choice(_EDITS)(draw, text)
        if draw.random() < 0.15:
            text = _splice(draw, text, form)
    content = text.encode("utf-8", errors="surrogateescape")
    if draw.random() < 0.03:
        content = _bytes(draw, content)
    return content[: 2 * LONGEST]


def _tokens(draw: random.Random, text: str) -> tuple[list[str], int]:
    tokens = _TOKEN.findall(text) or [" "]
    return tokens, draw.randrange(len(tokens))


def _drop(draw: random.Random, text: str) -> str:
    tokens, at = _tokens(draw, text)
    del tokens[at : at + draw.choice((1, 1, 2, 4))]
    return "".join(tokens)


def _repeat(draw: random.Random, text: str) -> str:
    tokens, at = _tokens(draw, text)
    count = draw.choice((1, 1, 2, 6))
    return "".join(tokens[:at] + tokens[at : at + count] * 2 + tokens[at + count :])


def _swap(draw: random.Random, text: str) -> str:
    tokens, at = _tokens(draw, text)
    other = draw.randrange(len(tokens))
    tokens[at], tokens[other] = tokens[other], tokens[at]
    return "".join(tokens)


def _word(draw: random.Random, text: str) -> str:
    """Another word in the place of a word."""
    tokens, at = _tokens(draw, text)
    places = [i for i, token in enumerate(tokens) if _WORD.fullmatch(token)]
    own = [tokens[i] for i in places]
    if places:
        at = draw.choice(places)
        tokens[at] = draw.choice(own if draw.random() < 0.5 else words())
    return "".join(tokens)


def _value(draw: random.Random, text: str) -> str:
    """An odd value in the place of a word or a number."""
    tokens, at = _tokens(draw, text)
    places = [i for i, token in enumerate(tokens) if token[0].isalnum()]
    tokens[draw.choice(places) if places else at] = draw.choice(ODD_VALUES)
    return "".join(tokens)


def _number(draw: random.Random, text: str) -> str:
    tokens, at = _tokens(draw, text)
    places = [i for i, token in enumerate(tokens) if token.isdigit()]
    if places:
        tokens[draw.choice(places)] = str(draw.choice((0, 1, 2, 3, 5, 8, 16, 2**31, 2**63)))
    return "".join(tokens)


def _insert(draw: random.Random, text: str) -> str:
    at = draw.randrange(len(text) + 1)
    return text[:at] + draw.choice((*ODD_VALUES, *ODD_CHARACTERS)) + text[at:]


def _comment(draw: random.Random, text: str) -> str:
    lines = text.split("\n")
    at = draw.randrange(len(lines))
    indent = " " * draw.randrange(7)
    if draw.random() < 0.5:
        lines[at] += indent + draw.choice(COMMENTS)
    else:
        lines.insert(at, indent + draw.choice(COMMENTS))
    return "\n".join(lines)


def _lines(draw: random.Random, text: str) -> str:
    """Lines left out, doubled, moved or indented otherwise."""
    lines = text.split("\n")
    first = draw.randrange(len(lines))
    last = min(len(lines), first + draw.choice((1, 1, 2, 5)))
    block = lines[first:last]
    match draw.randrange(4):
        case 0:
            lines[first:last] = []
        case 1:
            lines[first:last] = block * 2
        case 2:
            lines[first:last] = []
            at = draw.randrange(len(lines) + 1)
            lines[at:at] = block
        case _:
            indent = draw.choice((" ", "  ", "    ", "\t", "- "))
            lines[first:last] = [indent + line for line in block]
    return "\n".join(lines)


def _splice(draw: random.Random, text: str, form: str) -> str:
    """Some lines of another spec of the same form."""
    other = draw.choice([seed for kind, seed in seeds() if kind == form]).split("\n")
    first = draw.randrange(len(other))
    lines = text.split("\n")
    at = draw.randrange(len(lines) + 1)
    lines[at:at] = other[first : first + draw.choice((1, 1, 2, 3, 8))]
    return "\n".join(lines)


def _bytes(draw: random.Random, content: bytes) -> bytes:
    """A byte changed, or the end cut off."""
    if not content:
        return bytes([draw.randrange(256)])
    at = draw.randrange(len(content))
    if draw.random() < 0.3:
        return content[:at]
    return content[:at] + bytes([draw.randrange(256)]) + content[at + 1 :]


_EDITS: tuple[Edit, ...] = (
    _drop, _repeat, _swap, _word, _word, _value, _value, _number, _insert, _comment, _lines, _lines,
)  # fmt: skip

"""Takes options that a program does not use out of the functions that its file copies.

A kernel of a prelude serves every program: it pads, strides, masks and smooths. Where no call in a
file gives such an option, or all give it as None, False or 0, the copied function loses the
parameter and all that depends on it, as if it had been written for this program. Sentences of its
docstring that speak of the parameter go as well, the first one aside.
"""

from __future__ import annotations

import ast
import io
import re
import textwrap
import tokenize
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from specc.backends.fold import Folder, Option, Options, is_constant, leave_out
from specc.syntax import evaluate, parse

_COMMENT = re.compile(r"^(?P<indent>\s*)_(?P<kind>line|end)_comment\((?P<text>.*)\)$")
_TUPLE = re.compile(r"^(return|[^=]* =) \((.*[^,])\)$")
_WIDTH = 96  # of a docstring's lines, without their indentation


def specialize(
    functions: Mapping[str, str], callers: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    """The functions without their unused options, and the callers without these arguments.

    ``functions`` maps names to the text of one definition each; ``callers`` are other pieces of
    source that call them.
    """
    texts = dict(functions)
    mentioned = re.compile(rf"\b(?:{'|'.join(functions)})\b")
    others = [_Caller(text) for text in callers if mentioned.search(text)]
    while options := _unused(texts, others):
        texts = {name: _rewrite(text, options) for name, text in texts.items()}
        for each in others:
            each.leave_out(options)
    written = {each.text: each.written() for each in others}
    return texts, [written.get(text, text) for text in callers]


class _Caller:
    """A source that calls functions: its calls lose arguments, all else stays as it is written."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.uses = _uses(parse(text))
        self._edited: list[ast.Call] = []

    def leave_out(self, options: Options) -> None:
        for name, call in self.uses:
            if call is not None and name in options and leave_out(call, options[name]):
                self._edited.append(call)

    def written(self) -> str:
        starts = [0]
        for line in self.text.encode().splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        data, parts, done = self.text.encode(), list[bytes](), 0
        for call in sorted(self._edited, key=lambda each: (each.lineno, each.col_offset)):
            start = starts[call.lineno - 1] + call.col_offset
            if start >= done:  # not within another call
                parts += [data[done:start], ast.unparse(call).encode()]
                done = starts[(call.end_lineno or 1) - 1] + (call.end_col_offset or 0)
        return b"".join([*parts, data[done:]]).decode()


def _unused(functions: Mapping[str, str], callers: Sequence[_Caller]) -> Options:
    """{function: {parameter: its one value}} for parameters that every call leaves alone."""
    trees = {name: _parsed(text) for name, text in functions.items()}
    calls: dict[str, list[ast.Call]] = {}
    mentions: Counter[str] = Counter()
    for uses in [*map(_uses, trees.values()), *(each.uses for each in callers)]:
        for name, node in uses:
            mentions[name] += 1
            if node is not None:
                calls.setdefault(name, []).append(node)
    found = {}
    for name, tree in trees.items():
        definition, known = tree.body[0], calls.get(name, [])
        if isinstance(definition, ast.FunctionDef) and known and len(known) == mentions[name]:
            found[name] = dict(_options(definition, known))
    return {name: options for name, options in found.items() if options}


@lru_cache(1024)
def _parsed(text: str) -> ast.Module:
    """The tree of a source; nobody changes it."""
    return parse(text)


@lru_cache(1024)
def _uses(tree: ast.Module) -> list[tuple[str, ast.Call | None]]:
    """Every name that a source mentions, with the call where it is called."""
    found: list[tuple[str, ast.Call | None]] = []
    called: set[int] = set()
    for node in _nodes(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found.append((node.func.id, node))
            called.add(id(node.func))
        elif isinstance(node, ast.Name) and id(node) not in called:
            found.append((node.id, None))
    return found


def _nodes(tree: ast.AST) -> list[ast.AST]:
    """What ast.walk gives, in half of its time."""
    found = [tree]
    for node in found:
        for value in vars(node).values():
            if isinstance(value, ast.AST):
                found.append(value)
            elif isinstance(value, list):
                found += [each for each in value if isinstance(each, ast.AST)]
    return found


def _options(function: ast.FunctionDef, calls: Sequence[ast.Call]) -> Iterator[tuple[str, Option]]:
    """The parameters of a function that have one value in all its calls: the default, or none."""
    starred = any(isinstance(each, ast.Starred) for call in calls for each in call.args)
    if starred or any(keyword.arg is None for call in calls for keyword in call.keywords):
        return
    stored = _stores(function)
    for place, name, default in _parameters(function.args):
        arguments = [_argument(call, place, name) for call in calls]
        values = [each or default for each in arguments]
        if stored[name] or not all(map(is_constant, values)):
            continue
        found = {repr(ast.literal_eval(each)) for each in values if each is not None}
        value = evaluate(found.pop())
        usual = default is not None and repr(value) == ast.unparse(default)
        if not found and (not value or usual):
            yield name, Option(place, value)


def _parameters(given: ast.arguments) -> Iterator[tuple[int | None, str, ast.expr | None]]:
    """Place (None for keywords only), name and default of each parameter."""
    defaults = [None] * (len(given.args) - len(given.defaults)) + given.defaults
    for place, (each, default) in enumerate(zip(given.args, defaults, strict=True)):
        yield place, each.arg, default
    for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield None, each.arg, default


def _argument(call: ast.Call, place: int | None, name: str) -> ast.expr | None:
    if place is not None and place < len(call.args):
        return call.args[place]
    return next((each.value for each in call.keywords if each.arg == name), None)


def _stores(tree: ast.AST) -> Counter[str]:
    """How often each name is assigned to."""
    names = (node for node in ast.walk(tree) if isinstance(node, ast.Name))
    return Counter(node.id for node in names if isinstance(node.ctx, ast.Store))


def _rewrite(source: str, options: Options) -> str:
    """A source without the options of the functions that it defines and calls."""
    if not any(f"{name}(" in source for name in options):
        return source
    if not any(f"def {name}(" in source for name in options):
        caller = _Caller(source)
        caller.leave_out(options)
        return caller.written()
    tree = parse(_with_markers(source))
    written = _Rewriter({}, options, _stores(tree)).visit(tree)
    return _without_markers(ast.unparse(written))


class _Rewriter(Folder):
    """Statements follow from what expressions have become."""

    def __init__(self, known: dict[str, Any], options: Options, stores: Counter[str]) -> None:
        super().__init__(known, options)
        self.known: dict[str, Any] = known
        self.stores = stores

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:  # noqa: N802
        options = self.options.get(node.name, {})
        for name, option in options.items():
            self.known[name] = option.value
        if options:
            self.changed = True
            _drop_parameters(node.args, options)
            _drop_sentences(node, options)
        self.generic_visit(node)
        return node

    def visit_If(self, node: ast.If) -> Any:  # noqa: N802
        node.test = self.visit(node.test)
        if self.is_folded(node.test):
            return self._visited(node.body if ast.literal_eval(node.test) else node.orelse)
        node.body, node.orelse = self._visited(node.body), self._visited(node.orelse)
        return node

    def _visited(self, body: Sequence[ast.stmt]) -> list[ast.stmt]:
        found: list[ast.stmt] = []
        for statement in body:
            written = self.visit(statement)
            found += written if isinstance(written, list) else [written] if written else []
        return found

    def visit_Assign(self, node: ast.Assign) -> ast.stmt | None:  # noqa: N802
        """A local name that is given a constant, and only once, is that constant from there on."""
        self.generic_visit(node)
        target = node.targets[0]
        names = {each.id for each in ast.walk(target) if isinstance(each, ast.Name)} - {"_"}
        plain = isinstance(target, ast.Name | ast.Tuple) and len(node.targets) == 1
        if plain and self.is_folded(node.value) and all(self.stores[name] == 1 for name in names):
            self._bind(target, ast.literal_eval(node.value))
            return None
        return node

    def _bind(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            self.known[target.id] = value
        elif isinstance(target, ast.Tuple):
            for each, part in zip(target.elts, value, strict=True):
                self._bind(each, part)


def _drop_parameters(given: ast.arguments, options: Mapping[str, Option]) -> None:
    defaults = [None] * (len(given.args) - len(given.defaults)) + given.defaults
    pairs = zip(given.args, defaults, strict=True)
    kept = [(each, default) for each, default in pairs if each.arg not in options]
    given.args = [each for each, _ in kept]
    given.defaults = [default for _, default in kept if default is not None]
    keywords = zip(given.kwonlyargs, given.kw_defaults, strict=True)
    named = [(each, default) for each, default in keywords if each.arg not in options]
    given.kwonlyargs = [each for each, _ in named]
    given.kw_defaults = [default for _, default in named]


def _drop_sentences(function: ast.FunctionDef, gone: Mapping[str, Option]) -> None:
    """Takes what a docstring says about the parameters ``gone`` out of all but its first line."""
    text = ast.get_docstring(function)
    if text is None:
        return
    word = re.compile(rf"\b({'|'.join(map(re.escape, gone))})\b")
    first, *paragraphs = text.split("\n\n")
    kept = [first]
    for paragraph in paragraphs:
        sentences = re.split(r"(?<=\.)\s+", paragraph)
        left = [each for each in sentences if not word.search(each)]
        if len(left) == len(sentences):
            kept.append(paragraph)
        elif left:
            kept.append(textwrap.fill(" ".join(" ".join(left).split()), _WIDTH))
    body = textwrap.indent("\n\n".join(kept), "    ").strip()
    function.body[0] = ast.Expr(ast.Constant(f"{body}\n    " if len(kept) > 1 else body))


def _with_markers(source: str) -> str:
    """The source with its comments as statements, which a syntax tree keeps.

    A comment inside brackets is not one that it can keep.
    """
    lines = source.split("\n")
    depth, comments = 0, dict[int, tuple[int, str]]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
        elif token.type == tokenize.COMMENT and not depth:
            comments[token.start[0]] = token.start[1], token.string
    found = []
    for number, line in enumerate(lines, 1):
        column, text = comments.get(number, (0, ""))
        code = line[:column].rstrip()
        indent = line[: len(line) - len(line.lstrip())]
        if not text:
            found.append(line)
        elif not code:
            found.append(f"{indent}_line_comment({text!r})")
        else:
            inside = "    " if code.endswith(":") else ""
            found += [code, f"{indent}{inside}_end_comment({text!r})"]
    return "\n".join(found)


def _without_markers(source: str) -> str:
    """The source with its markers as comments again."""
    found: list[str] = []
    for line in source.split("\n"):
        match = _COMMENT.match(line)
        if match is None:
            found.append(_bare_tuple(line))
        elif match["kind"] == "line":
            found.append(match["indent"] + evaluate(match["text"]))
        else:
            found[-1] += f"  {evaluate(match['text'])}"
    return "\n".join(found)


def _bare_tuple(line: str) -> str:
    """``return a, b`` for ``return (a, b)``, and so for assignments."""
    code = line.lstrip()
    match = _TUPLE.match(code)
    if match is None or not isinstance(getattr(parse(code).body[0], "value", None), ast.Tuple):
        return line
    return line[: len(line) - len(code)] + f"{match[1]} {match[2]}"

"""A located tree as text of the language."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from specc.diagnostics import Diagnostic, SpecError
from specc.frontend.dsl_arguments import Arguments, is_name
from specc.frontend.dsl_lines import (
    Chain,
    all_comments,
    comment_end,
    comment_lines,
    item_comments,
    statement,
    wrapped,
)
from specc.frontend.expression_text import quote
from specc.frontend.normal import normalize
from specc.frontend.signatures import Signatures, registered
from specc.frontend.tree import SECTIONS, Comments, Mapping, Scalar, Sequence, Tree

_BODY = ("inputs", "shared", "layers", "outputs")


def to_dsl(tree: Mapping, signatures: Signatures = registered) -> str:
    """The tree as text that ``read_dsl`` reads back to the normal form of the tree.

    Raises SpecError (E0211) for what the language has no way to say, such as a name with a space in
    it.
    """
    return _Writer(normalize(tree, signatures), signatures).text()


def _fail(message: str, tree: Tree, help_text: str = "") -> NoReturn:
    raise SpecError(Diagnostic("E0211", message, tree.span, help=help_text))


def _only_known(body: Mapping, what: str, known: tuple[str, ...]) -> None:
    """Nothing is left out in silence."""
    for key, _ in body.entries:
        if key.value not in known:
            _fail(f"{what} of the language has no '{key.value}'", key)


def _name(tree: Tree) -> str:
    if isinstance(tree, Scalar) and isinstance(tree.value, str) and is_name(tree.value):
        return tree.value
    _fail("the language cannot write this as a name", tree, "use letters, digits and '_'")


class _Writer:
    def __init__(self, tree: Mapping, signatures: Signatures) -> None:
        self.tree = tree
        self.names = frozenset(_names_given(tree))
        parameters, blocks = tree.get("parameters"), tree.get("blocks")
        self.arguments = Arguments(
            signatures,
            frozenset(parameters.keys()) if isinstance(parameters, Mapping) else frozenset(),
            _block_parameters(blocks) if isinstance(blocks, Mapping) else {},
            tree.get("includes") is not None,
        )

    def text(self) -> str:
        for key in (key for key, _ in self.tree.entries):
            if key.value not in SECTIONS:
                _fail(f"the language has no section '{key.value}'", key)
        groups = [
            self._header(),
            self._includes(),
            self._parameters(),
            [*self._declared("input", "inputs"), *self._declared("target", "targets")],
            *self._blocks(),
            self._body(self.tree),
            self._settings("training"),
            self._settings("data"),
            comment_lines(self.tree.comments.end),
        ]
        return "\n".join("\n".join([*group, ""]) for group in groups if group)

    def _group_comments(self, section: str) -> list[str]:
        """Comments at the name of a section that the language has no word for."""
        key = self.tree.key(section)
        return all_comments(key.comments) if key is not None else []

    def _header(self) -> list[str]:
        lines: list[str] = []
        version, name = self.tree.get("specc"), self.tree.get("name")
        if version is not None or name is not None:
            keys = [k for k in (self.tree.key("specc"), self.tree.key("name")) if k is not None]
            if not isinstance(version, Scalar) or name is None:
                _fail(
                    "a spec in the language starts with its version and name: spec 1 NAME", keys[0]
                )
            if isinstance(version.value, bool) or not isinstance(version.value, int):
                _fail("the version of a spec is a number", version)
            before = [text for key in keys for text in key.comments.before]
            after = "; ".join(key.comments.after for key in keys if key.comments.after)
            comments = Comments(tuple(before), after)
            line = f"spec {version.value} {_name(name)}{comment_end(comments)}"
            lines += [*comment_lines(comments.before), line]
        for setting in ("conventions", "layout", "dtype", "seed"):
            value = self.tree.get(setting)
            if value is None:
                continue
            key = self.tree.key(setting) or Scalar(setting, value.span)
            lines += [*comment_lines(key.comments.before)]
            lines.append(f"{setting} {_setting(value)}{comment_end(key.comments)}")
        allowed = self.tree.get("allow")
        if allowed is not None:
            lines += [*self._group_comments("allow"), *_names_statement("allow", allowed)]
        return lines

    def _includes(self) -> list[str]:
        names = self.tree.get("includes")
        lines = self._group_comments("includes")
        for item in names.items if isinstance(names, Sequence) else ():
            if not isinstance(item, Scalar) or not isinstance(item.value, str):
                _fail("an include is the name of a file", item)
            lines += comment_lines(item.comments.before)
            lines.append(f"include {quote(item.value)}{comment_end(item.comments)}")
        return lines

    def _parameters(self) -> list[str]:
        lines = self._group_comments("parameters")
        for key, value in self._section("parameters"):
            default = "" if _is_null(value) else f" = {self.arguments.value(value)}"
            lines += statement(key, value, f"parameter {_name(key)}{default}")
        return lines

    def _section(self, name: str) -> tuple[tuple[Scalar, Tree], ...]:
        tree = self.tree.get(name)
        if tree is None:
            return ()
        if not isinstance(tree, Mapping):
            _fail(f"'{name}' is a mapping of names", tree)
        return tree.entries

    def _declared(self, word: str, section: str) -> list[str]:
        lines = self._group_comments(section)
        for key, value in self._section(section):
            shape = value.get("shape") if isinstance(value, Mapping) else None
            dtype = value.get("dtype") if isinstance(value, Mapping) else None
            odd = isinstance(value, Mapping) and set(value.keys()) - {"shape", "dtype"}
            if not isinstance(shape, Sequence) or odd:
                _fail(f"an {word} of the language has a type and a shape: float[28, 28]", value)
            kind = "float" if dtype is None else _name(dtype)
            dims = ", ".join(self.arguments.value(dim, words=True) for dim in shape.items)
            lines += statement(key, value, f"{word} {_name(key)}: {kind}[{dims}]")
        return lines

    def _blocks(self) -> list[list[str]]:
        groups = []
        comments = self._group_comments("blocks")
        for key, block in self._section("blocks"):
            if not isinstance(block, Mapping):
                _fail("a block is a mapping with layers", block)
            _only_known(block, "a block", ("parameters", *_BODY))
            parameters = block.get("parameters")
            formals = []
            formals_key = block.key("parameters")
            comments += all_comments(formals_key.comments) if formals_key is not None else []
            for name, default in parameters.entries if isinstance(parameters, Mapping) else ():
                comments += all_comments(name.comments)
                text = "" if _is_null(default) else f"={self.arguments.value(default)}"
                formals.append(f"{_name(name)}{text}")
            comments += comment_lines(key.comments.before)
            head = f"block {_name(key)}({', '.join(formals)}) {{{comment_end(key.comments)}"
            body = [f"  {line}" for line in self._body(block)]
            groups.append([*comments, head, *body, "}"])
            comments = []
        return groups

    def _body(self, tree: Mapping) -> list[str]:
        """The statements of the spec, a block or a repeat: inputs, declared layers, chains,
        outputs."""
        lines: list[str] = []
        is_spec = tree is self.tree
        for section in ("inputs", "shared", "layers", "outputs"):
            key, value = tree.key(section), tree.get(section)
            if key is None or value is None or (is_spec and section == "inputs"):
                continue
            lines += all_comments(key.comments)
            if section == "shared":
                lines += self._shared(value)
            elif section == "layers":
                lines += self._chains(value)
            else:
                lines += _names_statement("input" if section == "inputs" else "output", value)
        return lines

    def _shared(self, tree: Tree) -> list[str]:
        lines: list[str] = []
        if not isinstance(tree, Mapping):
            _fail("'shared' is a mapping of names", tree)
        for key, value in tree.entries:
            if not isinstance(value, Mapping) or len(value.entries) != 1:
                _fail("a declared layer is one kind with its attributes", value)
            kind, attributes = value.entries[0]
            text = self.arguments.call("layers", _name(kind), attributes)
            lines += statement(key, value, f"layer {_name(key)} = {text}")
        return lines

    def _chains(self, tree: Tree) -> list[str]:
        if not isinstance(tree, Sequence):
            _fail("layers are a list", tree)
        chain: Chain | None = None
        lines: list[str] = []
        for index, item in enumerate(tree.items):
            source = item.get("from") if isinstance(item, Mapping) else None
            if source is not None:
                lines += chain.lines() if chain is not None else []
                chain = Chain(self._head(source))
            if chain is None or chain.binding.count(","):
                _fail("this layer has to say with 'from' which value it takes", item)
            following = tree.items[index + 1] if index + 1 < len(tree.items) else None
            ends = following is None or (
                isinstance(following, Mapping) and following.get("from") is not None
            )
            self._add_step(chain, item, ends)
        return lines + (chain.lines() if chain is not None else [])

    def _add_step(self, chain: Chain, item: Tree, ends: bool) -> None:
        outputs = item.get("outputs") if isinstance(item, Mapping) else None
        name = item.get("name") if isinstance(item, Mapping) else None
        alias = ""
        if outputs is not None:
            names = outputs.items if isinstance(outputs, Sequence) else (outputs,)
            if len(names) == 1 and name is None:
                _fail("a layer whose output has a name needs a name too", item, "add 'name: ...'")
            chain.binding = f"{', '.join(map(_name, names))} = "
            alias = f" as {_name(name)}" if name is not None else ""
        elif name is not None and ends:
            chain.binding = f"{_name(name)} = "
        elif name is not None:
            alias = f" as {_name(name)}"
        step = self._step(item)
        step[-1] += alias
        chain.steps.append((step, item_comments(item)))

    def _step(self, item: Tree) -> list[str]:
        if isinstance(item, Scalar):
            return [_name(item)]
        if not isinstance(item, Mapping):
            _fail("a layer is a kind with its attributes", item)
        kinds = [e for e in item.entries if e[0].value not in ("name", "from", "outputs", "with")]
        if len(kinds) != 1:
            _fail("a layer has exactly one kind", item)
        kind, attributes = kinds[0]
        given = item.get("with")
        if given is not None and kind.value != "use":
            _fail("only a block is given parameters with 'with'", given)
        if kind.value == "repeat":
            return self._repeat(attributes)
        if kind.value == "layer":
            if _name(attributes) not in self.names:
                _fail("only a layer that has a name is called again", attributes)
            return [_name(attributes)]
        if kind.value == "use":
            return wrapped(self.arguments.use(self._block(attributes), given))
        if kind.value in self.names:
            _fail(f"'{kind.value}' reads as a call of the layer of that name", kind)
        return wrapped(self.arguments.call("layers", _name(kind), attributes))

    def _block(self, tree: Tree) -> str:
        """The name of a block that is used: where none is declared, it would read as an op."""
        name = _name(tree)
        if name not in self.arguments.blocks and self.tree.get("includes") is None:
            _fail(f"there is no block '{name}'", tree)
        return name

    def _repeat(self, body: Tree) -> list[str]:
        times = body.get("times") if isinstance(body, Mapping) else None
        if not isinstance(body, Mapping) or times is None:
            _fail("repeat needs times and layers", body)
        _only_known(body, "repeat", ("times", "index", *_BODY))
        index = body.get("index")
        counter = f", {_name(index)}" if index is not None else ""
        lines = [f"  {line}" for line in self._body(body)]
        return [f"repeat({self.arguments.value(times)}{counter}) {{", *lines, "}"]

    def _head(self, source: Tree) -> str:
        if isinstance(source, Scalar):
            return _name(source)
        if isinstance(source, Sequence) and source.items:
            return f"({', '.join(map(_name, source.items))})"
        if isinstance(source, Sequence) or not source.entries:
            _fail("a chain starts with a value", source)
        ports = []
        for index, (key, value) in enumerate(source.entries):
            many = isinstance(value, Sequence)
            items = value.items if isinstance(value, Sequence) else (value,)
            if not items:
                _fail("an input takes a value", value)
            wires = ", ".join(map(_name, items))
            if index == 0 and key.value == "input" and len(source.entries) > 1 and not many:
                ports.append(wires)
            else:
                ports.append(f"{_name(key)}=({wires})" if many else f"{_name(key)}={wires}")
        return f"({', '.join(ports)})"

    def _settings(self, section: str) -> list[str]:
        tree, key = self.tree.get(section), self.tree.key(section)
        if tree is None or key is None:
            return []
        if not isinstance(tree, Mapping):
            _fail(f"'{section}' is a mapping", tree)
        source = ""
        lines: list[str] = []
        comments = comment_lines(key.comments.before)
        for name, value in tree.entries:
            if section == "data" and name.value == "source":
                source = f" {_name(value)}"
                comments += all_comments(name.comments)
                continue
            texts = self.arguments.entries(section, _name(name), value)
            for position, text in enumerate(texts):
                several = isinstance(value, Sequence) and len(texts) > 1
                place = value.items[position] if several and isinstance(value, Sequence) else value
                own = name if position == 0 else Scalar(name.value, name.span)
                lines += [f"  {line}" for line in statement(own, place, text)]
        if section == "data" and not source:
            _fail("data in the language starts with its source", tree, "add 'source: ...'")
        return [*comments, f"{section}{source} {{{comment_end(key.comments)}", *lines, "}"]


def _names_given(body: Tree) -> Iterator[str]:
    """The names of all blocks, shared layers and layers in the spec, a block or a repeat."""
    if not isinstance(body, Mapping):
        return
    for section in ("blocks", "shared"):
        named = body.get(section)
        for key, value in named.entries if isinstance(named, Mapping) else ():
            yield str(key.value)
            yield from _names_given(value)
    layers = body.get("layers")
    for item in layers.items if isinstance(layers, Sequence) else ():
        if isinstance(item, Mapping):
            name, repeated = item.get("name"), item.get("repeat")
            if isinstance(name, Scalar):
                yield str(name.value)
            if repeated is not None:
                yield from _names_given(repeated)


def _is_null(tree: Tree) -> bool:
    return isinstance(tree, Scalar) and tree.value is None


def _block_parameters(blocks: Mapping) -> dict[str, Mapping]:
    found = {}
    for key, block in blocks.entries:
        parameters = block.get("parameters") if isinstance(block, Mapping) else None
        empty = Mapping((), block.span)
        found[str(key.value)] = parameters if isinstance(parameters, Mapping) else empty
    return found


def _setting(tree: Tree) -> str:
    value = tree.value if isinstance(tree, Scalar) else None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return str(value)
    if isinstance(value, str):
        return value if is_name(value) else quote(value)
    _fail("this setting is a word or a number", tree)


def _names_statement(word: str, tree: Tree) -> list[str]:
    items = tree.items if isinstance(tree, Sequence) else (tree,)
    if not items:
        _fail(f"'{word}' of the language is followed by a name", tree)
    before = [text for item in items for text in item.comments.before]
    after = "; ".join(item.comments.after for item in items if item.comments.after)
    line = f"{word} {', '.join(map(_name, items))}"
    comments = Comments(tuple(before), after)
    return [*comment_lines(comments.before), line + comment_end(comments)]

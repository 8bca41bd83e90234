"""Values and calls as text of the language."""

from __future__ import annotations

import re
from collections.abc import Mapping as Dict
from typing import NoReturn

from specc.diagnostics import Diagnostic, SpecError
from specc.frontend.expression_text import number_text, quote, to_text
from specc.frontend.expressions import FUNCTIONS, RESERVED, Expression, Name
from specc.frontend.signatures import Family, Signature, Signatures
from specc.frontend.tree import Mapping, Scalar, Sequence, Tree
from specc.records import dataclass

_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")


def is_name(text: str) -> bool:
    """Whether the language reads the text as one name."""
    return _NAME.fullmatch(text) is not None


def _no_family(kind: str) -> Signature | None:
    return None


@dataclass(frozen=True)
class Arguments:
    """Writes values. ``parameters`` are those of the spec, ``blocks`` the parameters of
    each block.
    """

    signatures: Signatures
    parameters: frozenset[str]
    blocks: Dict[str, Mapping]
    # Whether other files may declare more of both.
    includes: bool = False

    def value(self, tree: Tree, family: Family = _no_family, words: bool = False) -> str:
        """A value; with ``words``, texts are written as bare words where they can be."""
        if isinstance(tree, Sequence):
            return f"[{', '.join(self.value(item, family, words) for item in tree.items)}]"
        if isinstance(tree, Mapping):
            return self._mapping(tree, family)
        value = tree.value
        if value is None:
            return "null"
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return number_text(value)
        if isinstance(value, Expression):
            if words and isinstance(value, Name) and not self._is_parameter(value.name):
                _fail(f"here the language reads '{value.name}' as a word, not a parameter", tree)
            return to_text(value)
        bare = words or family(value) is not None
        return value if bare and self._is_word(value) else quote(value)

    def _is_parameter(self, name: str) -> bool:
        return name in self.parameters or self.includes

    def _is_word(self, text: str) -> bool:
        return is_name(text) and text not in RESERVED and text not in self.parameters

    def _mapping(self, tree: Mapping, family: Family) -> str:
        if len(tree.entries) == 1:
            (key, inner) = tree.entries[0]
            kind = str(key.value)
            if isinstance(inner, Mapping) and self._is_kind(kind) and _callable(inner):
                # sqrt(4) is a number, unless sqrt is a choice here or its arguments have names.
                is_choice = family(kind) is not None or kind not in FUNCTIONS
                if is_choice or any(map(is_name, inner.keys())):
                    return self._call(kind, inner, family(kind))
        pairs = ", ".join(f"{_key(key)}: {self.value(value)}" for key, value in tree.entries)
        return f"{{{pairs}}}"

    def _is_kind(self, text: str) -> bool:
        """Whether ``text(...)`` can be written among values, where words such as true are none."""
        return is_name(text) and text not in RESERVED

    def call(self, section: str, kind: str, attributes: Tree) -> str:
        """A layer of that kind; without parentheses where it has no attributes."""
        if isinstance(attributes, Mapping) and not attributes.entries:
            return kind
        return self._call(kind, attributes, self.signatures(section, kind))

    def use(self, block: str, given: Tree | None) -> str:
        """A use of a block, its parameters without a default by position."""
        if given is None:
            return block
        formals = self.blocks.get(block)
        if formals is None:
            return self._call(block, given, None)
        required = [
            str(key.value)
            for key, default in formals.entries
            if isinstance(default, Scalar) and default.value is None
        ]
        return self._call(block, given, Signature(tuple(formals.keys()), frozenset(required)))

    def _call(self, kind: str, attributes: Tree, signature: Signature | None) -> str:
        if not isinstance(attributes, Mapping):
            _fail(f"the language needs a name for this attribute of '{kind}'", attributes)
        rest = list(attributes.entries)
        texts = []
        for position, name in enumerate(signature.names if signature else map(str, range(1, 100))):
            key = attributes.key(name)
            value = attributes.get(name)
            by_position = signature is None or name in signature.required
            if key is None or value is None or not by_position:
                break
            texts.append(self._argument(name, value, signature))
            rest = [entry for entry in rest if entry[0] is not key]
            assert len(texts) == position + 1
        for key, value in rest:
            name = str(key.value)
            if not is_name(name):
                _fail(f"the language cannot write '{name}' as the name of an attribute", key)
            texts.append(f"{name}={self._argument(name, value, signature)}")
        return f"{kind}({', '.join(texts)})"

    def _argument(self, name: str, value: Tree, signature: Signature | None) -> str:
        if signature is None:
            return self.value(value)
        if name in signature.wires and isinstance(value, Scalar) and isinstance(value.value, str):
            return (
                value.value
                if is_name(value.value) and value.value not in RESERVED
                else quote(value.value)
            )
        return self.value(value, signature.families.get(name, _no_family))

    def entries(self, section: str, name: str, value: Tree) -> list[str]:
        """The lines of one entry of training or data."""

        def family(kind: str) -> Signature | None:
            place = name if section == "training" or name == "prepare" else ""
            return self.signatures(place, kind)

        if isinstance(value, Sequence):
            items = [self.value(item, family, words=name == "metrics") for item in value.items]
            if name == "loss" and section == "training" and len(items) > 1:
                return [f"{name} {item}" for item in items]
            if len(items) > 1 or name == "metrics":
                return [f"{name} {', '.join(items)}"]
            return [f"{name} [{', '.join(items)}]"]
        if not isinstance(value, Mapping) or not value.entries:
            return [f"{name} {self.value(value, family)}"]
        text = self._mapping(value, family)
        if text.startswith("{") and all(map(is_name, value.keys())):
            pairs = (f"{key.value}={self.value(inner, family)}" for key, inner in value.entries)
            return [f"{name} {', '.join(pairs)}"]
        return [f"{name} {text}"]


def _callable(attributes: Mapping) -> bool:
    """Whether ``kind(...)`` can hold the attributes: all keys are names, or positions of an unknown
    kind."""
    return all(map(_is_key, attributes.keys()))


def _is_key(text: str) -> bool:
    return is_name(text) or text.isdigit()


def _key(key: Scalar) -> str:
    text = str(key.value)
    return text if is_name(text) else quote(text)


def _fail(message: str, tree: Tree) -> NoReturn:
    raise SpecError(Diagnostic("E0211", message, tree.span))

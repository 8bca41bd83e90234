"""docs/editors: the extension's files are whole, and its colours agree with the language."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from specc.cli.group import COMMANDS
from specc.frontend.expressions import FUNCTIONS, RESERVED
from specc.ops.registry import ALIASES, visible

ROOT = Path(__file__).parents[2]
EDITORS = ROOT / "docs/editors"
EXTENSION = EDITORS / "vscode"
SYNTAX: dict[str, Any] = json.loads(
    (EXTENSION / "syntaxes/specc.tmLanguage.json").read_text(encoding="utf-8")
)
EXAMPLES = sorted((ROOT / "examples").glob("*.specc"))
Token = tuple[str, str]


def rules(tree: Any) -> Iterator[dict[str, Any]]:
    """Every rule of the grammar."""
    if isinstance(tree, dict):
        if "match" in tree or "begin" in tree:
            yield tree
        for value in tree.values():
            yield from rules(value)
    elif isinstance(tree, list):
        for item in tree:
            yield from rules(item)


class Tokenizer:
    """TextMate's rules in short: of the rules in force the one that matches first, by place and
    then by order; begin and end open and close a stack."""

    def __init__(self) -> None:
        self.stack: list[dict[str, Any]] = [SYNTAX]

    def line(self, text: str) -> list[Token]:
        """(text, scope) of what the rules match in a line."""
        found: list[Token] = []
        at = 0
        while True:
            choices = [
                (rule["match" if "match" in rule else "begin"], rule) for rule in self.rules()
            ]
            if "end" in self.stack[-1]:
                choices.insert(0, (self.stack[-1]["end"], None))
            matches = [(m, rule) for p, rule in choices if (m := re.compile(p).search(text, at))]
            if not matches:
                return found
            match, rule = min(matches, key=lambda each: each[0].start())
            found += self.tokens(match, rule or self.stack[-1], "end" if rule is None else "begin")
            if rule is None:
                self.stack.pop()
            elif "begin" in rule:
                self.stack.append(rule)
            elif match.end() == match.start():
                raise AssertionError(f"a rule matches nothing: {rule}")
            if match.end() == len(text) and rule is not None:
                return found
            at = match.end()

    def rules(self) -> list[dict[str, Any]]:
        return list(self.included(self.stack[-1].get("patterns", ())))

    def included(self, patterns: Any) -> Iterator[dict[str, Any]]:
        for pattern in patterns:
            rule = pattern
            if "include" in pattern:
                rule = SYNTAX["repository"][pattern["include"].removeprefix("#")]
            if "match" in rule or "begin" in rule:
                yield rule
            else:
                yield from self.included(rule["patterns"])

    @staticmethod
    def tokens(match: re.Match[str], rule: dict[str, Any], edge: str) -> Iterator[Token]:
        captures = rule.get("captures") or rule.get(f"{edge}Captures") or {}
        if "name" in rule:
            yield match[0], rule["name"]
        for number, capture in captures.items():
            if match[int(number)] is not None:
                yield match[int(number)], capture["name"]


def scopes(text: str) -> list[Token]:
    tokenizer = Tokenizer()
    found = [token for line in text.split("\n") for token in tokenizer.line(line)]
    assert len(tokenizer.stack) == 1, "a rule is still open at the end"
    return found


def words(pattern: str) -> set[str]:
    """The alternatives of a rule's first group that is made of words."""
    group = re.search(r"\((?:\?:)?([a-z]+(?:\|[a-z0-9]+)*)\)", pattern)
    assert group is not None
    return set(group[1].split("|"))


# The syntax


@pytest.mark.parametrize("rule", list(rules(SYNTAX)), ids=lambda r: r.get("match", r.get("begin")))
def test_regular_expressions_compile(rule: dict[str, Any]) -> None:
    for key in ("match", "begin", "end"):
        if key in rule:
            compiled = re.compile(rule[key])
            captures = {**rule.get("captures", {}), **rule.get(f"{key}Captures", {})}
            assert all(int(number) <= compiled.groups for number in captures)


def test_keywords_are_those_of_the_grammar() -> None:
    grammar = (ROOT / "grammar/specc.lark").read_text(encoding="utf-8")
    statements = re.search(r"_statement: (.*?)\n\n", grammar, re.DOTALL)
    assert statements is not None
    kinds = set(re.findall(r"\w+", statements[1])) - {"binding"}
    openers = set()
    for kind in kinds:
        rule = re.search(rf"^{kind}: (.*)$", grammar, re.MULTILINE)
        assert rule is not None
        first = rule[1].split()[0]
        names = re.findall(r"[A-Z]+", rule[1].partition(")")[0]) if first.startswith("(") else []
        openers |= set(map(str.lower, names)) or {first.strip('"')}
    repository = SYNTAX["repository"]
    coloured = words(repository["settings"]["begin"])
    for name in ("block", "declaration", "statement", "layer"):
        coloured |= words(repository[name]["match"])
    assert coloured == openers
    assert words(repository["name"]["match"]) == {"as"}
    assert '"as" NAME' in grammar and '"repeat" "("' in grammar


def test_words_of_expressions_are_all_coloured() -> None:
    repository = SYNTAX["repository"]
    constants = words(repository["constant"]["match"])
    operators = words(repository["operator"]["patterns"][0]["match"])
    assert constants | operators == RESERVED
    assert words(repository["function"]["match"]) == set(FUNCTIONS)


@pytest.mark.parametrize("name", [*visible(), *ALIASES, "my_block"])
def test_every_layer_is_coloured_by_its_place(name: str) -> None:
    function = (name, "entity.name.function.specc")
    assert function in scopes(f"y = x | {name}")
    assert function in scopes(f"  | {name}(3, a=b) as z  # comment")
    assert function in scopes(f"layer l = {name}(3)")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_coloured(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = scopes(text)
    by_scope: dict[str, set[str]] = {}
    for word, scope in found:
        by_scope.setdefault(scope, set()).add(word)
    ops = set(re.findall(r"\|\s*([a-z]\w*)", re.sub(r"#.*", "", text))) - {"repeat"}
    assert ops <= by_scope["entity.name.function.specc"]
    assert {"spec", "output", "training", "data"} <= by_scope["keyword.declaration.specc"]
    assert "optimizer" in by_scope["support.type.property-name.specc"]
    comments = {line[line.index("#") :] for line in text.splitlines() if "# " in line}
    assert by_scope["comment.line.number-sign.specc"] == comments


# The extension and the set-ups


def test_the_files_of_the_extension_are_there() -> None:
    package = json.loads((EXTENSION / "package.json").read_text(encoding="utf-8"))
    contributes = package["contributes"]
    (language,), (grammar,) = contributes["languages"], contributes["grammars"]
    for name in (package["main"], language["configuration"], grammar["path"]):
        assert (EXTENSION / name).is_file()
    assert language["id"] == grammar["language"] == "specc"
    assert grammar["scopeName"] == SYNTAX["scopeName"]
    script = (EXTENSION / "extension.js").read_text(encoding="utf-8")
    for setting, described in contributes["configuration"]["properties"].items():
        assert f'settings.get("{setting.removeprefix("specc.")}")' in script
        assert described["description"]
    for command in contributes["commands"]:
        assert f'registerCommand("{command["command"]}"' in script
    assert 'require("vscode-languageclient/node")' in script
    assert set(package["dependencies"]) == {"vscode-languageclient"}


def test_the_language_configuration_is_right() -> None:
    text = (EXTENSION / "language-configuration.json").read_text(encoding="utf-8")
    configuration = json.loads(text)
    assert configuration["comments"]["lineComment"] == "#"
    rules_ = configuration["indentationRules"]
    increase, decrease = (re.compile(rules_[f"{n}IndentPattern"]) for n in ("increase", "decrease"))
    assert increase.search("training {  # how") and not increase.search("y = x | relu")
    assert decrease.search("} as stage") and not decrease.search("y = (a)")
    (enter,) = configuration["onEnterRules"]
    assert re.search(enter["beforeText"], "  | dense(3)")


def test_set_ups_name_commands_that_exist() -> None:
    page = (EDITORS / "README.md").read_text(encoding="utf-8")
    helix = tomllib.loads(re.search(r"```toml\n(.*?)```", page, re.DOTALL)[1])  # type: ignore[index]
    server = helix["language-server"]["specc"]
    commands = {name for group in COMMANDS.values() for name in group}
    assert server["command"] == "specc" and set(server["args"]) <= commands
    assert helix["language"][0]["formatter"]["args"][0] in commands
    hooks = yaml.safe_load(re.search(r"```yaml fragment\n(repos.*?)```", page, re.DOTALL)[1])  # type: ignore[index]
    defined = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    used = [hook["id"] for hook in hooks["repos"][0]["hooks"]]
    assert used == [hook["id"] for hook in defined]

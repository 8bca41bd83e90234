"""Which lines of a generated file belong to which layer, read from the file's own syntax tree.

Generated files call things as the spec does. Parameters are found by their paths
(``"conv.kernel"``), layer objects by their attributes (``self.conv``), and results by the call of
``record``, which says for ``trace()`` what variable holds which named value. A gradient is called
``d_`` and what it is the gradient of. So nothing has to be noted while a file is written, and files
of plug-ins are read alike.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from specc.ir.graph import Graph, Node, Program, node_bodies
from specc.syntax import parse

Range = tuple[int, int]
"""First and last line, counted from 1."""
_Located = ast.stmt | ast.expr


def link_source(source: str, program: Program) -> dict[str, list[Range]]:
    """The lines of each layer by its path; ``program`` is the one before any pass.

    A layer that a block brings along is there once for every use of the block, with the lines of
    the class that they share.
    """
    module = parse(source)
    network = _Scope.of(program.graph, deep=True)
    found = _Lines()
    for statement in module.body:
        if not isinstance(statement, ast.FunctionDef):
            _link_parameters(statement, network, found)
        elif any(map(_is_record, ast.walk(statement))):
            _link_function(statement, network, found)
        else:
            _link_parameters(statement, network, found)
            _link_outputs(statement, program, network, found)
    classes = {each.name: each for each in module.body if isinstance(each, ast.ClassDef)}
    main = _main_class(classes.values(), program.graph)
    if main is not None:
        _link_class(main, program.graph, "", classes, {}, found)
    return {path: _merged(ranges) for path, ranges in found.by_path.items()}


@dataclass
class _Lines:
    by_path: dict[str, set[Range]] = field(default_factory=lambda: defaultdict(set))

    def add(self, paths: Iterable[str], first: _Located, last: _Located | None = None) -> None:
        end = (last or first).end_lineno
        for path in paths:
            self.by_path[path].add((first.lineno, end or first.lineno))


@dataclass
class _Scope:
    """What the names of a graph's layers, parameters and values stand for, as paths of layers."""

    layers: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    parameters: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    values: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: Graph, deep: bool = False) -> _Scope:
        """The names of a graph; with ``deep`` those of what is in it too, by their whole paths."""
        scope = cls()
        for prefix, node in _nodes(graph, deep):
            path = f"{prefix}{node.path}"
            scope.layers[f"{prefix}{node.layer}"].append(path)
            for parameter in node.parameters:
                scope.parameters[f"{prefix}{node.layer}.{parameter.name}"].append(path)
            for value in node.outputs:
                scope.values[f"{prefix}{value.name}"] = path
        return scope

    @cached_property
    def variables(self) -> dict[str, str]:
        """The layers of results by the variables' names, as far as no other name is in the way."""
        return {_flat(name): path for name, path in self.values.items()}

    def gradient_of(self, variable: str) -> str | None:
        """The layer whose result ``d_...`` is the gradient of, by the longest name that it begins
        with: d_conv_preactivation is one of conv.
        """
        name = variable.removeprefix("d_")
        while name and name not in self.variables:
            name = name.rpartition("_")[0]
        return self.variables.get(name)


def _nodes(graph: Graph, deep: bool, prefix: str = "") -> Iterator[tuple[str, Node]]:
    for node in graph.nodes:
        yield prefix, node
        for child, body in node_bodies(node) if deep else ():
            yield from _nodes(body, deep, f"{prefix}{child}.")


def _flat(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _functions(body: Iterable[ast.stmt]) -> Iterator[ast.FunctionDef]:
    return (each for each in body if isinstance(each, ast.FunctionDef))


def _link_parameters(statement: ast.stmt, network: _Scope, found: _Lines) -> None:
    """Where a parameter is mentioned by its path, such as in the table of initial values."""
    for node in (each for each in ast.walk(statement) if isinstance(each, ast.expr)):
        first = node.elts[0] if isinstance(node, ast.Tuple) and node.elts else node
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            found.add(network.parameters.get(first.value, ()), node)


def _link_outputs(
    function: ast.FunctionDef, program: Program, network: _Scope, found: _Lines
) -> None:
    """The entry of each of the spec's outputs in what ``to_outputs`` returns."""
    entries = _entries(function) if function.name == "to_outputs" else ()
    for key, value in entries:
        output = program.outputs.get(str(key.value))
        if output is not None and output.name in network.values:
            found.add([network.values[output.name]], key, value)


def _link_function(function: ast.FunctionDef, scope: _Scope, found: _Lines) -> None:
    """The statements of a function over one graph: forward, and backward where there is one."""
    variables = _variables(function, scope)
    for statement in _statements(function.body):
        found.add(_layers_of(statement, scope, variables), statement)


def _variables(function: ast.FunctionDef, scope: _Scope) -> dict[str, str]:
    """What layer a variable is the result of, by name."""
    found = dict(scope.variables)
    for call in filter(_is_record, ast.walk(function)):
        for key, value in _entries(call):
            path = scope.values.get(str(key.value))
            name = next((n.id for n in ast.walk(value) if isinstance(n, ast.Name)), None)
            if path is not None and name is not None:
                found[name] = path
    return found


def _entries(tree: ast.AST) -> Iterator[tuple[ast.Constant, ast.expr]]:
    """What stands under a text in the dictionaries that a piece of Python writes."""
    for node in ast.walk(tree):
        pairs = zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ()
        for key, value in pairs:
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key, value


def _is_record(node: ast.AST) -> bool:
    """A call of ``record``, or of a method of it."""
    if not isinstance(node, ast.Call):
        return False
    function = node.func.value if isinstance(node.func, ast.Attribute) else node.func
    return isinstance(function, ast.Name) and function.id == "record"


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that compute; a loop counts as one, a condition as those in it."""
    for statement in body:
        records = isinstance(statement, ast.Expr) and _is_record(statement.value)
        if isinstance(statement, ast.If):
            yield from _statements([*statement.body, *statement.orelse])
        elif not records and not isinstance(statement, ast.Delete):
            yield statement


def _layers_of(statement: ast.stmt, scope: _Scope, variables: Mapping[str, str]) -> list[str]:
    """The layers that a statement computes, forward or backward."""
    nodes = list(ast.walk(statement))
    stored = [n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    results = [variables[name] for name in stored if name in variables]
    found = [path for node in nodes for path in _mentioned(node, scope)]
    # Of the calls of a shared layer, the one whose result it is.
    found = [p for p in found if any(_is_part(r, p) for r in results)] or found
    if not found and not results:
        read = [n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
        for names in (read, stored):
            gradients = map(scope.gradient_of, (n for n in names if n.startswith("d_")))
            found = found or [path for path in gradients if path is not None]
    return list(dict.fromkeys([*found, *results]))


def _mentioned(node: ast.AST, scope: _Scope) -> list[str]:
    """The layers of a parameter's path, or of an attribute of ``self``."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return scope.parameters.get(node.value, [])
    if isinstance(node, ast.Attribute) and _is_self(node.value):
        return scope.layers.get(_layer(node.attr), [])
    return []


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _layer(attribute: str) -> str:
    """The layer that an attribute stands for: names that clash end with an underscore more."""
    return attribute.removesuffix("_")


def _is_part(result: str, path: str) -> bool:
    """Whether a result is that of the layer at ``path``, or of its inline activation."""
    return result == path or result.startswith(f"{path}.")


# Classes of layer objects


def _main_class(classes: Iterable[ast.ClassDef], graph: Graph) -> ast.ClassDef | None:
    """The class that makes most of the network's layers; the last one of several."""
    layers = {node.layer for node in graph.nodes}
    best, most = None, 0
    for each in classes:
        made = len(layers & {_layer(attribute) for attribute, _ in _constructions(each)})
        if made and made >= most:
            best, most = each, made
    return best


def _constructions(definition: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    """(attribute, value) of each ``self.attribute = value``."""
    for node in (each for each in ast.walk(definition) if isinstance(each, ast.Assign)):
        for target in node.targets:
            if isinstance(target, ast.Attribute) and _is_self(target.value):
                yield target.attr, node.value


def _link_class(
    definition: ast.ClassDef,
    graph: Graph,
    prefix: str,
    classes: Mapping[str, ast.ClassDef],
    known: dict[tuple[str, int], _Lines],
    found: _Lines,
) -> None:
    """The lines of a class for a graph that it computes, and those of the blocks in it.

    ``known`` has what has been found for a class and a graph, with paths that begin there.
    """
    key = (definition.name, id(graph))
    if key not in known:
        known[key] = _Lines()
        scope = _Scope.of(graph)
        for function in _functions(definition.body):
            _link_function(function, scope, known[key])
        made = dict(_constructions(definition))
        for node in (node for node in graph.nodes if node.bodies):
            attribute = next((each for each in made if _layer(each) == node.layer), "")
            names = _constructed(made[attribute], classes) if attribute else []
            for (child, body), name in zip(node_bodies(node), _spread(names, node), strict=False):
                known[key].add([child], classes[name], classes[name].body[0])
                _link_class(classes[name], body, f"{child}.", classes, known, known[key])
    for path, ranges in known[key].by_path.items():
        found.by_path[f"{prefix}{path}"] |= ranges


def _constructed(value: ast.expr, classes: Mapping[str, ast.ClassDef]) -> list[str]:
    """The file's own classes that an expression makes objects of, in order."""
    calls = (each.func for each in ast.walk(value) if isinstance(each, ast.Call))
    return [each.id for each in calls if isinstance(each, ast.Name) and each.id in classes]


def _spread(names: list[str], node: Node) -> list[str]:
    """One class for each body: a comprehension names it once for all."""
    return names * len(node.bodies) if len(names) == 1 else names


def _merged(ranges: Iterable[Range]) -> list[Range]:
    """The ranges in order, those that touch as one."""
    found: list[Range] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found

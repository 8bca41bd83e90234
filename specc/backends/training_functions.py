"""The functions of a generated file that follow from its training section, for backends with
automatic gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from specc.backends.base import template_fields
from specc.backends.files import SourceFile
from specc.backends.writer import Names, literal, render
from specc.ir.graph import Graph, Loss, Node, Program
from specc.ops.base import Form, Weight
from specc.ops.registry import OPS
from specc.records import dataclass
from specc.training.clipping import emit_clipping
from specc.training.emit_optimizer import emit_optimizer
from specc.training.frameworks import Framework
from specc.training.initial_values import emit_initial_parameters
from specc.training.metrics import METRICS

Lower = Callable[[Node], Form]


@dataclass(frozen=True)
class Dialect:
    """A framework's words in these functions."""

    framework: Framework
    # Penalties of a parameter, as templates over {w}.
    penalties: Mapping[str, str]
    # Parameters of apply(); "" where the backend writes its own forward function.
    apply_parameters: str
    reserved: frozenset[str]
    # What total_loss() calls the thing that holds the parameters.
    model: str = "model"
    # The mean of a loss from the expression of its values; None where it is nothing shorter.
    mean: Callable[[str], str | None] = lambda values: None


class TrainingWriter:
    """Writes what goes from a model's raw result to losses, metrics, outputs and updates."""

    def __init__(
        self,
        program: Program,
        dialect: Dialect,
        lower: Lower,
        needs: tuple[str, ...],
        where: Mapping[str, tuple[str, ...]],
        trained: Sequence[str],
    ) -> None:
        self.program, self.dialect, self.lower = program, dialect, lower
        self.needs, self.where = needs, where
        # The path of each trained tensor of the framework, in the order of the optimizer's list.
        self.trained = trained

    def features(self) -> set[str]:
        """What decides about optional lines of the prelude."""
        program, training = self.program, self.program.training
        parameters = [parameter for _, parameter in program.graph.parameters()]
        found = {program.conventions}
        found |= {"random"} if has_random(program.graph) else set()
        found.add("stepped" if "step" in self.needs or "step=step" in self.needs else "stepless")
        given = (*program.inputs, *program.targets)
        found |= {"booleans"} if any(v.type.dtype == "bool" for v in given) else set()
        found.add("statistics" if any(not p.trainable for p in parameters) else "stateless")
        found.add("untrained" if training is None else "trained")
        if training is not None:
            found.add("shuffle" if training.shuffle else "ordered")
            found |= {"clip"} if training.clip else set()
            masked = "masked" if any(loss.mask for loss in training.losses) else "unmasked"
            found |= {masked, f"{masked}_{program.conventions}"}
            if masked == "unmasked" and not all(map(self._averages, training.losses)):
                found.add("plain_mean")
        return found

    def write(self, file: SourceFile, only: str) -> None:
        """Adds every function that the program has, and what the prelude brings for it."""
        if self.dialect.apply_parameters:
            file.add("model", self.apply())
        file.add("model", self.to_outputs())
        source, names = emit_initial_parameters(self.program.graph.parameters())
        file.add("reproducibility", source)
        file.want(names)
        if only == "model" or self.program.training is None:
            file.want(
                {"build", "get_parameters", "set_parameters", "predict", "trace", "save", "load"}
            )
            return
        file.add("losses and metrics", self.total_loss())
        file.add("losses and metrics", self.metric_values())
        training = self.program.training
        text, used = emit_optimizer(training.optimizer, self.dialect.framework, self.trained)
        file.add("optimizer and schedule", text)
        file.want(used)
        if training.clip:
            clipping = emit_clipping(training.clip, self.dialect.framework, self.trained)
            file.add("optimizer and schedule", clipping)
        file.want({"trace", "Trainer", "loss_and_gradients", "main", "__main__"})

    def apply(self) -> str:
        inputs = [f"inputs[{literal(value.name)}]" for value in self.program.inputs]
        call = f"model({', '.join([*inputs, *self.needs])})"
        return (
            f"def apply({self.dialect.apply_parameters}):\n"
            f'    """What the model returns for a batch of tensors by input."""\n'
            f"    return {call}"
        )

    def _raw_parameter(self, names: Names) -> tuple[str, list[str]]:
        """How a function calls the model's result, and the line that unpacks several values."""
        values = self.program.head.inputs
        if len(values) == 1:
            return names.of(values[0]), []
        return "raw", [f"    {', '.join(map(names.of, values))} = raw"]

    def to_outputs(self) -> str:
        program = self.program
        names = Names({*self.dialect.reserved, "raw"})
        raw, unpacked = self._raw_parameter(names)
        lines = [
            f"def to_outputs({raw}):",
            '    """The spec\'s outputs, from what the model returns."""',
            *unpacked,
        ]
        results = {id(value): names.of(value) for value in program.head.inputs}
        for node in program.head.nodes:
            results[id(node.outputs[0])] = self._expression(node, results)
        listed = ", ".join(
            f"{literal(name)}: {results[id(value)]}" for name, value in program.outputs.items()
        )
        return "\n".join([*lines, f"    return {{{listed}}}"])

    def _expression(self, node: Node, values: Mapping[int, str]) -> str:
        form = self.lower(node)
        texts = [None if value is None else values[id(value)] for value in node.inputs]
        return render(form.expression, template_fields(node, form, texts))

    def total_loss(self) -> str:
        assert self.program.training is not None
        model = self.dialect.model
        names = Names({*self.dialect.reserved, "raw", model, "targets", "weights", "loss"})
        raw, unpacked = self._raw_parameter(names)
        lines = [
            f"def total_loss({model}, {raw}, targets, weights=None):",
            '    """The weighted sum of all losses and penalties: a scalar."""',
            *unpacked,
        ]
        losses = self.program.training.losses
        penalties = penalty_terms(self.program.graph, self.where, self.dialect.penalties)
        if any(map(self._averages, losses)):
            means = [self._loss(loss, names, "") for loss in losses]
            lines += ["    if weights is None:", f"        return {' + '.join(means + penalties)}"]
        terms = [self._loss(loss, names) for loss in losses] + penalties
        return "\n".join([*lines, f"    return {' + '.join(terms)}"])

    def _averages(self, loss: Loss) -> bool:
        """Whether the framework's own loss takes the mean, if samples have no weights."""
        expression = self.lower(loss.node).expression
        return loss.mask is None and self.dialect.mean(expression) is not None

    def _loss(self, loss: Loss, names: Names, weights: str = "weights") -> str:
        target = f"targets[{literal(loss.target.name)}]"
        values = {id(loss.prediction): names.of(loss.prediction), id(loss.target): target}
        text = self._expression(loss.node, values)
        if not weights and self._averages(loss):
            text = self.dialect.mean(text) or text
        else:
            mask = "" if loss.mask is None else f"mask={names.of(loss.mask)}"
            text = f"weighted_mean({', '.join(filter(None, (text, weights, mask)))})"
        return text if loss.weight == 1.0 else f"{loss.weight!r} * {text}"

    def metric_values(self) -> str:
        program = self.program
        assert program.training is not None
        entries = []
        for metric in program.training.metrics:
            target = next(value for value in program.targets if value.name == metric.target)
            row = METRICS[metric.metric.kind]
            function = row.function(program.outputs[metric.prediction].type, target.type)
            literals = row.literals(dict(metric.metric.attributes))
            arguments = [
                f"outputs[{literal(metric.prediction)}]",
                f"targets[{literal(metric.target)}]",
                *map(literal, literals),
            ]
            entries.append(f"{literal(metric.name)}: {function}({', '.join(arguments)})")
        lines = ["def metric_values(raw, targets):", '    """{metric: one value per sample}."""']
        if entries:
            lines.append("    outputs = to_outputs(raw)")
        return "\n".join([*lines, f"    return {{{', '.join(entries)}}}"])


def penalty_terms(
    graph: Graph, where: Mapping[str, tuple[str, ...]], penalties: Mapping[str, str]
) -> list[str]:
    """One term per penalised parameter, or per tensor that holds a part of it."""
    terms = []
    for path, parameter in graph.parameters():
        for kind, factor in (("l1", parameter.l1), ("l2", parameter.l2)):
            if factor:
                penalty = penalties[kind]
                terms += [f"{factor!r} * {penalty.replace('{w}', each)}" for each in where[path]]
    return terms


def has_random(graph: Graph) -> bool:
    """Whether the graph draws random numbers in training."""
    return any(
        any(map(has_random, node.bodies)) if node.bodies else OPS[node.op].random
        for node in graph.nodes
    )


def layouts(weights: Mapping[str, Mapping[str, Weight]], full: bool) -> str:
    """The table LAYOUTS: where each kind of layer keeps the spec's parameters.

    ``full`` also states the axes that lead to the neutral layout, and the gates where some layer
    has them in another order.
    """
    gated = any(weight.gates for table in weights.values() for weight in table.values())
    rows = []
    for kind, table in weights.items():
        entries = []
        for name, weight in table.items():
            place: object = " ".join(weight.attributes)
            if full:
                axes, gates = weight.axes or (), weight.gates or ()
                place = (" ".join(weight.attributes), (axes, gates) if gated else axes)
            entries.append(f"{literal(name)}: {literal(place)}")
        rows.append(f"    {kind}: {{{', '.join(entries)}}},")
    what = "(attributes, (axes, gates))" if gated else "(attributes, axes)"
    return "\n".join(
        [
            "# Where each kind of layer keeps the spec's parameters: "
            f"name -> {what if full else 'attribute'}.",
            "LAYOUTS = {",
            *rows,
            "}",
        ]
    )

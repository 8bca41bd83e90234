"""Tells why a training broke down: the first tensor that is not finite, and the likely cause.

`breakdown.py` gives the figures of every tensor at the first bad step; here they meet the program,
which knows the order of computation and where each layer stands in the spec.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from specc.diagnostics import Diagnostic, Note, Span
from specc.ir.graph import Configured, Node, Program
from specc.passes.inline_calls import inline_graph
from specc.runner.measure import is_statistic

Report = Mapping[str, Any]
Figures = Mapping[str, float]

RECURRENT = frozenset({"simple_rnn", "lstm", "gru"})
UNSCALED = 1e3
"""Inputs beyond this are unscaled: what preparation leaves has the size of 1."""
GROWTH = 10.0
"""A loss that is so many times its lowest has been growing, and not merely noisy."""
LARGE = 1e4
"""No parameter of a sound training gets as large as this."""


@dataclass(frozen=True)
class Culprit:
    """The first tensor that is not finite. ``node`` is the layer that it belongs to, if any."""

    kind: str
    name: str
    figures: Figures
    span: Span | None = None
    node: Node | None = None

    def __str__(self) -> str:
        bad, size = _bad(self.figures), self.figures["size"]
        share = "" if bad == size == 1 else f" ({bad:.0f} of {size:.0f} values)"
        return {
            "input": f"the input '{self.name}'",
            "target": f"the target '{self.name}'",
            "activation": f"the output of '{self.name}'",
            "gradient": f"the gradient of {self.name}",
            "statistic": f"the running statistic {self.name}",
            "parameter": f"the parameter {self.name} after the optimizer's step",
        }[self.kind] + share


@dataclass(frozen=True)
class Cause:
    """A likely cause in one sentence, what mends it, and where in the spec that would be."""

    message: str
    help: str
    span: Span | None = None


def diagnosis(program: Program, backend: str, dtype: str, report: Report) -> Diagnostic:
    """E1011 for what `breakdown.examine` found in the training of one backend."""
    # A loss that comes out finite when it is computed once more, alone, is still the one to name.
    culprit = next(_culprits(program, report), Culprit("loss", "", {}, _loss_span(program)))
    causes = list(_causes(program, dtype, report, culprit))
    return Diagnostic(
        "E1011",
        f"training on {backend} broke down at step {report['step']}, in epoch "
        f"{report['epoch'] + 1}: {_symptom(report['losses']['last'][-1], culprit)}",
        culprit.span,
        notes=tuple(Note(cause.message, cause.span) for cause in causes),
        help=causes[0].help,
    )


def _symptom(loss: float, culprit: Culprit) -> str:
    if culprit.kind == "loss":
        return f"the loss is {loss:.4g}, and all that it is computed from is finite"
    if math.isfinite(loss):
        return f"the loss was still {loss:.4g}, but {culprit} is not finite"
    return f"the loss is {loss:.4g}, and the first that is not finite is {culprit}"


def unexplained(backend: str, step: int) -> Diagnostic:
    """E1011 for a training that broke down once and not when its last steps were repeated."""
    return Diagnostic(
        "E1011",
        f"training on {backend} broke down before step {step}: the loss is not a finite number",
        notes=(
            Note(
                "the same steps from the last good state stayed finite: the device does not "
                "compute the same twice"
            ),
        ),
        help="go on from the last checkpoint, or look for the tensor with --device cpu",
    )


def _culprits(program: Program, report: Report) -> Iterator[Culprit]:
    """Every tensor that is not finite, in the order of computation."""
    graph = inline_graph(program.graph)
    makers = {value.name: node for node in graph.nodes for value in node.outputs}
    layers = {node.layer: node for node in graph.nodes}
    for kind, values in (("input", program.inputs), ("target", program.targets)):
        for value in values:
            found = report[f"{kind}s"].get(value.name)
            if found and _bad(found):
                yield Culprit(kind, value.name, found, value.span)
    seen = report["activations"]
    for name in [*(name for name in makers if name in seen), *(n for n in seen if n not in makers)]:
        if _bad(seen[name]):
            node = makers.get(name)
            yield Culprit("activation", name, seen[name], node.span if node else None, node)
    if not math.isfinite(report["loss"]):
        yield Culprit("loss", "", {}, _loss_span(program))
    # The backward pass goes from the last layer to the first.
    for kind, tensors in (
        ("gradient", reversed(report["gradients"].items())),
        ("parameter", iter(report["after"].items())),
    ):
        for name, found in tensors:
            if _bad(found):
                node = layers.get(name.rpartition(".")[0])
                named = "statistic" if kind == "parameter" and is_statistic(name) else kind
                yield Culprit(named, name, found, node.span if node else None, node)


def _loss_span(program: Program) -> Span | None:
    losses = program.training.losses if program.training else ()
    return losses[0].node.span if losses else None


def _causes(program: Program, dtype: str, report: Report, culprit: Culprit) -> Iterator[Cause]:
    """What explains the breakdown, the likeliest first; at least one."""
    found = [
        *_in_the_data(dtype, culprit),
        *_logarithm_of_zero(program, report, culprit),
        *_unscaled(program, report),
        *_exploding(program, report),
        *_growing_loss(program, report),
    ]
    yield from found or _overflow(program, dtype, report)


def _in_the_data(dtype: str, culprit: Culprit) -> Iterator[Cause]:
    if culprit.kind in ("input", "target"):
        yield Cause(
            f"the data hold values that are not finite as {dtype}",
            "drop or fill them: prepare has missing, and standardize makes large values small",
        )


def _logarithm_of_zero(program: Program, report: Report, culprit: Culprit) -> Iterator[Cause]:
    if culprit.kind != "loss" or program.training is None:
        return
    for loss in program.training.losses:
        attributes, seen = loss.node.attributes, report["activations"].get(loss.output)
        if "from_logits" not in attributes or attributes["from_logits"] or seen is None:
            continue
        if seen["least"] <= 0 or (loss.node.op == "binary_crossentropy" and seen["most"] >= 1):
            low, high = seen["least"], seen["most"]
            yield Cause(
                f"{loss.node.op} takes the logarithm of a probability, and those of "
                f"'{loss.output}' reach from {low:.4g} to {high:.4g}",
                "give the layer no activation and the loss from_logits: true; or the loss an "
                "epsilon that the precision can tell from 0 beside 1, such as 1e-7",
                loss.node.span,
            )


def _unscaled(program: Program, report: Report) -> Iterator[Cause]:
    for value in program.inputs:
        largest = _largest(report["inputs"].get(value.name))
        if value.type.dtype == "float" and largest > UNSCALED:
            yield Cause(
                f"the input '{value.name}' is unscaled: its values go up to {largest:.4g}",
                f"scale it: prepare: {{{value.name}: [standardize]}}",
                value.span,
            )


def _exploding(program: Program, report: Report) -> Iterator[Cause]:
    """Recurrent layers whose values or gradients have left all bounds."""
    if program.training is None or program.training.clip:
        return
    for node in inline_graph(program.graph).nodes:
        if node.op not in RECURRENT:
            continue
        seen = [report["activations"].get(value.name) for value in node.outputs]
        seen += [
            found
            for name, found in report["gradients"].items()
            if name.rpartition(".")[0] == node.layer
        ]
        if any(found and (_bad(found) or _largest(found) > LARGE) for found in seen):
            steps = node.inputs[0].type.shape[1] if node.inputs[0] else ""
            yield Cause(
                f"what '{node.path}' computes over {steps} time steps is a product of so many "
                "factors, and so is its gradient: both explode where the factors are above 1",
                "limit the gradients with clip: {global_norm: 1.0} in training, and use lstm or "
                "gru for long sequences",
                node.span,
            )


def _growing_loss(program: Program, report: Report) -> Iterator[Cause]:
    if program.training is None or report["step"] == 0:  # nothing has been learnt
        return
    rate = _learning_rate(program.training.optimizer)
    help_ = "divide the learning rate by 10 until the loss falls"
    told = f"the learning rate{f' of {rate:g}' if rate else ''} is too large"
    losses = report["losses"]
    last = [value for value in losses["last"] if math.isfinite(value)]
    if len(last) > 1 and last[-1] > GROWTH * abs(losses["lowest"]):
        step = report["step"] - (len(losses["last"]) - len(last))
        yield Cause(
            f"{told}: the loss grew from {losses['lowest']:.4g} at step {losses['lowest_step']} "
            f"to {last[-1]:.4g} at step {step}",
            help_,
            program.training.optimizer.span,
        )
        return
    name, largest = max(
        ((name, _largest(found)) for name, found in report["before"].items()),
        key=lambda pair: pair[1],
        default=("", 0.0),
    )
    if largest > LARGE:
        yield Cause(
            f"{told}: values of {name} went up to {largest:.4g}",
            help_,
            program.training.optimizer.span,
        )


def _overflow(program: Program, dtype: str, report: Report) -> Iterator[Cause]:
    """What is left: a value that the precision cannot hold."""
    limit = {"float32": "3.4e38", "float64": "1.8e308"}.get(dtype, "its largest number")
    nodes = {v.name: node for node in inline_graph(program.graph).nodes for v in node.outputs}
    name, largest = max(
        ((name, _largest(found)) for name, found in report["activations"].items()),
        key=lambda pair: pair[1],
        default=("", 0.0),
    )
    node = nodes.get(name)
    yield Cause(
        f"a value passed {limit}, which is as far as {dtype} goes: those of '{name}' go up to "
        f"{largest:.4g}",
        "a smaller learning rate, clip, or a normalization before that layer keeps values small",
        node.span if node else None,
    )


def _learning_rate(optimizer: Configured) -> float | None:
    """The rate at the start; None where a schedule has no single number for it."""
    rate = optimizer.attributes.get("learning_rate")
    if isinstance(rate, Configured):
        rate = rate.attributes.get("learning_rate", rate.attributes.get("initial_learning_rate"))
    return float(rate) if isinstance(rate, int | float) else None


def _bad(figures: Figures) -> float:
    return figures["nan"] + figures["infinite"]


def _largest(figures: Figures | None) -> float:
    return max(abs(figures["least"]), abs(figures["most"])) if figures else 0.0

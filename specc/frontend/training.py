"""The training section of a spec: losses, optimizer, clipping, metrics."""

from __future__ import annotations

from collections.abc import Mapping as Dict
from dataclasses import replace
from typing import Any

from specc.diagnostics import Note, Span, SpecError, did_you_mean, nearest
from specc.frontend.advice import in_language, target_type_help
from specc.frontend.configure import Environment
from specc.frontend.layers import GraphBuilder
from specc.frontend.limits import too_many
from specc.frontend.scope import Scope
from specc.frontend.tree import Mapping, Scalar, Sequence, Tree
from specc.ir.graph import Configured, Graph, Loss, Metric, Node, Training, Value
from specc.ops.attributes import Attribute, Boolean, Integer, Number, Reference
from specc.ops.base import Op, OpProblem, Site
from specc.passes.inline_calls import inline_graph
from specc.records import dataclass


def _optimizers() -> Dict[str, Any]:
    from specc.training.optimizers import OPTIMIZERS

    return OPTIMIZERS


def _clippings() -> Dict[str, Any]:
    from specc.training.clipping import CLIPPINGS

    return CLIPPINGS


def _metrics() -> Dict[str, Any]:
    from specc.training.metrics import METRICS

    return METRICS


OPTIMIZER = Reference("an optimizer", _optimizers)
CLIPPING = Reference("a clipping", _clippings)
METRIC = Reference("a metric", _metrics)
TRAINING = (
    Attribute("epochs", Integer(1), 10, "How often the training data is gone through."),
    Attribute("batch_size", Integer(1), 32, "Samples in a step."),
    Attribute("shuffle", Boolean(), True, "Whether each epoch has its own order."),
)
KEYS = ("loss", "optimizer", "metrics", "clip", *(attribute.name for attribute in TRAINING))
_EXAMPLE = "mean_squared_error: {prediction: y, target: t}"
_LOSS_WEIGHT = Attribute("weight", Number(0), 1.0, "Factor of this loss in the total.")


@dataclass
class TrainingBuilder:
    """Reads a training section against the values of a network."""

    graphs: GraphBuilder
    environment: Environment
    scope: Scope
    targets: Scope
    outputs: dict[str, Value | None]

    def __post_init__(self) -> None:
        self.reporter = self.graphs.reporter
        self.configurator = self.graphs.configurator

    def build(self, tree: Tree | None) -> Training | None:
        """The training of a spec; None without one, or when it is wrong (and reported)."""
        if tree is None:
            return None
        if not isinstance(tree, Mapping):
            self.reporter.error("E0426", "training is a mapping", tree.span, ", ".join(KEYS))
            return None
        meant = self._check_keys(tree)
        written = _items(tree.get("loss"))
        if too_many(written, "losses", tree.span, self.reporter):
            return None
        losses = [self._loss(each) for each in written]
        if not losses and "loss" not in meant:
            place = tree.key("loss")
            self.reporter.error(
                "E0702",
                "training needs a loss",
                place.span if place else tree.span,
                f"e.g. loss: {{{_EXAMPLE}}}",
            )
        optimizer = self._configured(tree.get("optimizer"), OPTIMIZER, "adam")
        clip = [self._configured(each, CLIPPING, "") for each in _clips(tree.get("clip"))]
        good = [loss for loss in losses if loss is not None]
        known = {*self.outputs.values(), *self.targets.values.values()}
        self.whole = bool(self.outputs) and None not in known and len(good) == len(losses)
        metrics = self._metrics(tree.get("metrics"), good)
        self._something_to_train(good, tree)
        plain_keys = {attribute.name for attribute in TRAINING}
        entries = tuple((k, v) for k, v in tree.entries if k.value in plain_keys)
        values = self.configurator.attributes(
            TRAINING,
            Mapping(entries, tree.span),
            self.environment,
            what="training",
            place=tree.span,
        )
        if self.reporter.failed or optimizer is None or values is None:
            return None
        return Training(
            tuple(good), optimizer, tuple(each for each in clip if each), tuple(metrics), **values
        )

    def _check_keys(self, tree: Mapping) -> set[str]:
        """Reports unknown keys; the keys that were probably meant by them."""
        from specc.frontend.foreign import translated

        meant = set()
        for key, _ in tree.entries:
            name = str(key.value)
            if name in KEYS:
                continue
            help_ = translated(name, "training", KEYS) or did_you_mean(name, KEYS)
            meant |= {each for each in KEYS if help_ == f"did you mean '{each}'?"}
            self.reporter.error("E0701", f"training has no '{name}'", key.span, help_)
        return meant

    def _configured(self, tree: Tree | None, kind: Reference, default: str) -> Configured | None:
        if tree is None:
            return self.configurator.default_reference(kind, default)
        try:
            return self.configurator.reference(tree, kind, self.environment)
        except SpecError as error:
            self.reporter.extend(error)
            return None

    def _something_to_train(self, losses: list[Loss], tree: Mapping) -> None:
        """Whether a loss depends on any parameter that is trained."""
        if self.reporter.failed or not losses:
            return
        predictions = tuple(loss.prediction for loss in losses)
        graph = Graph("", (), predictions, tuple(self.scope.nodes))
        if _trains(graph) or _trains(inline_graph(graph)):
            return
        place = tree.key("loss")
        message = "no loss depends on a layer with parameters: there is nothing to train"
        self.reporter.error("E0706", message, place.span if place else tree.span, "e.g. add dense")

    # Losses

    def _loss(self, tree: Tree) -> Loss | None:
        from specc.frontend.foreign import translated
        from specc.ops.losses import LOSSES

        table: dict[str, Op] = {
            name: op for op in LOSSES.values() for name in (op.kind, *op.aliases)
        }
        if not isinstance(tree, Mapping) or len(tree.entries) != 1:
            message, place = "a loss names what it compares", tree.span
            help_ = f"e.g. {self._example(tree, table)}"
            for key, _ in tree.entries[1:] if isinstance(tree, Mapping) else ():
                message, place = (
                    f"a loss has one kind, and '{key.value}' is not part of it",
                    key.span,
                )
                help_ = "several losses are a list; attributes go inside the braces of their loss"
            self.reporter.error("E0703", message, place, help_)
            return None
        (key, inner) = tree.entries[0]
        if key.value not in table:
            help_ = translated(str(key.value), "loss", table) or did_you_mean(str(key.value), table)
            help_ = help_ or f"choose one of {', '.join(sorted(LOSSES))}"
            self.reporter.error("E0704", f"there is no loss '{key.value}'", key.span, help_)
            return None
        if not isinstance(inner, Mapping):
            message = f"{key.value} needs prediction and target"
            self.reporter.error("E0703", message, inner.span, f"e.g. {self._example(key, table)}")
            return None
        op = table[str(key.value)]
        if self._other_ports(inner, str(key.value)):
            return None
        entries = [(k, v) for k, v in inner.entries if k.value not in ("prediction", "target")]
        attributes = self.configurator.attributes(
            (*op.attributes, _LOSS_WEIGHT),
            Mapping(tuple(entries), inner.span),
            self.environment,
            what=str(key.value),
            place=key.span,
        )
        prediction = self._wire(inner, "prediction", self.scope, key.span, op)
        target = self._wire(inner, "target", self.targets, key.span, op)
        if attributes is None or prediction is None or target is None:
            return None
        weight = attributes.pop("weight")
        return self._checked(op, attributes, prediction, target, weight, key.span)

    def _example(self, tree: Tree, table: Dict[str, Op]) -> str:
        """A loss as it is written, with the names of the spec as far as they are known."""
        named = tree.value if isinstance(tree, Scalar) else None
        kind = named if isinstance(named, str) and named in table else "mean_squared_error"
        prediction = next(filter(None, self.outputs), "y")
        target = next(iter(self.targets.values), "t")
        return f"{kind}: {{prediction: {prediction}, target: {target}}}"

    def _other_ports(self, tree: Mapping, kind: str) -> bool:
        """Reports a prediction or target under another tool's name; whether there is one."""
        from specc.frontend.foreign import translated

        if tree.get("prediction") is not None and tree.get("target") is not None:
            return False
        for key, _ in tree.entries:
            name = str(key.value)
            if name in ("prediction", "target", "weight"):
                continue
            help_ = f"e.g. {kind}: {{prediction: ..., target: ...}}"
            ports = [port for port in ("prediction", "target") if tree.get(port) is None]
            near = nearest(name, ports)
            if near or translated(name, "port", ("prediction", "target")):
                help_ = f"did you mean '{near}'?" if near else help_
                message = f"{kind} has no '{name}': what it compares are prediction and target"
                self.reporter.error("E0703", message, key.span, help_)
                return True
        return False

    def _wire(self, tree: Mapping, port: str, scope: Scope, place: Any, op: Op) -> Value | None:
        wire = tree.get(port)
        if wire is None:
            help_ = f"add {port}: the name of a value"
            self.reporter.error("E0703", f"{op.kind} needs '{port}'", place, help_)
            return None
        try:
            return self.graphs.wiring.value(wire, scope, "target" if port == "target" else "value")
        except SpecError as error:
            self.reporter.extend(error)
            return None

    def _checked(
        self,
        op: Op,
        attributes: dict[str, Any],
        prediction: Value,
        target: Value,
        weight: float,
        place: Any,
    ) -> Loss | None:
        names = prediction.name, target.name
        site = Site((prediction.type, target.type), attributes, self.graphs.conventions, names)
        try:
            for port, value in zip(op.ports, (prediction, target), strict=True):
                if port.dtype not in ("any", value.type.dtype):
                    raise OpProblem(
                        f"{op.kind} takes {port.dtype} values as its {port.name}, but "
                        f"'{value.name}' is {value.type}",
                        help=target_type_help(value, port.dtype, prediction.type, place),
                        code="E0602",
                    )
            kind = op.infer(site)
        except OpProblem as problem:
            self._report(problem, prediction, target, place)
            return None
        assert not isinstance(kind, tuple)
        mask = self.graphs.masks.of(prediction)
        if mask is not None and mask.type.shape != kind.shape[: mask.type.rank]:
            message = f"{op.kind} has values {kind}, which the mask {mask.type} of its prediction"
            notes = (Note(f"'{prediction.name}' is {prediction.type}", prediction.span),)
            help_ = "give the axis of the classes, or end the mask, e.g. by a reshape"
            self.reporter.error("E0603", f"{message} does not fit", place, help_, notes)
            return None
        values = Value(f"{prediction.name}.loss", kind, place, internal=True)
        path = f"loss.{prediction.name}.{target.name}"
        node = Node(op.kind, path, (prediction, target), (values,), attributes, (), path, place)
        return Loss(node, prediction, target, weight, mask, prediction.name)

    def _report(self, problem: OpProblem, prediction: Value, target: Value, place: Span) -> None:
        """Reports a prediction and a target that do not fit, with where they come from."""
        advisor, advice = self.graphs.advisor, ""
        extra: tuple[Note, ...] = ()
        if problem.about == "target":
            advice, extra = advisor.on_loss(prediction, target.type, in_language(place))
        found = advisor.notes((prediction,), problem.axes), advisor.notes((target,))
        places = {note.span: note for note in (*found[0], *found[1], *extra)}
        help_ = advice or problem.help
        self.reporter.error(problem.code, problem.message, place, help_, tuple(places.values()))

    # Metrics

    def _metrics(self, tree: Tree | None, losses: list[Loss]) -> list[Metric]:
        """The metrics; those that differ in attributes only are numbered, and none comes twice."""
        found: list[Metric] = []
        for each in _items(tree):
            metric = self._metric(each, losses)
            if metric is None:
                continue
            if any(replace(metric, name=other.name) == other for other in found):
                message = f"the metric {metric.name} is given twice"
                self.reporter.error("E0404", message, metric.metric.span or each.span, "remove one")
            count = sum(other.metric.kind == metric.metric.kind for other in found) + 1
            taken = any(other.name == metric.name for other in found)
            found.append(replace(metric, name=f"{metric.name}_{count}") if taken else metric)
        return found

    def _metric(self, tree: Tree, losses: list[Loss]) -> Metric | None:
        configured = self._configured(tree, METRIC, "")
        if configured is None:
            return None
        for prediction, target in self._pairs(configured, losses):
            if self._fits(configured, prediction, target):
                named = len(losses) > 1 and configured["prediction"] is not None
                name = f"{prediction}_{configured.kind}" if named else configured.kind
                return Metric(name, configured, prediction, target)
        if losses and self.whole:
            self._no_fit(configured, tree, losses)
        return None

    def _no_fit(self, configured: Configured, tree: Tree, losses: list[Loss]) -> None:
        """Reports a metric that means nothing for the outputs and targets that it is of."""
        kind, place = configured.kind, configured.span or tree.span
        for port, known in (("prediction", self.outputs), ("target", self.targets.values)):
            name = configured[port]
            if name is not None and name not in known:
                what = "output" if port == "prediction" else "target"
                message = f"{kind} is of '{name}', but the spec has no {what} '{name}'"
                self.reporter.error("E0705", message, place, did_you_mean(name, known))
                return
        notes = tuple(
            Note(f"'{value.name}' is {value.type}", value.span)
            for names in self._pairs(configured, losses)
            for value in (self.outputs[names[0]], self.targets.values[names[1]])
            if value is not None
        )
        fitting = self._fitting(configured, losses)
        help_ = f"name an output and a target: {kind}: {{prediction: ..., target: ...}}"
        if fitting:
            help_ += f", or use what fits them: {', '.join(fitting)}"
        message = f"{kind} does not fit any pair of output and target"
        self.reporter.error("E0705", message, place, help_, notes)

    def _fitting(self, configured: Configured, losses: list[Loss]) -> list[str]:
        """The metrics that mean something for the outputs and targets of one that does not."""
        from specc.training.metrics import METRICS

        pairs = self._pairs(configured, losses)
        return [
            kind
            for kind in METRICS
            if any(self._fits(replace(configured, kind=kind), *pair) for pair in pairs)
        ]

    def _pairs(self, configured: Configured, losses: list[Loss]) -> list[tuple[str, str]]:
        """(output, target) that the metric may be of: as named, else those of the losses."""
        wanted = configured["prediction"], configured["target"]
        outputs = {id(value): name for name, value in self.outputs.items()}
        pairs = [
            (outputs[id(loss.prediction)], loss.target.name)
            for loss in losses
            if id(loss.prediction) in outputs
        ]
        fitting = [
            pair
            for pair in pairs
            if all(want in (None, got) for want, got in zip(wanted, pair, strict=True))
        ]
        return fitting or ([wanted] if None not in wanted else [])

    def _fits(self, configured: Configured, prediction: str, target: str) -> bool:
        from specc.training.metrics import METRICS

        output, wanted = self.outputs.get(prediction), self.targets.values.get(target)
        if output is None or wanted is None:
            return False
        self.targets.used.add(target)
        return METRICS[configured.kind].function(output.type, wanted.type) is not None


def _trains(graph: Graph) -> bool:
    """Whether the outputs of a graph depend on a layer that is trained, as far as can be seen
    without looking into blocks: one may pass on only some of its inputs."""
    needed = {id(value) for value in graph.outputs}
    for node in reversed(graph.nodes):
        if not node.bodies and needed & {id(value) for value in node.outputs}:
            needed |= {id(value) for value in node.inputs}
            if any(parameter.trainable for parameter in node.parameters):
                return True
    return False


def _items(tree: Tree | None) -> list[Tree]:
    if tree is None:
        return []
    return list(tree.items) if isinstance(tree, Sequence) else [tree]


def _clips(tree: Tree | None) -> list[Tree]:
    """``clip: {global_norm: 1.0}``; several kinds apply in the order written."""
    if isinstance(tree, Mapping):
        return [Mapping(((key, value),), key.span) for key, value in tree.entries]
    return _items(tree)

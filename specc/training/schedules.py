"""Learning-rate schedules: functions of the optimizer step, from 0 on, in plain Python floats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from specc.diagnostics import SpecError
from specc.ir.graph import Configured
from specc.ops.attributes import (
    Attribute,
    AttributeProblem,
    Boolean,
    Choice,
    Integer,
    Kind,
    Number,
    Optional,
    Reference,
)
from specc.training.base import Registry, Row

INITIAL = Attribute("initial_learning_rate", Number(0), doc="The rate at step 0.")
DECAY_STEPS = Attribute("decay_steps", Integer(1), doc="The number of steps of the decay.")
DECAY_RATE = Attribute("decay_rate", Number(0), doc="How much it decays in decay_steps steps.")
STAIRCASE = Attribute(
    "staircase", Boolean(), False, "Whether it decays every decay_steps steps only."
)


class Schedule(Row):
    """Base of the schedules."""

    def body(self, attributes: Mapping[str, Any]) -> list[str]:
        """The statements of ``learning_rate(step)``, the last of which returns the rate."""
        raise LookupError(self.kind)


class Constant(Schedule):
    """The same rate at every step."""

    kind = "constant"
    attributes = (Attribute("learning_rate", Number(0), doc="The rate."),)

    def body(self, attributes: Mapping[str, Any]) -> list[str]:
        return [f"return {attributes['learning_rate']!r}"]


class Step(Schedule):
    """``initial * gamma ** (step // step_size)`` (torch's StepLR, once per optimizer step)."""

    kind = "step"
    aliases = ("step_lr",)
    attributes = (
        INITIAL,
        Attribute("step_size", Integer(1), doc="Steps between two drops."),
        Attribute("gamma", Number(0), 0.1, "Factor of each drop."),
    )

    def body(self, attributes: Mapping[str, Any]) -> list[str]:
        initial, size, gamma = (attributes[a.name] for a in self.attributes)
        return [f"return {initial!r} * {gamma!r} ** (step // {size})"]


class PiecewiseConstant(Schedule):
    """One value per interval between boundaries (Keras' PiecewiseConstantDecay).

    At a boundary Keras still has the old value, torch's MultiStepLR the new one.
    """

    kind = "piecewise_constant"
    aliases = ("piecewise_constant_decay",)

    @dataclass(frozen=True)
    class Numbers(Kind):
        """A list of numbers, none below 0."""

        def wants(self) -> str:
            return "a list of numbers of at least 0"

        def parse(self, value: Any) -> tuple[float, ...]:
            if isinstance(value, str) or not isinstance(value, list | tuple):
                raise AttributeProblem(f"{value!r} is not {self.wants()}")
            return tuple(Number(0).parse(each) for each in value)

        def schema(self) -> dict[str, Any]:
            return {"type": "array", "items": {"type": "number"}}

    attributes = (
        Attribute("boundaries", Numbers(), doc="Steps at which the value changes, increasing."),
        Attribute("values", Numbers(), doc="One rate more than there are boundaries."),
        Attribute(
            "at_boundary",
            Choice(("old", "new")),
            doc="Which value holds at the very step of a boundary.",
            keras="old",
            pytorch="new",
        ),
    )

    def check(self, attributes: Mapping[str, Any]) -> None:
        boundaries, values = attributes["boundaries"], attributes["values"]
        if len(values) != len(boundaries) + 1:
            raise AttributeProblem(
                f"{len(boundaries)} boundaries need {len(boundaries) + 1} values, not {len(values)}"
            )
        if any(low >= high for low, high in zip(boundaries, boundaries[1:], strict=False)):
            raise AttributeProblem("boundaries must increase")

    def body(self, attributes: Mapping[str, Any]) -> list[str]:
        comparison = ">" if attributes["at_boundary"] == "old" else ">="
        boundaries = tuple(int(b) if b.is_integer() else b for b in attributes["boundaries"])
        return [
            f"values = {attributes['values']!r}",
            f"return values[sum(step {comparison} boundary for boundary in {boundaries!r})]",
        ]


class Exponential(Schedule):
    """``initial * decay_rate ** (step / decay_steps)`` (Keras' ExponentialDecay).

    torch's ExponentialLR has decay_steps 1."""

    kind = "exponential"
    aliases = ("exponential_decay",)
    attributes = (INITIAL, DECAY_STEPS, DECAY_RATE, STAIRCASE)

    def body(self, attributes: Mapping[str, Any]) -> list[str]:
        initial, steps, rate, staircase = (attributes[a.name] for a in self.attributes)
        return [f"return {initial!r} * {rate!r} ** (step {'//' if staircase else '/'} {steps})"]


class InverseTime(Schedule):
    """``initial / (1 + decay_rate * step / decay_steps)`` (Keras' InverseTimeDecay)."""

    kind = "inverse_time"
    aliases = ("inverse_time_decay",)
    attributes = (INITIAL, DECAY_STEPS, DECAY_RATE, STAIRCASE)

    def body(self, attributes: Mapping[str, Any]) -> list[str]:
        initial, steps, rate, staircase = (attributes[a.name] for a in self.attributes)
        divide = "//" if staircase else "/"
        return [f"return {initial!r} / (1 + {rate!r} * (step {divide} {steps}))"]


class Polynomial(Schedule):
    """``end + (initial - end) * (1 - step / decay_steps) ** power``, then end.

    Keras' PolynomialDecay. With ``cycle`` the decay stretches to the next multiple of
    decay_steps instead of staying at the end.
    """

    kind = "polynomial"
    aliases = ("polynomial_decay",)
    attributes = (
        INITIAL,
        DECAY_STEPS,
        Attribute("end_learning_rate", Number(0), 1e-4, "The rate at the end."),
        Attribute("power", Number(0), 1.0, "1 decays linearly."),
        Attribute("cycle", Boolean(), False, "Whether it rises again after the end."),
    )

    def body(self, attributes: Mapping[str, Any]) -> list[str]:
        initial, steps, end, power, cycle = (attributes[a.name] for a in self.attributes)
        progress = f"progress = min(step / {steps}, 1.0)"
        if cycle:
            progress = f"progress = step / ({steps} * max(math.ceil(step / {steps}), 1))"
        return [progress, f"return {end!r} + {initial - end!r} * (1 - progress) ** {power!r}"]


class Cosine(Schedule):
    """Half a cosine from the initial rate to the final one (Loshchilov and Hutter, 2017).

    The final rate is ``alpha * initial + minimum``: Keras' CosineDecay has alpha, minimum is the
    eta_min of torch's CosineAnnealingLR. With a warm-up (Goyal et al., 2017) the rate first rises
    linearly from the initial one to warmup_target in warmup_steps steps, and the decay, decay_steps
    long, starts there. After the end Keras stays at the final rate, torch follows the cosine up.
    """

    kind = "cosine"
    aliases = ("cosine_decay",)
    attributes = (
        INITIAL,
        DECAY_STEPS,
        Attribute("alpha", Number(0), 0.0, "The final rate as a share of the highest one."),
        Attribute("minimum", Number(0), 0.0, "The final rate, as a number."),
        Attribute("warmup_target", Optional(Number(0)), None, "The rate after the warm-up."),
        Attribute("warmup_steps", Integer(0), 0, "The number of steps of the warm-up."),
        Attribute(
            "after_end",
            Choice(("stay", "rise")),
            doc="What follows the decay.",
            keras="stay",
            pytorch="rise",
        ),
    )

    def check(self, attributes: Mapping[str, Any]) -> None:
        if attributes["alpha"] and attributes["minimum"]:
            raise AttributeProblem("alpha and minimum both set the final rate", "write one of them")
        if (attributes["warmup_target"] is None) != (attributes["warmup_steps"] == 0):
            raise AttributeProblem("a warm-up needs both warmup_target and warmup_steps")

    def body(self, attributes: Mapping[str, Any]) -> list[str]:
        initial, steps, alpha, minimum, target, warmup, after_end = (
            attributes[a.name] for a in self.attributes
        )
        peak = initial if target is None else target
        final = alpha * peak + minimum
        lines = []
        step = "step"
        if warmup:
            step = f"(step - {warmup})"
            start = f"{initial!r} + " if initial else ""
            lines = [
                f"if step < {warmup}:",
                f"    return {start}{peak - initial!r} * step / {warmup}",
            ]
        progress = f"{step} / {steps}"
        if after_end == "stay":
            progress = f"min({progress}, 1.0)"
        bottom = f"{final!r} + " if final else ""
        half = (peak - final) / 2
        lines.append(f"return {bottom}{half!r} * (1 + math.cos(math.pi * {progress}))")
        return lines


SCHEDULES: Registry[Schedule] = Registry(
    (Constant, Step, PiecewiseConstant, Exponential, InverseTime, Polynomial, Cosine)
)


@dataclass(frozen=True)
class Rate(Kind):
    """A learning rate: a number, or a schedule; parses to a float or a Configured."""

    def wants(self) -> str:
        return "a number of at least 0 or a schedule"

    def registry(self) -> Mapping[str, Any]:
        return SCHEDULES

    def parse(self, value: Any) -> float:
        return Number(0).parse(value)

    def parse_tree(self, configurator: Any, tree: Any, environment: Any) -> float | Configured:
        """What the front end calls: a mapping is a schedule with its attributes.

        Raises an empty SpecError when the configurator has reported a mistake.
        """
        found: Any
        if hasattr(tree, "entries"):
            schedule = Reference("a schedule", self.registry)
            found = configurator.reference(tree, schedule, environment)
        else:
            number = (Attribute("learning_rate", Number(0)),)
            found = configurator.attributes(
                number, tree, environment, what="the optimizer", place=tree.span
            )
        if found is None:
            raise SpecError(())
        rate: float | Configured = found["learning_rate"] if isinstance(found, dict) else found
        return rate

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "number"}, {"$ref": "#/$defs/schedule"}]}


def emit_schedule(rate: float | Configured) -> str:
    """The source of ``learning_rate(step)``."""
    chosen = (
        rate if isinstance(rate, Configured) else Configured("constant", {"learning_rate": rate})
    )
    row = SCHEDULES[chosen.kind]
    return "\n".join(
        [
            "def learning_rate(step: int) -> float:",
            f'    """The {row.kind.replace("_", " ")} schedule; steps count from 0."""',
            *(f"    {line}" for line in row.body(chosen.attributes)),
            "",
        ]
    )

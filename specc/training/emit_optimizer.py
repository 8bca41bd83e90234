"""Writes the optimizer of a generated file: ``learning_rate(step)`` and ``class Optimizer``.

``Optimizer(parameters)`` has ``kind``, ``slots`` (lists of state by name, loaded in place),
``scalars(step, rate)`` on the host, in double precision, and ``update(gradients, scalars)``, in
place. TensorFlow's update takes the scalars as tensors: one trace serves every step. A functional
framework's class has no state: ``init(parameters)`` gives the slots, and ``update(parameters,
gradients, slots, scalars)`` the new parameters and slots.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from specc.ir.graph import Configured
from specc.records import dataclass
from specc.syntax import parse
from specc.training.formulas import HOST, InPlaceNumpyWriter, names, qualify
from specc.training.frameworks import TENSORFLOW, TORCH, Framework
from specc.training.optimizer import Optimizer, TorchForm
from specc.training.optimizers import OPTIMIZERS
from specc.training.schedules import emit_schedule

PRELUDE = {"nadam_momentum", "nadam_product", "array_blocks"}


def emit_optimizer(
    optimizer: Configured, framework: Framework, parameters: Sequence[str]
) -> tuple[str, set[str]]:
    """The source of the schedule and the optimizer, and the names of the prelude that it uses.

    ``parameters`` are the paths of the trained parameters, in the order in which the generated file
    lists them; gradients come in the same order. Beside the prelude the source uses ``math`` and
    the module that the framework's words name (``np``, ``torch``, ``tf`` ...).
    """
    plan = Plan(OPTIMIZERS[optimizer.kind], optimizer.attributes, framework, tuple(parameters))
    source = "\n\n".join([emit_schedule(optimizer["learning_rate"]), plan.source()])
    return source, names(source) & PRELUDE


@dataclass(frozen=True)
class Plan:
    """An optimizer in a framework, with what its class is made of."""

    row: Optimizer
    attributes: Mapping[str, Any]
    framework: Framework
    parameters: tuple[str, ...]

    @cached_property
    def decays(self) -> list[bool]:
        return self.row.decays(self.attributes, self.parameters)

    @cached_property
    def uneven(self) -> bool:
        """Whether some parameters decay and others do not."""
        return any(self.decays) and not all(self.decays)

    @cached_property
    def native(self) -> TorchForm | None:
        """The optimizer of torch.optim that this one is, if any."""
        form = self.row.torch(self.attributes) if self.framework is TORCH else None
        if form is None:
            return None
        if not any(self.decays):
            # AdamW has a decay of its own by default.
            return replace(form, type="Adam") if form.type == "AdamW" else form
        if self.row.decoupled(self.attributes) and form.type != "AdamW":
            return None
        decay = {"weight_decay": self.attributes["weight_decay"]}
        return replace(form, arguments={**form.arguments, **decay})

    @cached_property
    def kernel(self) -> str | None:
        """The call of a TensorFlow kernel that computes the formula, if any."""
        return self.row.tensorflow(self.attributes) if self.framework is TENSORFLOW else None

    @cached_property
    def slots(self) -> dict[str, str]:
        return self.row.slots(self.attributes)

    @cached_property
    def scalars(self) -> dict[str, str]:
        """The step scalars by name, over attributes, ``rate``, ``step`` and ``t``."""
        if self.native:
            renamed = {"lr": "rate", "eps": "epsilon"}
            group = {renamed[key]: value for key, value in self.native.group.items()}
            return {**group, "step": "float(step)"} if self.native.counts else group
        scalars = dict(self.row.scalars(self.attributes))
        if any(self.decays) and self.row.decoupled(self.attributes):
            scalars["decay"] = "rate * weight_decay"
        return scalars

    @cached_property
    def statements(self) -> list[str]:
        """What happens to each parameter, as formula statements; a kernel call comes last."""
        if self.native:
            return []
        lines = []
        if any(self.decays):
            decoupled = self.row.decoupled(self.attributes)
            lines = ["parameter -= decay * parameter"]
            if not decoupled:
                lines = ["gradient = gradient + weight_decay * parameter"]
        return [*lines, *([] if self.kernel else self.row.formula(self.attributes))]

    @cached_property
    def constants(self) -> dict[str, Any]:
        """The attributes that the class refers to by name."""
        hosted = set().union(*map(names, self.scalars.values()))
        updating = set().union(*map(names, [*self.statements, self.kernel or ""]))
        used = hosted | (updating - set(self.scalars)) | set(self.slots.values())
        return {name: value for name, value in self.attributes.items() if name in used}

    def source(self) -> str:
        form = self.row.form(self.attributes)
        lines = [*self._undecayed(), "class Optimizer:"]
        lines += _docstring(self.row.doc.splitlines()[0], form)
        lines.append(f'    kind = "{self.row.kind}"')
        lines += [f"    {name} = {value!r}" for name, value in self.constants.items()]
        if self.framework.functional:
            lines += [
                "",
                "    def init(self, parameters):",
                '        """The slots before the first step."""',
                *_indent(self._slots("return {", "}")),
            ]
        else:
            lines += ["", "    def __init__(self, parameters):"]
            lines += _indent(self._constructor())
        lines += [
            "",
            "    def scalars(self, step, rate=None):",
            '        """What changes with the step, computed in double precision."""',
        ]
        lines += _indent(self._scalars())
        lines.append("")
        if self.framework.decorator and not self.native:
            lines.append(f"    {self.framework.decorator}")
        if self.framework.functional:
            lines += [
                "    def update(self, parameters, gradients, slots, scalars):",
                '        """One step: the new parameters and slots."""',
                *_indent(self._functional_update()),
            ]
        else:
            lines += [
                "    def update(self, gradients, scalars):",
                '        """One step, in place."""',
                *_indent(self._update()),
            ]
        return "\n".join([*lines, ""])

    def _undecayed(self) -> list[str]:
        """The set of positions of the parameters that do not decay."""
        if not self.uneven:
            return []
        rows = [
            f"    {position},  # {name}"
            for position, (name, decays) in enumerate(
                zip(self.parameters, self.decays, strict=True)
            )
            if not decays
        ]
        return ["UNDECAYED = {", *rows, "}", "", ""]

    def _constructor(self) -> list[str]:
        lines = ["self.parameters = parameters"]
        if self.native:
            return [*lines, *self._native_state(self.native)]
        if self.uneven:
            lines.append("self.decays = [i not in UNDECAYED for i in range(len(parameters))]")
        if self.kernel and "ResourceApplyAdam" in self.kernel:
            lines += [
                "# The kernel rounds its betas; the bias corrections have to use the same ones.",
                "dtype = parameters[0].dtype.as_numpy_dtype",
                "self.beta_1, self.beta_2 = float(dtype(self.beta_1)), float(dtype(self.beta_2))",
            ]
        return [*lines, *self._slots("self.slots = {", "}")]

    def _slots(self, start: str, end: str) -> list[str]:
        """A statement with the dictionary of new slots."""
        fresh = {slot: self._fresh(slot) for slot in self.slots}
        if len(fresh) > 1 and len(set(fresh.values())) == 1:
            each = next(iter(fresh.values()))
            return [f"{start}slot: [{each} for p in parameters] for slot in {tuple(fresh)!r}{end}"]
        rows = [f'    "{slot}": [{each} for p in parameters],' for slot, each in fresh.items()]
        return [start, *rows, end] if rows else [start + end]

    def _fresh(self, slot: str) -> str:
        """The expression of a slot's first value for the parameter ``p``."""
        start = self.slots[slot]
        if start == "0.0":
            return self.framework.zeros.format("p")
        return self.framework.full.format("p", f"self.{start}")

    def _native_state(self, form: TorchForm) -> list[str]:
        arguments = "".join(f", {name}={value!r}" for name, value in form.arguments.items())
        lines = []
        groups = "parameters"
        if self.uneven:
            lines = [
                "decayed = [p for i, p in enumerate(parameters) if i not in UNDECAYED]",
                "others = [p for i, p in enumerate(parameters) if i in UNDECAYED]",
                'groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]',
            ]
            groups = "groups"
        lines.append(f"self.native = torch.optim.{form.type}({groups}{arguments})")
        lines += self._slots("self.slots = {", "}")
        state = [f'"{key}": {slot}' for slot, key in form.slots.items()]
        if form.type != "SGD":
            device = ", device=p.device" if form.arguments.get("fused") else ""
            state.insert(0, f'"step": torch.zeros((), dtype=torch.float32{device})')
        if state:
            bound, lists = (
                ["p", *form.slots],
                ["parameters", *["*self.slots.values()"] * bool(self.slots)],
            )
            lines += [
                f"for {', '.join(bound)} in zip({', '.join(lists)}, strict=True):",
                f"    self.native.state[p] = {{{', '.join(state)}}}",
            ]
        return [*lines, "self.steps = 0"] if form.counts else lines

    def _scalars(self) -> list[str]:
        lines = ["rate = learning_rate(step) if rate is None else rate"]
        if any("t" in names(value) for value in self.scalars.values()):
            lines.append("t = step + 1")
        values = [qualify(value, self.attributes, HOST) for value in self.scalars.values()]
        return [*lines, f"return {_tuple(values)}"]

    def _update(self) -> list[str]:
        unpack = f"{_tuple(list(self.scalars))} = scalars"
        if self.native:
            return [unpack, *self._native_update(self.native)]
        if issubclass(self.framework.writer, InPlaceNumpyWriter):
            return [unpack, *self._update_in_blocks()]
        lines = [unpack]
        if self.kernel:
            lines += self._kernel_constants(self.kernel)
        slots = ["*self.slots.values()"] if self.slots else []
        body = self._body() + ([self._kernel_call(self.kernel)] if self.kernel else [])
        return [*lines, self._loop("self.parameters", slots), *(f"    {line}" for line in body)]

    def _update_in_blocks(self) -> list[str]:
        """The same for each block of each tensor, with temporaries for what comes in between."""
        body = self._body()
        words = set(re.findall(r"\w+", " ".join(body)))
        used = [name for name in InPlaceNumpyWriter.TEMPORARIES if name in words]
        lists = ["self.parameters", "gradients", *(["*self.slots.values()"] if self.slots else [])]
        bound = "arrays"
        if self.uneven:
            bound, lists = "decays, *arrays", ["self.decays", *lists]
        names = ", ".join(["parameter", "gradient", *self.slots, *used])
        return [
            f"for {bound} in zip({', '.join(lists)}, strict=True):",
            f"    for {names} in array_blocks(arrays, {len(used)}):",
            *(f"        {line}" for line in body),
        ]

    def _functional_update(self) -> list[str]:
        """Slots go by name: their order is the caller's, and JAX sorts the keys of dictionaries."""
        changed = ["parameter", *self.slots]
        result = ", ".join(f'"{slot}": {slot}' for slot in self.slots)
        columns = "(list(each) for each in zip(*updated, strict=True))"
        decayed = "decayed = [i not in UNDECAYED for i in range(len(parameters))]"
        return [
            f"{_tuple(list(self.scalars))} = scalars",
            *([decayed] if self.uneven else []),
            "updated = []",
            self._loop("parameters", [f'slots["{slot}"]' for slot in self.slots]),
            *(f"    {line}" for line in self._body()),
            f"    updated.append(({_tuple(changed)}))",
            f"{_tuple(['parameters', *self.slots])} = {columns}",
            f"return parameters, {{{result}}}",
        ]

    def _loop(self, parameters: str, slots: list[str]) -> str:
        """The head of the loop over all tensors."""
        bound, lists = ["parameter", "gradient", *self.slots], [parameters, "gradients", *slots]
        if self.uneven:
            bound = [*bound, "decays"]
            lists.append("decayed" if self.framework.functional else "self.decays")
        return f"for {', '.join(bound)} in zip({', '.join(lists)}, strict=True):"

    def _body(self) -> list[str]:
        """The formula for one tensor."""
        words = self.framework
        writer = words.writer(words.functions, ["parameter", *self.slots], self.constants)
        parts = [writer.statement(each).split("\n") for each in self.statements]
        if self.uneven:
            parts[0] = ["if decays:", *(f"    {line}" for line in parts[0])]
        return [line for part in parts for line in part]

    def _native_update(self, form: TorchForm) -> list[str]:
        lines = []
        if form.counts:
            lines = [
                "if step != self.steps:  # after loading a state: torch.optim counts by itself",
                "    for state in self.native.state.values():",
                '        state["step"].fill_(step)',
                "self.steps = step + 1",
            ]
        renamed = {"lr": "rate", "eps": "epsilon"}
        sets = ", ".join(f"{key}={renamed[key]}" for key in form.group)
        return [
            *lines,
            "for group in self.native.param_groups:",
            f"    group.update({sets})",
            "for parameter, gradient in zip(self.parameters, gradients, strict=True):",
            "    parameter.grad = gradient",
            "self.native.step()",
        ]

    def _kernel_constants(self, kernel: str) -> list[str]:
        """Attributes in the kernel's call as tensors of the parameters' dtype."""
        used = [name for name in self.attributes if name in names(kernel) - set(self.scalars)]
        values = {name: f"self.{name}" for name in used}
        if "zero" in names(kernel):
            values = {"zero": "0.0", **values}
        if len(values) == 1:
            ((name, value),) = values.items()
            return [f"{name} = tf.constant({value}, self.parameters[0].dtype)"]
        return [
            f"constants = {_tuple(list(values.values()))}",
            "dtype = self.parameters[0].dtype",
            f"{', '.join(values)} = (tf.constant(each, dtype) for each in constants)",
        ]

    def _kernel_call(self, kernel: str) -> str:
        """``tf.raw_ops.ResourceApplyAdam(var=parameter.handle, ...)``."""
        call = parse(f"tf.raw_ops.{kernel}", mode="eval").body
        assert isinstance(call, ast.Call)
        for keyword in call.keywords:
            if isinstance(keyword.value, ast.Name) and keyword.value.id in {
                "parameter",
                *self.slots,
            }:
                keyword.value = ast.Attribute(keyword.value, "handle")
        return ast.unparse(call)


def _docstring(title: str, form: str) -> list[str]:
    """The docstring of the class."""
    line = f"{title} {form}".strip()
    if len(line) <= 88:
        return [f'    """{line}"""', ""]
    return [f'    """{title}', "", f"    {form}", '    """', ""]


def _tuple(items: Sequence[str]) -> str:
    return f"({items[0]},)" if len(items) == 1 else ", ".join(items)


def _indent(lines: Sequence[str]) -> list[str]:
    return [f"        {line}" for line in lines]

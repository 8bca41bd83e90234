"""Mistakes that show in one layer and were made in another: a flatten that is missing, an image in
the other layout, a sequence that ended too early."""

from __future__ import annotations

from collections.abc import Iterable

from specc.diagnostics import Note, Span
from specc.frontend.origins import Made, Origins
from specc.ir.graph import Value
from specc.ir.types import TensorType
from specc.ops.base import OpProblem
from specc.records import dataclass

Advice = tuple[str, tuple[Note, ...]]
"""A help text and the second places that belong to it; the text is "" where there is none."""
_NONE: Advice = ("", ())


@dataclass(frozen=True)
class Advisor:
    """Explains problems of ops by the layers above them."""

    origins: Origins
    layout: str

    def notes(
        self, values: Iterable[Value | None], axes: tuple[tuple[int, int], ...] = ()
    ) -> tuple[Note, ...]:
        """What each value is and where that comes from; with ``axes``, of (value, axis), for the
        values that they name alone."""
        found = []
        for index, value in enumerate(values):
            own = tuple(axis for number, axis in axes if number == index)
            if value is not None and (own or not axes):
                found.append(self.origins.note(value, own))
        return tuple(note for note in found if note is not None)

    def on_layer(self, problem: OpProblem, value: Value | None, in_language: bool) -> Advice:
        """Of a layer that cannot work on its input."""
        if value is None:
            return _NONE
        if problem.about == "window":
            return self._transposed(value)
        if problem.about == "rank":
            return self._lost_axes(value, in_language)
        return _NONE

    def on_loss(self, prediction: Value, target: TensorType, in_language: bool) -> Advice:
        """Of a prediction and a target of unlike shapes."""
        extra = prediction.type.rank - target.rank
        steps = self.origins.while_(prediction, _keeps_rank)
        recurrent = steps is not None and "return_sequences" in steps.site.attributes
        if recurrent and steps is not None:
            keeps = bool(steps.site["return_sequences"])
            # One target for a whole sequence: a class, or features without the steps.
            sizes, whole = target.shape[1:], prediction.type.shape[1:]
            if keeps and len(whole) == 2 and (not sizes or sizes == whole[1:] != whole[:1]):
                return _sequences(steps, "false", in_language)
            if not keeps and target.rank >= prediction.type.rank and target.rank > 1:
                wanted = steps.site.input.shape[1]
                if target.shape[1] == wanted:
                    return _sequences(steps, "true", in_language)
            return _NONE
        made = self._first_dense(prediction)
        if made is None or extra < 0 or prediction.type.rank < 3:
            return _NONE
        positions = target.shape[1:2] == prediction.type.shape[1:2]
        return _NONE if extra == 0 or positions else _flatten(made)

    def _first_dense(self, prediction: Value) -> Made | None:
        """The first of the dense layers that worked on the last axis of an image alone."""
        found = None
        for made in self.origins.upstream(prediction):
            if not _keeps_rank(made):
                break
            if made.op.kind == "dense":
                found = made
        return found

    def _transposed(self, value: Value) -> Advice:
        """An image that was declared in the other layout."""
        from specc.ops.windows import transposed_layout

        image = self.origins.source(value)
        meant = transposed_layout(image.type, self.layout)
        if meant is None:
            return _NONE
        first = self.layout == "channels_last"
        other, where = ("channels_first", "first") if first else ("channels_last", "last")
        sizes = image.type.shape[1:]
        names = ("height", "width", "channels") if first else ("channels", "height", "width")
        read = ", ".join(f"{name} {size}" for name, size in zip(names, sizes, strict=True))
        note = Note(f"'{image.name}' is {image.type}, read as {read}", image.span)
        inner = ", ".join(map(str, meant))
        help_ = f"if '{image.name}' has its channels {where}, set layout to {other}, or declare it"
        return f"{help_} as [{inner}]", (note,)

    def _lost_axes(self, value: Value, in_language: bool) -> Advice:
        """Axes that a layer further up took or added."""
        made = self.origins.while_(value, _keeps_rank)
        if made is None:
            return _NONE
        kind, name = made.op.kind, made.value.name
        if "return_sequences" in made.site.attributes and not made.site["return_sequences"]:
            return _sequences(made, "true", in_language)
        if kind == "flatten":
            note = Note(f"'{name}' joins the axes of {made.site.input}", made.value.span)
            return f"put this layer before '{name}', or reshape what it gives to an image", (note,)
        if kind == "embedding" and made.site.input.rank > 2 and made.wires[0] is not None:
            ids = made.wires[0]
            steps = TensorType("int", ids.type.shape[:2])
            note = Note(f"'{name}' adds an axis to {ids.type}", made.value.span)
            return f"an embedding takes one id per step: declare '{ids.name}' as {steps}", (note,)
        return _NONE


def _keeps_rank(made: Made) -> bool:
    """Whether a call gives a value with as many axes as its input."""
    first = made.wires[0] if made.wires else None
    several = any(port.many for port in made.op.ports)
    return (
        first is not None
        and not several
        and first.type.rank == made.value.type.rank
        and ("return_sequences" not in made.site.attributes)
    )


def _sequences(made: Made, value: str, in_language: bool) -> Advice:
    """A recurrent layer whose return_sequences is the other way round."""
    gives = "its last step alone" if value == "true" else "every step"
    note = Note(f"'{made.value.name}' gives {gives}", made.value.span)
    setting = f"return_sequences={value}" if in_language else f"return_sequences: {value}"
    return f"set {setting} in '{made.value.name}'", (note,)


def _flatten(made: Made) -> Advice:
    """A dense layer on an image or a sequence that nothing made a row of."""
    name, given = made.value.name, made.site.input
    pool = {4: "global_average_pool2d", 3: "global_average_pool1d"}.get(given.rank)
    note = Note(f"'{name}' works on the last axis of {given} alone", made.value.span)
    return f"put flatten{f' or {pool}' if pool else ''} before '{name}'", (note,)


def type_advice(value: Value, dtype: str, origins: Origins, in_language: bool) -> str:
    """How a value gets the element type that a port takes."""
    made = origins.of(value)
    if dtype == "float" and value.type.dtype == "int":
        return "integers go through an embedding first; one_hot in the section data makes floats"
    if dtype == "int" and made is None:
        declared = TensorType("int", value.type.shape)
        return f"declare it as {declared}" + ("" if in_language else ", with dtype: int")
    if dtype == "int" and made is not None and made.op.kind == "embedding":
        return f"'{made.value.name}' gives vectors already; for another layer on them write dense"
    return ""


def target_type_help(target: Value, dtype: str, prediction: TensorType, place: Span) -> str:
    """How a target gets the element type that a loss takes."""
    if dtype == "int" and target.type.shape == prediction.shape:
        return "one-hot targets go with categorical_crossentropy; classes are declared as int"
    declared = f"declare the target as {TensorType(dtype, target.type.shape)}"
    return declared if in_language(place) else f"{declared}, with dtype: {dtype}"


def in_language(place: Span) -> bool:
    """Whether a place is in a spec in the language, for help that shows what to write."""
    return place.source.name.endswith(".specc")

"""Initial values of parameters: each tensor derives from (seed, path, shape) alone.

A row turns its attributes and the fans of a parameter, which the compiler knows, into one call of
a function of the shared prelude: that call is what a generated file shows and ``values`` evaluates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from specc.ops.attributes import Attribute, AttributeProblem, Choice, Number
from specc.training.base import Registry, Row

if TYPE_CHECKING:
    import numpy as np

Call = tuple[str, dict[str, Any]]
GAIN = Attribute("gain", Number(), 1.0, "Factor of all values.")


class Initializer(Row):
    """Base of the initializers. ``function`` names that of the prelude where it is not the kind."""

    function: ClassVar[str] = ""
    # The operations whose parameters it fills; those of all where it is empty.
    operations: ClassVar[tuple[str, ...]] = ()

    def call(self, attributes: Mapping[str, Any], fan_in: int, fan_out: int) -> Call:
        """The name and the keyword arguments of the prelude function that draws the values.

        An attribute at its common default is left out: the function has the same default (tested).
        """
        stated = {a.name: attributes[a.name] for a in self.attributes}
        defaults = {a.name: a.default for a in self.attributes}
        stated = {name: value for name, value in stated.items() if value != defaults[name]}
        return self.function or self.kind, stated

    def check_parameter(self, operation: str, shape: Sequence[int]) -> None:
        """Raises AttributeProblem if this cannot fill a parameter of this shape in that kind of
        operation.
        """
        if self.operations and operation not in self.operations:
            meant = " or ".join(self.operations)
            raise AttributeProblem(
                f"{self.kind} is for the parameters of {meant} only",
                "write another initializer here, such as zeros or {constant: 1}",
            )
        self.check_shape(shape)

    def check_shape(self, shape: Sequence[int]) -> None:
        """Raises AttributeProblem if this initializer cannot fill any parameter of this shape."""

    def source(self, attributes: Mapping[str, Any], fan_in: int, fan_out: int) -> str:
        """The call as a generated file shows it: ``glorot_uniform(fan_in=9, fan_out=288)``."""
        function, arguments = self.call(attributes, fan_in, fan_out)
        return f"{function}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"

    def values(
        self,
        key: int,
        shape: Sequence[int],
        fan_in: int = 1,
        fan_out: int = 1,
        attributes: Mapping[str, Any] | None = None,
    ) -> np.ndarray:
        """The float64 values of a tensor; without attributes, those of the keras convention."""
        from specc.backends import prelude_shared

        chosen = self.defaults("keras") if attributes is None else attributes
        function, arguments = self.call(chosen, fan_in, fan_out)
        values: np.ndarray = getattr(prelude_shared, function)(**arguments)(key, tuple(shape))
        return values


class Zeros(Initializer):
    """All 0."""

    kind = "zeros"


class Ones(Initializer):
    """All 1."""

    kind = "ones"


class Constant(Initializer):
    """One value everywhere."""

    kind = "constant"
    attributes = (Attribute("value", Number(), 0.0, "The value of all elements."),)


class Uniform(Initializer):
    """Uniform between two bounds (Keras' RandomUniform, torch's uniform_)."""

    kind = "uniform"
    aliases = ("random_uniform",)
    attributes = (
        Attribute("low", Number(), doc="Lower bound.", keras=-0.05, pytorch=0.0),
        Attribute("high", Number(), doc="Upper bound.", keras=0.05, pytorch=1.0),
    )

    def check(self, attributes: Mapping[str, Any]) -> None:
        if attributes["low"] > attributes["high"]:
            raise AttributeProblem(
                f"low {attributes['low']:g} is above high {attributes['high']:g}"
            )


MEAN = Attribute("mean", Number(), 0.0, "Mean.")
STDDEV = Attribute(
    "stddev", Number(0, above=True), doc="Standard deviation.", keras=0.05, pytorch=1.0
)


class Normal(Initializer):
    """Normal (Keras' RandomNormal, torch's normal_)."""

    kind = "normal"
    aliases = ("random_normal",)
    attributes = (MEAN, STDDEV)


class TruncatedNormal(Initializer):
    """Normal without its tails (Keras' TruncatedNormal, torch's trunc_normal_).

    Keras cuts at two standard deviations from the mean, torch at a distance of 2 from 0.
    """

    kind = "truncated_normal"
    attributes = (
        MEAN,
        STDDEV,
        Attribute(
            "cut",
            Choice(("sigma", "absolute")),
            doc="Limit counts in standard deviations from the mean, or is the largest magnitude.",
            keras="sigma",
            pytorch="absolute",
        ),
        Attribute("limit", Number(0, above=True), 2.0, "Where the distribution is cut."),
    )

    def check(self, attributes: Mapping[str, Any]) -> None:
        low, high = self._bounds(attributes)
        kept = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
        if kept < 1e-3:
            raise AttributeProblem(
                f"only {kept:.1g} of this normal distribution lies within the cut",
                "move mean towards 0, or raise limit",
            )

    def call(self, attributes: Mapping[str, Any], fan_in: int, fan_out: int) -> Call:
        arguments = {name: attributes[name] for name in ("stddev", "mean")}
        if not arguments["mean"]:
            del arguments["mean"]
        low, high = self._bounds(attributes)
        return self.kind, arguments | ({} if (low, high) == (-2, 2) else {"low": low, "high": high})

    def _bounds(self, attributes: Mapping[str, Any]) -> tuple[float, float]:
        """Both cuts, counted from the mean in standard deviations."""
        mean, stddev, limit = (attributes[name] for name in ("mean", "stddev", "limit"))
        if attributes["cut"] == "sigma":
            return -limit, limit
        return (-limit - mean) / stddev, (limit - mean) / stddev


class FanScaled(Initializer):
    """Base of the initializers whose variance follows the fans."""

    fans: ClassVar[tuple[str, ...]]

    def call(self, attributes: Mapping[str, Any], fan_in: int, fan_out: int) -> Call:
        fans = {"fan_in": fan_in, "fan_out": fan_out}
        function, stated = super().call(attributes, fan_in, fan_out)
        return function, {name: fans[name] for name in self.fans} | stated


class GlorotUniform(FanScaled):
    """U(-a, a) with a = sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""

    kind = "glorot_uniform"
    fans = ("fan_in", "fan_out")


class GlorotNormal(FanScaled):
    """Variance 2 / (fan_in + fan_out), a normal cut at 2 sigma (Glorot and Bengio, 2010)."""

    kind = "glorot_normal"
    fans = ("fan_in", "fan_out")


class HeUniform(FanScaled):
    """U(-a, a) with a = sqrt(6 / fan_in) (He et al., 2015)."""

    kind = "he_uniform"
    fans = ("fan_in",)


class HeNormal(FanScaled):
    """Normal of variance 2 / fan_in, cut at 2 sigma as Keras does (He et al., 2015)."""

    kind = "he_normal"
    fans = ("fan_in",)


class LecunUniform(FanScaled):
    """U(-a, a) with a = sqrt(3 / fan_in) (LeCun et al., 1998)."""

    kind = "lecun_uniform"
    fans = ("fan_in",)


class LecunNormal(FanScaled):
    """Normal of variance 1 / fan_in, cut at 2 sigma as Keras does (LeCun et al., 1998)."""

    kind = "lecun_normal"
    fans = ("fan_in",)


class XavierUniform(FanScaled):
    """torch's xavier_uniform_: U(-a, a) with a = gain sqrt(6 / (fan_in + fan_out))."""

    kind = "xavier_uniform"
    function = "glorot_uniform"
    fans = ("fan_in", "fan_out")
    attributes = (GAIN,)


class XavierNormal(FanScaled):
    """torch's xavier_normal_: normal of deviation gain sqrt(2 / (fan_in + fan_out)), not cut."""

    kind = "xavier_normal"
    fans = ("fan_in", "fan_out")
    attributes = (GAIN,)


class FanInUniform(FanScaled):
    """U(-a, a) with a = 1 / sqrt(fan_in), as torch's Linear and convolutions, biases too."""

    kind = "fan_in_uniform"
    fans = ("fan_in",)


class Kaiming(Initializer):
    """Base of torch's kaiming initializers."""

    attributes = (
        Attribute("a", Number(), 0.0, "Negative slope of the leaky_relu that follows."),
        Attribute("mode", Choice(("fan_in", "fan_out")), "fan_in", "Which fan keeps its variance."),
        Attribute(
            "nonlinearity",
            Choice(("leaky_relu", "relu", "tanh", "selu", "linear", "sigmoid")),
            "leaky_relu",
            "The activation that follows; it sets the gain.",
        ),
    )

    def call(self, attributes: Mapping[str, Any], fan_in: int, fan_out: int) -> Call:
        gain = {
            "leaky_relu": math.sqrt(2 / (1 + attributes["a"] ** 2)),
            "relu": math.sqrt(2),
            "tanh": 5 / 3,
            "selu": 3 / 4,
        }.get(attributes["nonlinearity"], 1.0)
        return self.kind, {
            "fan": fan_in if attributes["mode"] == "fan_in" else fan_out,
            "gain": gain,
        }


class KaimingUniform(Kaiming):
    """torch's kaiming_uniform_: U(-b, b) with b = gain sqrt(3 / fan) (He et al., 2015)."""

    kind = "kaiming_uniform"


class KaimingNormal(Kaiming):
    """torch's kaiming_normal_: normal of deviation gain / sqrt(fan), not cut (He et al., 2015)."""

    kind = "kaiming_normal"


class VarianceScaling(Initializer):
    """Keras' VarianceScaling: variance scale / fan, from one of three distributions."""

    kind = "variance_scaling"
    attributes = (
        Attribute("scale", Number(0, above=True), 1.0, "Variance times fan."),
        Attribute("mode", Choice(("fan_in", "fan_out", "fan_avg")), "fan_in", "Which fan."),
        Attribute(
            "distribution",
            Choice(("truncated_normal", "untruncated_normal", "uniform")),
            "truncated_normal",
            "Its form.",
        ),
    )

    def call(self, attributes: Mapping[str, Any], fan_in: int, fan_out: int) -> Call:
        fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
        stddev = math.sqrt(attributes["scale"] / max(1.0, fans[attributes["mode"]]))
        if attributes["distribution"] == "uniform":
            return "uniform", {"low": -math.sqrt(3) * stddev, "high": math.sqrt(3) * stddev}
        if attributes["distribution"] == "untruncated_normal":
            return "normal", {"stddev": stddev}
        return "scaled_truncated_normal", {"stddev": stddev}


class Orthogonal(Initializer):
    """Orthonormal columns (or rows, the fewer) of the matrix that joins all axes but the last.

    The QR factor of a normal matrix, made unique by the signs of R's diagonal (Saxe et al., 2014).
    """

    kind = "orthogonal"
    attributes = (GAIN,)

    def check_shape(self, shape: Sequence[int]) -> None:
        if len(shape) < 2:
            raise AttributeProblem(f"orthogonal needs two axes or more, not shape {tuple(shape)}")


class Identity(Initializer):
    """The identity matrix times gain, for matrices only."""

    kind = "identity"
    aliases = ("eye",)
    attributes = (GAIN,)

    def check_shape(self, shape: Sequence[int]) -> None:
        if len(shape) != 2:
            raise AttributeProblem(f"identity fills matrices, not shape {tuple(shape)}")


class UnitForgetBias(Initializer):
    """An LSTM's bias (gates i, f, c, o): 1 for the forget gate (Jozefowicz et al., 2015)."""

    kind = "unit_forget_bias"
    operations = ("lstm",)

    def check_shape(self, shape: Sequence[int]) -> None:
        if len(shape) != 1 or shape[0] % 4:
            raise AttributeProblem(
                f"unit_forget_bias fills the (4 * units,) bias of an LSTM, not {tuple(shape)}"
            )


INITIALIZERS: Registry[Initializer] = Registry(
    (
        Zeros,
        Ones,
        Constant,
        Uniform,
        Normal,
        TruncatedNormal,
        GlorotUniform,
        GlorotNormal,
        HeUniform,
        HeNormal,
        LecunUniform,
        LecunNormal,
        XavierUniform,
        XavierNormal,
        FanInUniform,
        KaimingUniform,
        KaimingNormal,
        VarianceScaling,
        Orthogonal,
        Identity,
        UnitForgetBias,
    )
)

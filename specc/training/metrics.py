"""Metrics: what an epoch is judged by, beside its loss."""

from __future__ import annotations

from typing import Any, ClassVar

from specc.ir.types import TensorType
from specc.ops.attributes import Attribute, Integer, Optional, Text


class Metric:
    """Base of the metrics. A metric is a mean over samples of a value per sample.

    ``expressions`` gives, by backend, the value per sample from ``{prediction}`` and ``{target}``.
    """

    kind: ClassVar[str]
    attributes: ClassVar[tuple[Attribute, ...]] = (
        Attribute(
            "prediction",
            Optional(Text()),
            None,
            "The output that is judged; that of the first loss.",
        ),
        Attribute(
            "target", Optional(Text()), None, "The target it is judged by; that of the first loss."
        ),
    )

    @classmethod
    def function(cls, prediction: TensorType, target: TensorType) -> str | None:
        """The prelude function for such tensors, or None where the metric means nothing."""
        raise LookupError(cls.kind)

    @classmethod
    def literals(cls, values: dict[str, Any]) -> tuple[Any, ...]:
        """Arguments after prediction and target."""
        return ()


class Accuracy(Metric):
    """The share of samples whose class is right.

    An integer target counts the largest of the predictions (the first among equals); a one-hot
    target of the
    same shape likewise; a single probability counts as class 1 above 0.5.
    """

    kind = "accuracy"

    @classmethod
    def function(cls, prediction: TensorType, target: TensorType) -> str | None:
        if prediction.shape == target.shape:
            single = prediction.rank == 1 or prediction.shape[-1] == 1
            return "binary_accuracy" if single else "categorical_accuracy"
        if target.dtype == "int" and target.shape == prediction.shape[:-1]:
            return "sparse_categorical_accuracy"
        return None


class TopKAccuracy(Metric):
    """The share of samples whose class is among the ``k`` largest predictions."""

    kind = "top_k_accuracy"
    attributes = (Attribute("k", Integer(1), 5, "How many predictions count."), *Metric.attributes)

    @classmethod
    def function(cls, prediction: TensorType, target: TensorType) -> str | None:
        fits = target.dtype == "int" and target.shape == prediction.shape[:-1]
        return "sparse_top_k_accuracy" if fits else None

    @classmethod
    def literals(cls, values: dict[str, Any]) -> tuple[Any, ...]:
        return (values["k"],)


class MeanAbsoluteError(Metric):
    """``mean(|prediction - target|)``."""

    kind = "mean_absolute_error"
    aliases = ("mae",)

    @classmethod
    def function(cls, prediction: TensorType, target: TensorType) -> str | None:
        return "absolute_error" if prediction.shape == target.shape else None


METRICS = {cls.kind: cls for cls in (Accuracy, TopKAccuracy, MeanAbsoluteError)}

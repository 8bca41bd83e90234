"""Signatures of a few kinds, so that front-end tests do not depend on the registries."""

from __future__ import annotations

from specc.frontend.signatures import Family, Signature

_WIRES = frozenset({"prediction", "target"})


def _family(rows: dict[str, Signature]) -> Family:
    return rows.get


REGULARIZERS = {"l1": Signature(("factor",)), "l2": Signature(("factor",))}
SCHEDULES = {"cosine": Signature(("initial", "steps", "warmup"), frozenset({"initial", "steps"}))}
SECTIONS: dict[str, dict[str, Signature]] = {
    "layers": {
        "add": Signature(()),
        "batch_norm": Signature(("axis", "momentum", "epsilon")),
        "conv2d": Signature(
            ("filters", "kernel_size", "strides", "padding", "use_bias"),
            frozenset({"filters", "kernel_size"}),
        ),
        "dense": Signature(
            ("units", "activation", "use_bias", "kernel_regularizer"),
            frozenset({"units"}),
            {"kernel_regularizer": _family(REGULARIZERS)},
        ),
        "dropout": Signature(("rate",), frozenset({"rate"})),
        "flatten": Signature(()),
        "global_average_pool2d": Signature(()),
        "lstm": Signature(("units", "return_sequences", "return_state"), frozenset({"units"})),
        "relu": Signature(()),
        "reshape": Signature(("shape",), frozenset({"shape"})),
    },
    "loss": {
        "mean_squared_error": Signature(("prediction", "target", "weight"), _WIRES, {}, _WIRES),
        "sparse_categorical_crossentropy": Signature(
            ("prediction", "target", "from_logits", "weight"), _WIRES, {}, _WIRES
        ),
    },
    "optimizer": {
        "adam": Signature(
            ("learning_rate", "beta_1"), frozenset(), {"learning_rate": _family(SCHEDULES)}
        ),
        "sgd": Signature(("learning_rate",), frozenset(), {"learning_rate": _family(SCHEDULES)}),
    },
    "metrics": {"accuracy": Signature(("prediction", "target")), "top_k": Signature(("k",))},
    "clip": {"global_norm": Signature(("limit",), frozenset({"limit"}))},
    "prepare": {
        "one_hot": Signature(("classes",)),
        "rescale": Signature(("factor",)),
        "standardize": Signature(()),
    },
}


def signatures(section: str, kind: str) -> Signature | None:
    return SECTIONS.get(section, {}).get(kind)

"""The names of the warnings, by which ``allow`` in a spec silences them."""

from __future__ import annotations

WARNINGS = {
    "W1001": "unused",
    "W1002": "unbounded_probabilities",
    "W1003": "softmax_before_logits",
    "W1004": "activation_for_loss",
    "W1005": "double_activation",
    "W1006": "constant_softmax",
    "W1007": "dead_initializer",
    "W1008": "learning_rate",
    "W1009": "dropout_before_loss",
    "W1010": "high_dropout",
    "W1011": "batch_of_one",
    "W1012": "linear_stack",
    "W1013": "missing_classes",
    "W1014": "empty_part",
    "W1015": "unscaled_input",
    "W1016": "unreachable_target",
    "W1017": "schedule_length",
    "W1018": "useless_bias",
}
"""{code: name}. What each is about stands on its page in the catalogue."""

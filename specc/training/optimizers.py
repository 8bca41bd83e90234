"""The optimizers that a spec can name."""

from __future__ import annotations

from specc.training.base import Registry
from specc.training.optimizer import Optimizer
from specc.training.optimizers_adam import Adam, Adamax, AdamW, Nadam
from specc.training.optimizers_momentum import Momentum, Nesterov, Sgd
from specc.training.optimizers_squares import Adadelta, Adagrad, Rmsprop

OPTIMIZERS: Registry[Optimizer] = Registry(
    (Sgd, Momentum, Nesterov, Rmsprop, Adam, AdamW, Adagrad, Adadelta, Adamax, Nadam)
)

"""What a generated JAX file calls a model."""

from dataclasses import dataclass

import jax


@dataclass
class Model:
    """The network's arrays by path. The functions below are pure; training puts new arrays here."""

    parameters: dict[str, jax.Array]
    seed: int  # of the batch order and the masks
    dtype: str

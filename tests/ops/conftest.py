"""Settings of the tests of ops."""

from collections.abc import Iterator

import pytest


@pytest.fixture
def keras_float64() -> Iterator[None]:
    """Keras layers are made in float64, whatever policy an earlier test made Keras keep.

    The first layer that is made fixes the policy of the process: from then on floatx alone does
    not change the type of a layer.
    """
    import keras

    kept = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(kept[0])
    keras.config.set_dtype_policy(kept[1])

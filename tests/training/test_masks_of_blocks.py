"""Masks go into blocks and out of them, also where a repeat begins one or ends it on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from specc.compiler import compile_spec
from specc.testing import assert_equivalent

SPEC = """spec 1 masked
input words: int[6]
input signal: float[6, 4]
input heard: bool[6]
target label: float[3]

block read(units) {
  input x, mask
  y = (x, mask=mask) | lstm(units, return_sequences=true)
  output y
}
told = (signal, heard) | read(4)
begun = (signal, heard) | repeat(2) {
    input x, m
    y = (x, mask=m) | gru(4, return_sequences=true)
    output y, m
  }
e = words | embedding(7, 4, mask_zero=true)
ended = e | repeat(3) {
    input x
    x | reshape([6, 4]) | dense(4, activation="tanh")
  }
all = (told, begun, ended) | add | lstm(5)
y = all | dense(3)
output y

training {
  loss mean_squared_error(y, label)
  optimizer adam(learning_rate=1e-2)
  batch_size 8
}
data npz { path "rows.npz" }
"""


def test_masks_of_blocks_and_repeats(tmp_path: Path) -> None:
    spec = tmp_path / "masked.specc"
    spec.write_text(SPEC, encoding="utf-8")
    draw = np.random.default_rng(0)
    np.savez(
        tmp_path / "rows.npz",
        words=draw.integers(0, 7, (20, 6)),
        signal=draw.normal(size=(20, 6, 4)),
        heard=draw.random((20, 6)) < 0.7,
        label=draw.normal(size=(20, 3)),
    )
    # The first pass takes a mask that no later one has.
    text = compile_spec(spec, backend="torch")
    assert "self.ended[0](e, words != 0)" in text and "self.ended[1](ended)" in text
    assert_equivalent(spec, steps=4)

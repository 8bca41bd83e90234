"""Makes digit_pairs.npz: pairs of scikit-learn's 8x8 handwritten digits, half of them of the same
class.

    python examples/data/digit_pairs.py

The images are first divided into a training and a test part, so that no image occurs in both; the
pairs are then drawn inside each part. The draw is made from the raw bits of PCG64, whose stream
NumPy guarantees, so everybody who runs this gets the same file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TEST_SHARE = 5  # every fifth image of the shuffled set is a test image
TRAINING_PAIRS, TEST_PAIRS = 4000, 1000


def draw_pairs(
    rows: np.ndarray, labels: np.ndarray, count: int, bits: np.random.PCG64
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the left and right images of ``count`` pairs; even pairs share their class."""
    left = rows[np.arange(count) % len(rows)]
    right = np.empty_like(left)
    for pair, row in enumerate(left):
        alike = labels[rows] == labels[row]
        choices = rows[alike & (rows != row)] if pair % 2 == 0 else rows[~alike]
        right[pair] = choices[int(bits.random_raw()) % len(choices)]
    return left, right


def main() -> None:
    digits = load_digits()
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.int64)
    bits = np.random.PCG64(0)
    shuffled = np.argsort(bits.random_raw(len(labels)), kind="stable")
    is_test = np.arange(len(labels)) % TEST_SHARE == 0
    arrays = {}
    for suffix, rows, count in (
        ("", shuffled[~is_test], TRAINING_PAIRS),
        ("_test", shuffled[is_test], TEST_PAIRS),
    ):
        left, right = draw_pairs(rows, labels, count, bits)
        arrays[f"left{suffix}"] = images[left]
        arrays[f"right{suffix}"] = images[right]
        arrays[f"same{suffix}"] = (labels[left] == labels[right]).astype(np.int64)
        arrays[f"digit{suffix}"] = labels[left]
    np.savez_compressed(Path(__file__).with_name("digit_pairs.npz"), **arrays)


if __name__ == "__main__":
    main()

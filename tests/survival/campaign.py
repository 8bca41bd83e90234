"""Kills many trainings: python -m tests.survival.campaign --trials 100 --backends torch --seed 1

Prints a line for each trial and a summary; the exit code is 1 if any ended otherwise than a
training that nobody touched.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.survival.trials import EPOCHS, prepare, reference, trial


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--backends", default="numpy", help="one, or several side by side")
    parser.add_argument("--conventions", default="keras")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    backends = options.backends.split(",")
    generator = random.Random(options.seed)
    bad, deeds = 0, Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        epochs = min(EPOCHS[name] for name in backends)
        spec = prepare(Path(folder), epochs, options.conventions)
        wanted = reference(spec, backends)
        print(f"reference: {wanted.seconds:.2f} s of training", flush=True)
        for number in range(options.trials):
            found = trial(spec, backends, wanted, generator)
            deeds.update(deed.partition(" after ")[0] for deed in found.deeds)
            bad += bool(found.problems)
            print(number, "; ".join(found.deeds), *found.problems, sep=" | ", flush=True)
    print(f"{options.trials} trials on {options.backends}: {options.trials - bad} bit-identical")
    for way, count in sorted(deeds.items()):
        print(f"  {way}: {count}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

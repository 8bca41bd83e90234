"""The long comparison with real Keras and PyTorch: 200 steps in float64, a table of the figures.

python tests/oracles/campaign.py [--out figures.md] [NETWORK ...]
"""

import argparse
import tempfile
from pathlib import Path

from networks import BACKENDS, NETWORKS, Length, differences, prepare, train

# Speech has 243 training rows, which are 8 batches.
LENGTHS = {"speech_lstm": Length(epochs=25, batches=8)}
LENGTH = Length(epochs=5, batches=40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), metavar="NETWORK")
    parser.add_argument("--keras-backend", choices=("torch", "jax"), default="torch")
    parser.add_argument("--out", type=Path, help="a file for the table")
    parser.add_argument("--keep", type=Path, help="a folder that keeps the files and the arrays")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        table = figures(options.networks, options.keep or Path(temporary), options.keras_backend)
    print(table)
    if options.out:
        options.out.write_text(table)


def figures(names: list[str], root: Path, keras_backend: str) -> str:
    """A Markdown table: per network and backend the largest difference and where it is."""
    folders = {name: root / name for name in names}
    for name, folder in folders.items():
        network = NETWORKS[name]
        folder.mkdir(parents=True)
        prepare(network, LENGTHS.get(network.name, LENGTH), folder)
    train(folders, keras_backend)
    lines = [
        "| network | conventions | backend | steps | largest difference | tensor | losses |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, folder in folders.items():
        network = NETWORKS[name]
        steps = LENGTHS.get(network.name, LENGTH).steps
        for backend in BACKENDS:
            found = differences(folder, backend)
            loss = found.pop("loss")
            worst = max(found, key=found.__getitem__)
            row = (network.name, network.conventions, backend, str(steps))
            lines.append(f"| {' | '.join(row)} | {found[worst]:.1e} | {worst} | {loss:.1e} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
